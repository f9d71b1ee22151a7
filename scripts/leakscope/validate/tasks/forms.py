"""Rendering of a task's items as prompts for a generator, a negated generator and a validator.

A file of forms (``form_file.FormFile``) has paraphrases of each, and styles: the number of shots, and whether the
prompt is a chat turn. Every paraphrase is rendered in every style.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.statistics.seeding import seeded_hash
from leakscope.typed.reading import read_typed
from leakscope.validate.tasks.form_file import FormFile, Style
from leakscope.validate.tasks.items import Item

QUESTION = "{question}"
# As in `rendering`, which is not imported because it needs transformers.
PLACEHOLDER = "{prompt}"
YES, NO = "Yes", "No"
SEPARATOR = "\n\n"
PROMPT_COLUMNS = ["item_id", "kind", "form_id", "style", "chat", "prompt", "shot_ids"]
_GAP = re.compile(r"\{[^{}]*\}")


class Form(NamedTuple):
    """A paraphrase of one kind; ``text`` has the gap ``{question}`` and, for validators, ``{candidate}``."""

    kind: str
    id: str
    text: str


class PromptForms(NamedTuple):
    """All forms of a task, generators with their negations before validators, and the styles."""

    forms: tuple[Form, ...]
    styles: tuple[Style, ...]


def read_forms(path: Path) -> PromptForms:
    """Return the forms of a YAML file, in order.

    Raises:
        InputError: as ``read_typed``.
    """
    written = read_typed(path, FormFile)
    forms = []
    for one in written.generators:
        forms += [Form("generator", one.id, one.text), Form("negated", one.id, one.negated)]
    forms += [Form("validator", one.id, one.text) for one in written.validators]
    return PromptForms(tuple(forms), tuple(written.styles))


def render_prompts(
    items: pd.DataFrame,
    forms: PromptForms,
    seed: int,
    pool: pd.DataFrame | None = None,
    styles: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return ``PROMPT_COLUMNS``: every item in every form and style; ``prompt`` ends before the answer.

    If a style has shots, ``shot_ids`` lists their items in order. Generators have right candidates as shots, negated
    generators wrong ones, and validators the same number of each, shuffled. The choice depends only on the seed, the
    item and the pool, not on the order of rows. All candidates of a question share the shots of a generator, so that
    their scores are comparable.

    A shot has neither the item's question nor its cluster and, for a generator, no right candidate of the question;
    the shots of a prompt have different clusters. Shots with another candidate of the question are used last.

    Args:
        items: from ``items.item_table``.
        forms: prompt forms of the task.
        seed: of the choice of shots.
        pool: items from which shots are drawn, such as the training split; None: ``items``.
        styles: ids of the styles to render; None: all.

    Raises:
        InputError: a style is unknown, or the pool has too few shots for an item.
    """
    known = {style.id: style for style in forms.styles}
    for name in known if styles is None else styles:
        if name not in known:
            raise one_of("prompt forms: style", name, known)
    chosen = list(known.values()) if styles is None else [known[name] for name in styles]
    shots = _Shots(items, items if pool is None else pool, seed)
    rows = [
        _row(item, form, style, shots.take(item, form.kind, style.shots))
        for style in chosen
        for form in forms.forms
        for item in _items(items)
    ]
    return pd.DataFrame(rows, columns=PROMPT_COLUMNS)


def check_shots(item: Item, kind: str, shots: Sequence[Item], answers: frozenset[str] = frozenset()) -> None:
    """Check that shots do not leak the item's answer, and are balanced for a validator.

    Args:
        item: the item after the shots.
        kind: kind of form.
        shots: the shots.
        answers: the right candidates of the item's question, case-folded.

    Raises:
        AssertionError: a shot shares item, question or cluster with the item, shows a right answer to its question, or
            has the wrong label.
    """
    for shot in shots:
        if not _shares_nothing(item, shot):
            raise AssertionError(
                f"example {shot['item_id']!r} shares item, question or cluster with {item['item_id']!r}"
            )
        if kind == "generator" and _fold(shot["candidate"]) in answers:
            raise AssertionError(f"example {shot['item_id']!r} shows a right answer of {item['item_id']!r}")
    n_positive = sum(shot["positive"] for shot in shots)
    if n_positive != {"generator": len(shots), "negated": 0, "validator": len(shots) / 2}[kind]:
        raise AssertionError(f"{n_positive} of {len(shots)} examples of {item['item_id']!r} are positive")


