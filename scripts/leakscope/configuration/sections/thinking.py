"""What a model says of thoughts: the key ``thinking`` of its entry."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from leakscope.typed.values import Nullable, Positive, Section, Text, mistake


class Thinking(Section):
    """A train of thought before the answer. Of a model that has one, texts are measured by the step `leak`, without a
    logit leak; other steps leave it out. A thought that does not end within its budget is no text, but counted.
    """

    begin: Nullable[Text] = None
    """What a thought begins with, such as `<think>`; where the chat template does not write it, it is written for the
    model. `null`: as the chat template says; behind a server, any known mark."""
    end: Nullable[Text] = None
    """What it ends with, such as `</think>`; `null`: as `begin`."""
    budget: Positive = 512
    """Longest thought, in the model's tokens; `max_new_tokens` are the answer's. Servers have one limit for both: they
    are told the sum."""
    measure: Literal["answer", "thought", "both"] = "answer"
    """Which text is measured: the answer; the thought; or `both`, the thought, a line break and the answer. Nothing is
    written again for another one: models that extend each other and differ in nothing else share their texts."""

    @model_validator(mode="after")
    def _both_marks_or_none(self) -> Thinking:
        if (self.begin is None) != (self.end is None):
            given, other = ("begin", "end") if self.end is None else ("end", "begin")
            raise mistake(given, f"got it without {other}", "allowed: both, or none.")
        return self
