"""A sample of the match rate's own comparisons: two concepts of one unit, and a text written after each.

The match rate of a model on a prompt set is a mean over units u, weighted by their numbers of groups n_u, over pairs of
groups, concepts of each and texts of each (``measures.matching``). An item is one such comparison. Of n items

    unit u         has m_u, the whole numbers around n n_u / Σ n_u
    pair of groups has, in u, the whole numbers around m_u / (pairs of u)
    concept, text  are drawn alike from the group's concepts, and from the concept's texts

so the expected number of items of each comparison is n times its weight in the match rate, and the mean over items
estimates that rate without bias, in every design. Units keep the order of the prompts, so that categories and templates
get their share. All units use one order of pairs, with starting points spread over it, so that the numbers of items per
pair vary less than by chance.

Draws depend only on their population (``statistics.seeding``). Editing a prompt changes only the items of its unit;
models with the same prompts have the same concepts compared.

Source: systematic sampling, Madow 1949 (Annals of Mathematical Statistics 20, 333); points that lie apart, however many
there are, Weyl 1916 (multiples of an irrational number, here of the golden section).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate, combinations, pairwise
from typing import NamedTuple

import pandas as pd

from leakscope.leak.pairs import tests_by_unit
from leakscope.statistics.seeding import seeded_hash

ITEM_COLUMNS = [
    "item_id",
    "model",
    "prompt_set",
    "category",
    "unit",
    "cluster",
    "concept_1",
    "concept_2",
    "group_1",
    "group_2",
    "text_1",
    "text_2",
    "weight",
]
# Digits of an id, after a letter, so that no spreadsheet takes the id for a number.
ID_DIGITS = 11
ID_PATTERN = re.compile(rf"i[0-9a-f]{{{ID_DIGITS}}}")
LARGEST = 2**64  # above every hash
GOLDEN = (math.sqrt(5) - 1) / 2


class SampledText(NamedTuple):
    """A model's text with its prompt."""

    prompt_id: str
    sample: str
    text: str


class SampledUnit(NamedTuple):
    """A unit with two groups or more: group → concept → texts after that concept."""

    category: object
    unit: str
    cluster: str
    groups: Mapping[str, Mapping[str, list[SampledText]]]


class Side(NamedTuple):
    """A text of an item and its concept."""

    group: str
    concept: str
    written: SampledText


def sample_items(prompts: pd.DataFrame, generations: pd.DataFrame, n_items: int, seed: int) -> pd.DataFrame:
    """Return the items of each model on one prompt set.

    Args:
        prompts: the prompts table of one set.
        generations: ``model, prompt_set, prompt_id, sample, text`` of all models on that set.
        n_items: of each model. A comparison drawn twice is one item with twice the weight.
        seed: of all draws.

    Returns:
        ``ITEM_COLUMNS``, models as they first appear, units as in the prompts. ``text_1`` was written after
        ``concept_1``; the order of the two concepts is random. ``weight`` sums to 1 over a model's items. ``item_id``
        is a hash of all other columns except the weight, and of prompt and sample ids. A model whose units all have a
        single group of concepts has no items.
    """
    tests = tests_by_unit(prompts)
    texts = generations[["model", "prompt_id", "sample", "text"]]
    prompt_set = str(prompts["prompt_set"].iloc[0])
    rows: list[tuple[object, ...]] = []
    for model in texts["model"].unique():
        written = tests.merge(texts[texts["model"] == model], on="prompt_id")
        units = comparable_units(written)
        rows += [
            (_item_id(str(model), prompt_set, unit, *sides), model, prompt_set, *_cells(unit, *sides), 1 / n_items)
            for unit, sides in drawn_sides(units, n_items, seed, prompt_set)
        ]
    table = pd.DataFrame(rows, columns=ITEM_COLUMNS)
    weights = table.groupby("item_id", sort=False)["weight"].sum()
    items = table.drop_duplicates("item_id", ignore_index=True).assign(weight=weights.to_numpy())
    texts_of = [name for name in ITEM_COLUMNS if name != "weight"]
    return items.astype({**dict.fromkeys(texts_of, "str"), "weight": "float64"})