class _Shots:
    """Choice of shots: each item starts at its own seeded place in a seeded circular order of the pool."""

    def __init__(self, items: pd.DataFrame, pool: pd.DataFrame, seed: int) -> None:
        self.seed = seed
        self.rings = {True: self._ring(pool, True), False: self._ring(pool, False)}
        self.answers: dict[str, set[str]] = {}
        self.candidates: dict[str, set[str]] = {}
        for table in (items, pool):
            for item in _items(table):
                for sets, kept in ((self.candidates, True), (self.answers, item["positive"])):
                    sets.setdefault(_fold(item["question"]), set()).update([_fold(item["candidate"])] if kept else [])
        self.taken: dict[tuple[str, ...], list[Item]] = {}

    def take(self, item: Item, kind: str, n_shots: int) -> list[Item]:
        """Return the shots of an item."""
        if not n_shots:
            return []
        # Candidates of a question share the shots of a generator, so that their scores are comparable.
        own = [item["item_id"]] if kind == "validator" else [_fold(item["question"]), item["cluster"]]
        key = (kind, str(n_shots), *own)
        if key not in self.taken:
            self.taken[key] = self._choose(item, kind, n_shots, key)
        answers = frozenset(self.answers[_fold(item["question"])])
        check_shots(item, kind, self.taken[key], answers)
        return self.taken[key]

    def _choose(self, item: Item, kind: str, n_shots: int, key: tuple[str, ...]) -> list[Item]:
        wanted = {
            "generator": [(True, n_shots)],
            "negated": [(False, n_shots)],
            "validator": [(True, n_shots // 2), (False, n_shots // 2)],
        }[kind]
        chosen: list[Item] = []
        for positive, number in wanted:
            chosen += self._walk(item, kind, positive, number, key, {shot["cluster"] for shot in chosen})
        return sorted(chosen, key=lambda shot: seeded_hash(self.seed, "order", *key, shot["item_id"]))

    def _walk(
        self, item: Item, kind: str, positive: bool, number: int, key: tuple[str, ...], clusters: set[str]
    ) -> list[Item]:
        """Return ``number`` shots from new clusters in circular order, those with a candidate of the question last."""
        ring, question = self.rings[positive], _fold(item["question"])
        start = seeded_hash(self.seed, "place", *key) % max(1, len(ring))
        avoided = {_fold(item["candidate"])} if kind == "validator" else self.candidates[question]
        chosen: list[Item] = []
        late: list[Item] = []
        for shot in (ring[(start + i) % len(ring)] for i in range(len(ring))):
            if len(chosen) == number:
                break
            given_away = kind == "generator" and _fold(shot["candidate"]) in self.answers[question]
            if given_away or not _shares_nothing(item, shot) or shot["cluster"] in clusters:
                continue
            if _fold(shot["candidate"]) in avoided:
                late.append(shot)
            else:
                chosen.append(shot)
                clusters.add(shot["cluster"])
        for shot in late:
            if len(chosen) < number and shot["cluster"] not in clusters:
                chosen.append(shot)
                clusters.add(shot["cluster"])
        if len(chosen) < number:
            label = "positive" if positive else "negative"
            raise InputError(
                f"prompt forms: {kind} shots of item {item['item_id']!r}: got {len(chosen)} {label} items of other "
                f"clusters; allowed: at least {number}."
            )
        return chosen

    def _ring(self, pool: pd.DataFrame, positive: bool) -> list[Item]:
        shots = [item for item in _items(pool) if item["positive"] == positive]
        return sorted(shots, key=lambda item: (seeded_hash(self.seed, "ring", item["item_id"]), item["item_id"]))


def _row(item: Item, form: Form, style: Style, shots: Sequence[Item]) -> dict[str, object]:
    examples = [_fill(form.text, shot) + " " + _answer(form.kind, shot) for shot in shots]
    text = SEPARATOR.join([*examples, _fill(form.text, item)])
    return {
        "item_id": item["item_id"],
        "kind": form.kind,
        "form_id": form.id,
        "style": style.id,
        "chat": style.chat,
        "prompt": style.template.replace(PLACEHOLDER, text),
        "shot_ids": [shot["item_id"] for shot in shots],
    }


def _answer(kind: str, shot: Item) -> str:
    if kind != "validator":
        return shot["candidate"]
    return YES if shot["positive"] else NO


def _fill(text: str, item: Item) -> str:
    # In one pass, because a question may contain braces.
    return _GAP.sub(lambda gap: item["question"] if gap[0] == QUESTION else item["candidate"], text)


def _shares_nothing(item: Item, shot: Item) -> bool:
    """Return whether a shot shares neither item, cluster nor question with ``item``, also not as its candidate."""
    question = _fold(item["question"])
    return (
        shot["item_id"] != item["item_id"]
        and shot["cluster"] != item["cluster"]
        and question not in (_fold(shot["question"]), _fold(shot["candidate"]))
    )


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _items(table: pd.DataFrame) -> list[Item]:
    records: list[Any] = table.to_dict("records")
    return records
