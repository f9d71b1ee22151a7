"""The key ``thinking`` of a model's entry."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from leakscope.typed.values import Nullable, Positive, Section, Text, mistake


class Thinking(Section):
    """Settings of a reasoning model, which thinks before it answers. Only the step `leak` measures it, without a logit
    leak. A thought that exceeds its budget gives no text; such cases are counted."""

    begin: Nullable[Text] = None
    """Mark that begins a thought, such as `<think>`; inserted if the chat template does not write it. `null`: from the
    chat template; behind a server, any known mark."""
    end: Nullable[Text] = None
    """Mark that ends a thought, such as `</think>`; `null`: found like `begin`."""
    budget: Positive = 512
    """Maximum thought length, in the model's tokens; `max_new_tokens` limits the answer. Servers have one limit for
    both and get the sum."""
    measure: Literal["answer", "thought", "both"] = "answer"
    """Text to measure: the answer; the thought; or `both`, joined by a line break. A change needs no new texts: models
    that extend each other and differ in nothing else share their texts."""

    @model_validator(mode="after")
    def _both_marks_or_none(self) -> Thinking:
        if (self.begin is None) != (self.end is None):
            given, other = ("begin", "end") if self.end is None else ("end", "begin")
            raise mistake(given, f"got `{given}` without `{other}`", "allowed: both keys, or neither.")
        return self