def comparable_units(written: pd.DataFrame) -> list[SampledUnit]:
    """Return the units with at least two groups of concepts, in the order of the prompts.

    Args:
        written: the texts of one model, with the columns of ``pairs.tests_by_unit``.
    """
    units = []
    for (category, unit), rows in written.groupby(["category", "unit"], sort=False, dropna=False):
        groups: dict[str, dict[str, list[SampledText]]] = {}
        columns = [rows[name].astype(str) for name in ("concept_group", "concept", "prompt_id", "sample", "text")]
        for group, concept, *one in zip(*columns, strict=True):
            groups.setdefault(group, {}).setdefault(concept, []).append(SampledText(*one))
        if len(groups) > 1:
            units.append(SampledUnit(category, str(unit), str(rows["cluster"].iloc[0]), groups))
    return units


def drawn_sides(
    units: list[SampledUnit], n_items: int, seed: int, prompt_set: str
) -> Iterator[tuple[SampledUnit, tuple[Side, Side]]]:
    """Yield unit and two sides of each of a model's items; a comparison may be drawn twice."""
    begin = seeded_hash(seed, "pairs", prompt_set) / LARGEST
    for place, (unit, n_of_unit) in enumerate(zip(units, _shares(units, n_items, seed, prompt_set), strict=True)):
        pairs = sorted(combinations(sorted(unit.groups), 2), key=lambda pair: seeded_hash(seed, prompt_set, *pair))
        start = (begin + place * GOLDEN) % 1
        visits: dict[tuple[str, str], int] = {}
        for number in range(n_of_unit):
            pair = pairs[min(len(pairs) - 1, int((start + number) * len(pairs) / n_of_unit))]
            visit = visits[pair] = visits.get(pair, -1) + 1
            yield unit, _sides(unit, pair, visit, seed)


def _shares(units: list[SampledUnit], n_items: int, seed: int, prompt_set: str) -> list[int]:
    """Return the number of items of each unit: n n_u / Σ n_u in expectation, rounded up or down; the sum is n."""
    sums = list(accumulate(len(unit.groups) for unit in units))
    if not sums:
        return []
    start = seeded_hash(seed, "units", prompt_set) % sums[-1]
    ends = [(n_items * up_to_here + start) // sums[-1] for up_to_here in sums]
    return [end - before for before, end in pairwise([0, *ends])]


def _sides(unit: SampledUnit, pair: tuple[str, str], visit: int, seed: int) -> tuple[Side, Side]:
    """Return the two sides of a pair of groups at its ``visit``-th draw, from 0; new texts each time, as long as there
    are any."""
    key = (str(unit.category), unit.unit, *pair)
    orders = [_order(unit.groups[group], group, seed, *key) for group in pair]
    # When both have come round together, the second goes on one further.
    round_trip = math.lcm(*map(len, orders))
    one, other = orders[0][visit % len(orders[0])], orders[1][(visit + visit // round_trip) % len(orders[1])]
    is_turned = seeded_hash(seed, *key, one.concept, *one.written, other.concept, *other.written) % 2
    return (other, one) if is_turned else (one, other)


def _order(concepts: Mapping[str, list[SampledText]], group: str, seed: int, *key: str) -> list[Side]:
    """Return a group's texts in a random order that is balanced over concepts and over each concept's texts."""
    drawn = sorted(concepts, key=lambda concept: seeded_hash(seed, *key, group, concept))
    texts = {
        concept: sorted(found, key=lambda one: seeded_hash(seed, *key, group, concept, *one))
        for concept, found in concepts.items()
    }
    rounds = range(max(map(len, texts.values())))
    return [Side(group, name, texts[name][number % len(texts[name])]) for number in rounds for name in drawn]


def _cells(unit: SampledUnit, one: Side, other: Side) -> tuple[object, ...]:
    """Return an item's cells from ``category`` to ``text_2``."""
    names = (one.concept, other.concept, one.group, other.group)
    return (unit.category, unit.unit, unit.cluster, *names, one.written.text, other.written.text)


def _item_id(model: str, prompt_set: str, unit: SampledUnit, one: Side, other: Side) -> str:
    sides = [part for side in (one, other) for part in (side.group, side.concept, *side.written)]
    content = "\0".join([model, prompt_set, str(unit.category), unit.unit, *sides])
    return f"i{hashlib.sha256(content.encode()).hexdigest()[:ID_DIGITS]}"
