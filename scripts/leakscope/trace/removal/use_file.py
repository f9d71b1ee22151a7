"""The format of files of use; separate from ``use``, so that planning a run does not import pandas."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from leakscope.typed.texts import Id, Trimmed, each_once
from leakscope.typed.values import Section, mistake
from leakscope.typed.wording import show

GAP = re.compile(r"\{([^{}]*)\}")
Things = Annotated[list[Trimmed], Field(min_length=2, max_length=2, title="two texts")]
WAYS = ("slot", "answers", "things")


class UseForm(Section):
    """A text that can only be completed correctly with the concept, with one of three kinds of answers."""

    id: Id
    """Name of the form."""
    text: Trimmed
    """With `{concept}`, and as often as wanted `{other}`, a concept of another group, and `{a}` and `{b}`, two things;
    it must end right before the answer."""
    control: Trimmed
    """The same without `{concept}`, as seen by a model without the concept."""
    slot: Trimmed | None = None
    """Lexicon of the prompt set: the first term of the concept's group is right, those of other groups are wrong."""
    answers: Annotated[dict[Trimmed, Trimmed], Field(min_length=2)] | None = None
    """Concept group → right answer; the answers of other groups are wrong."""
    things: Annotated[list[Things], Field(min_length=1)] | None = None
    """Pairs of things for `{a}` and `{b}`, in both orders: `{a}` is right and `{b}` wrong."""

    @model_validator(mode="after")
    def _goes_together(self) -> UseForm:
        given = [name for name in WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            raise mistake(
                WAYS[0], f"got {' and '.join(given) or 'none'} of {', '.join(WAYS)}", "allowed: exactly one of them."
            )
        gaps = {"other", *(("a", "b") if self.things else ())}
        _check_gaps("text", self.text, {"concept"} | (gaps - {"other"}), {"concept"} | gaps)
        _check_gaps("control", self.control, set(), gaps)
        if any(pair[0] == pair[1] for pair in self.things or ()):
            raise mistake("things", "got a pair of the same thing", "allowed: two different things.")
        if self.answers is not None and len(set(self.answers.values())) < 2:
            raise mistake("answers", "got one answer for all groups", "allowed: at least two different answers.")
        return self


def _check_gaps(key: str, text: str, needed: set[str], allowed: set[str]) -> None:
    """Refuse a text that lacks a placeholder, or has another brace."""
    gaps, rest = set(GAP.findall(text)), GAP.sub("", text)
    if "{" in rest or "}" in rest or not needed <= gaps <= allowed:
        may = ", ".join(f"{{{name}}}{'' if name in needed else ' if wanted'}" for name in sorted(allowed))
        raise mistake(key, f"got {show(text)}", f"allowed: a text with {may}, and no other brace.")


class UseFile(Section):
    """data/trace/<prompt set>_use.yaml: prompts that need the concept; they test whether a mitigation preserves its
    use."""

    description: Trimmed
    """Description of the prompts, for readers."""
    forms: Annotated[list[UseForm], Field(min_length=1), each_once("id")]
    """Forms of the prompts. Only those that the unmitigated model answers well enough count."""
