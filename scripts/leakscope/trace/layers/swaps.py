"""Pairs of test prompts that differ only in their concept, for patching."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os.path import commonprefix
from typing import Any, NamedTuple

import pandas as pd

from leakscope.statistics.seeding import seeded_hash
from leakscope.trace.layers.answers import Contrast, Prompted, Tokens, between_groups
from leakscope.trace.layers.columns import COUNT_COLUMNS


class Swap(NamedTuple):
    """Two prompts of a template: residuals of the run with concept c replace those of the run with c′.

    concept: index of the prompt with c. other: index of the prompt with c′. source, target: tokens of both, with the
    contrast's beginning. n_after: tokens after the concept, of both. n_patched: the concept's last tokens, as many as
    both have. n_tokens: the concept's, of both. contrast: associates of c against those of c′.
    """

    concept: int
    other: int
    source: Tokens
    target: Tokens
    n_after: int
    n_patched: int
    n_tokens: tuple[int, int]
    contrast: Contrast

    @property
    def aligned(self) -> bool:
        """Whether the concepts differ in number of tokens, so that they are aligned at their last ones."""
        return self.n_tokens[0] != self.n_tokens[1]

    @property
    def first_patched(self) -> int:
        """First token patched at any site in the text with c′."""
        return len(self.target) - self.n_after - self.n_patched


class Swaps(NamedTuple):
    """Pairs, and ``columns.COUNT_COLUMNS`` by template: numbers possible, excluded by reason, drawn, and aligned."""

    pairs: list[Swap]
    counts: pd.DataFrame


class _Template(NamedTuple):
    """Test prompts of a template: index → number of varying tokens, and the number of tokens after these."""

    n_tokens: dict[int, int]
    n_after: int


def draw_swaps(
    prompts: pd.DataFrame, read: Sequence[Prompted], candidates: pd.DataFrame, n_pairs: int, seed: int
) -> Swaps:
    """Return up to ``n_pairs`` ordered pairs, determined by the seed, balanced over templates and groups of c.

    c and c′ are of different groups. The concept's tokens are those that vary between the prompts of a template. Pairs
    with equally many concept tokens come first: only their runs have aligned positions throughout.

    Excluded and counted: pairs whose associates no token distinguishes (``n_not_told_apart``, see
    ``answers.between_groups``), and all pairs of a template without tokens after the concept (``n_at_end``).

    Args:
        prompts: test prompts with ``template_id, prompt_id, concept_group, slot``.
        read: the prompts, in their order.
        candidates: ``slot, concept_group``, in the order of the answers.
        n_pairs: at most.
        seed: of the draw.
    """
    groups_of = candidates.groupby("slot", sort=False)["concept_group"].agg(list)
    contrasts: dict[Any, Contrast | None] = {}
    queue: list[tuple[bool, int, int, Swap]] = []
    counts = []
    for template_id, rows in prompts.reset_index(drop=True).groupby("template_id", sort=False):
        template, groups = _template(list(rows.index), read), rows["concept_group"]
        told = {}
        possible = [(c, o) for c in rows.index for o in rows.index if groups[c] != groups[o]]
        for c, o in possible if template.n_after else []:
            key = (rows["slot"][c], groups[c], groups[o], read[c].answers, read[o].answers)
            if key not in contrasts:
                contrasts[key] = _contrast(*key[1:], groups_of[key[0]])
            if (contrast := contrasts[key]) is not None:
                told[c, o] = contrast
        order = seeded_hash(seed, str(template_id))
        for place, (c, o) in enumerate(_ordered(told, template, rows, seed)[:n_pairs]):
            swap = _swap(c, o, template, read, told[c, o])
            queue.append((swap.aligned, place, order, swap))
        n_left = len(possible) - len(told)
        counts.append((template_id, len(possible), *((n_left, 0) if template.n_after else (0, n_left))))
    drawn = [swap for *_, swap in sorted(queue, key=lambda entry: entry[:3])[:n_pairs]]
    return Swaps(drawn, _counted(counts, drawn, list(prompts["template_id"])))


def shared_ends(texts: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return the lengths of the shared beginning and end of texts; at least one token of each is in neither."""
    rows = [list(text) for text in texts]
    shortest = min(map(len, rows))
    n_before = min(len(commonprefix(rows)), shortest - 1)
    # Also in the shortest text, at least one token is the concept's.
    n_after = min(len(commonprefix([row[::-1] for row in rows])), shortest - n_before - 1)
    return n_before, n_after


def _template(numbers: Sequence[int], read: Sequence[Prompted]) -> _Template:
    """Return the varying part of prompts: all tokens except the shared beginning and end."""
    n_before, n_after = shared_ends([read[number].ids for number in numbers])
    return _Template({number: len(read[number].ids) - n_before - n_after for number in numbers}, n_after)


def _contrast(
    group: str, other: str, answers: Sequence[Tokens], of_other: Sequence[Tokens], groups: Sequence[str]
) -> Contrast | None:
    """Return the tokens that distinguish the associates of both groups after the same continuation of both prompts."""
    return between_groups(answers, groups, group, other) if answers == of_other else None


def _ordered(
    pairs: Iterable[tuple[int, int]], template: _Template, rows: pd.DataFrame, seed: int
) -> list[tuple[int, int]]:
    """Return pairs in drawing order: each group of c once, then its next concept, then partners."""
    names = rows["prompt_id"]
    table = pd.DataFrame(list(pairs), columns=["c", "o"])
    table["aligned"] = [
        template.n_tokens[c] != template.n_tokens[o] for c, o in zip(table["c"], table["o"], strict=True)
    ]
    table["group"] = table["c"].map(rows["concept_group"])
    table["draw_c"] = table["c"].map({number: seeded_hash(seed, name) for number, name in names.items()})
    table["draw"] = [seeded_hash(seed, names[c], names[o]) for c, o in zip(table["c"], table["o"], strict=True)]
    table["rank"] = table.sort_values("draw").groupby(["c", "aligned"]).cumcount()
    table["place"] = table.groupby(["group", "aligned", "rank"])["draw_c"].rank(method="first")
    ordered = table.sort_values(["aligned", "rank", "place", "draw_c"])
    return list(zip(ordered["c"], ordered["o"], strict=True))


def _swap(c: int, o: int, template: _Template, read: Sequence[Prompted], contrast: Contrast) -> Swap:
    source, target = (read[number].ids + contrast.beginning for number in (c, o))
    n_tokens = template.n_tokens[c], template.n_tokens[o]
    n_after = template.n_after + len(contrast.beginning)
    return Swap(c, o, source, target, n_after, min(n_tokens), n_tokens, contrast)


def _counted(counts: Sequence[tuple[Any, ...]], drawn: Sequence[Swap], templates: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(counts, columns=COUNT_COLUMNS[:4])
    pairs = pd.DataFrame(
        {"template_id": [templates[swap.concept] for swap in drawn], "aligned": [swap.aligned for swap in drawn]}
    )
    of_template = pairs.groupby("template_id")["aligned"]
    for column, values in (("n_pairs", of_template.size()), ("n_aligned", of_template.sum())):
        table[column] = table["template_id"].map(values).fillna(0).astype(int)
    return table
