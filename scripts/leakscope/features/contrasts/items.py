"""Contrasts: texts that are continued by a word of one of two sides, and items associated with one of the sides.

A contrast is a file of templates (``contrast_file.ContrastFile``), or is made of a prompt set: then items are the
concepts, side a the candidates that belong to the concept, and side b all others, weighted so that both sides are
equally likely by chance. The split ``selection``, which chooses features and edits, shares neither items nor templates
with the split ``evaluation``, which measures them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.files.tables import read_table
from leakscope.statistics.seeding import seeded_hash

# Imported where it is used: most jobs need only the names below.
if TYPE_CHECKING:
    from leakscope.features.contrasts.contrast_file import AssociationColumn, ContrastFile, MinimalPairs

TEMPLATES, PROMPT_SET = "templates", "prompt_set"
ITEM, PAIR = "item", "pair"
SELECTION, EVALUATION = "selection", "evaluation"
SPLITS = (SELECTION, EVALUATION)
A, B = "a", "b"
COLUMNS = [
    *("kind", "split", "item", "group", "template_id", "text", "lead", "side", "association"),
    *("side_a", "side_b", "weight_b"),
]


def template_texts(path: Path, seed: int) -> pd.DataFrame:
    """Return the texts of a contrast of templates: items in the templates of their split, then minimal pairs.

    Columns: ``kind`` (item, pair), ``split``, ``item`` (of a pair both words), ``group`` (here that again),
    ``template_id``, ``text``, ``lead`` (what the model has already said of its answer: nothing), ``side`` (a, b; of an
    item that whose sign its association has, None at 0), ``association`` (−1, side b, to 1, side a; missing for pairs),
    ``side_a`` and ``side_b`` (lists of words), ``weight_b`` (what the probability of side b is multiplied by: 1). The
    two texts of a pair follow each other. Pairs are all for selection.

    Args:
        path: of the file.
        seed: of the split, where the table of items has none.

    Raises:
        InputError: the file or one of its tables is invalid, an item occurs twice, an association is no number between
            −1 and 1, or a split lacks items of one of the sides.
    """
    from leakscope.features.contrasts.contrast_file import read_contrast_file

    content = read_contrast_file(path)
    shared = {"side_a": content.a, "side_b": content.b, "weight_b": 1.0, "lead": ""}
    items = _items(path, content, seed)
    rows = [
        {**item, **shared, "kind": ITEM, "template_id": f"{split}/{number}", "text": _fill(text, ITEM, item["item"])}
        for split in SPLITS
        for item in items
        if item["split"] == split
        for number, text in enumerate(getattr(content.templates, split), 1)
    ]
    pairs = [] if content.minimal_pairs is None else _pairs(path, content.minimal_pairs, shared)
    return pd.DataFrame([*rows, *pairs], columns=COLUMNS)


def prompt_set_texts(
    prompts: pd.DataFrame, candidates: pd.DataFrame, entry: Mapping[str, Any], seed: int
) -> pd.DataFrame:
    """Return the texts of a contrast of a prompt set, with the columns of ``template_texts``.

    An item is a concept, with association 1; concepts of one ``group`` have the same words as side a. Each prompt also
    forms a minimal pair with its control, which is of side b. Half of the concepts of each group and half of the
    templates of each category are for selection. If most of a slot's candidates, of several groups, begin with the same
    word (an article), this word is given to the model as the beginning of its answer (``lead``), and only those
    candidates count.

    Args:
        prompts: of the set (see ``prompts.PROMPT_COLUMNS``).
        candidates: of its slots, with their groups.
        entry: ``prompt_set``, and ``categories`` and ``items``, which of them are used; None: all.
        seed: of the split.

    Raises:
        InputError: there is no such category or concept, or no prompt whose concept's group has a candidate, in one of
            the splits.
    """
    where = f"contrast of prompt set {entry['prompt_set']!r}"
    used = _wanted(prompts[prompts["concept"].notna()], entry, where)
    controls = prompts.set_index("prompt_id")["prompt"]
    slots = {str(slot): _answers(rows) for slot, rows in candidates.groupby("slot", sort=False)}
    records: list[Any] = used.to_dict("records")
    halves = _split(((row["concept_group"], row["concept"]) for row in records), seed, "concept")
    of_templates = _split(((row["category"], row["template_id"]) for row in records), seed, "template")
    rows: list[dict[str, Any]] = []
    for row in records:
        lead, by_group = slots.get(row["slot"], ("", {}))
        split, group = halves[row["concept_group"], row["concept"]], row["concept_group"]
        others = [word for other, words in by_group.items() if other != group for word in words]
        if split != of_templates[row["category"], row["template_id"]] or group not in by_group or not others:
            continue
        shared = {
            **{"split": split, "item": row["concept"], "group": group, "template_id": row["template_id"], "lead": lead},
            **{"side_a": by_group[group], "side_b": others, "weight_b": 1 / (len(by_group) - 1)},
        }
        rows.append({**shared, "kind": ITEM, "text": row["prompt"], "side": A, "association": 1.0})
        for side, text in ((A, row["prompt"]), (B, controls[row["control_id"]])):
            rows.append({**shared, "kind": PAIR, "text": text, "side": side})
    for split in SPLITS:
        if not any(row["split"] == split for row in rows):
            allowed = "two concepts of a group and two templates of a category, and candidates of the concepts' groups"
            raise InputError(f"{where}: got no prompt for {split}; allowed: at least {allowed}.")
    ordered = [row for kind in (ITEM, PAIR) for row in rows if row["kind"] == kind]
    return pd.DataFrame(ordered, columns=COLUMNS)


def items_of(texts: pd.DataFrame) -> list[str]:
    """Return the items of a contrast, sorted; neutral texts must not name them."""
    return sorted(set(texts.loc[texts["kind"].eq(ITEM), "item"]))


def _items(path: Path, content: ContrastFile, seed: int) -> list[dict[str, Any]]:
    """Return ``item, association, side, split`` of each item."""
    file = path.parent / content.items
    table, said = read_table(file), content.association
    for column in (ITEM, said.column):
        if column not in table:
            raise one_of(f"{file}: column", column, table.columns)
    items: list[dict[str, Any]] = []
    for row, (name, value) in _numbered(table, ITEM, said.column):
        where = f"{file}, row {row}"
        if not name.strip() or name in (item["item"] for item in items):
            raise InputError(f"{where}: column 'item': got {name!r}; allowed: a name that no other row has.")
        association = _association(value, said, where)
        side = None if association == 0 else A if association > 0 else B
        items.append({"item": name, "group": name, "association": association, "side": side})
    if "split" in table:
        for row, (item, split) in zip(table.index, zip(items, table["split"], strict=True), strict=True):
            if split not in SPLITS:
                raise one_of(f"{file}, row {row}: column 'split'", split, SPLITS)
            item["split"] = split
    else:
        split_of = _split([(str(item["side"]), item["item"]) for item in items], seed, "item")
        items = [{**item, "split": split_of[str(item["side"]), item["item"]]} for item in items]
    for split in SPLITS:
        for side in (A, B):
            if not any(item["split"] == split and item["side"] == side for item in items):
                lacking = f"no item of side {side} for {split}"
                raise InputError(f"{file}: got {lacking}; allowed: items of both sides in both splits.")
    return items


def _numbered(table: pd.DataFrame, *columns: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the number of each row, as a spreadsheet shows it, and some of its cells."""
    yield from zip(table.index, table[list(columns)].itertuples(index=False, name=None), strict=True)


def _association(value: str, said: AssociationColumn, where: str) -> float:
    try:
        association = 2 * (float(value) - said.b) / (said.a - said.b) - 1
    except ValueError:
        association = float("nan")
    if not -1 <= association <= 1:
        low, high = sorted((said.a, said.b))
        raise InputError(f"{where}: column {said.column!r}: got {value!r}; allowed: a number from {low:g} to {high:g}.")
    return round(association, 12)


def _pairs(path: Path, pairs: MinimalPairs, shared: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the two texts of each minimal pair."""
    file = path.parent / pairs.words
    table = read_table(file)
    for column in (A, B):
        if column not in table:
            raise one_of(f"{file}: column", column, table.columns)
    for row, (one, other) in _numbered(table, A, B):
        if not one.strip() or not other.strip() or one == other:
            raise InputError(f"{file}, row {row}: got {one!r} and {other!r}; allowed: two different words.")
        for number, text in enumerate(pairs.templates, 1):
            for side, word in ((A, one), (B, other)):
                named = {"split": SELECTION, "item": f"{one}/{other}", "template_id": f"pairs/{number}", "side": side}
                yield {**shared, **named, "group": named["item"], "kind": PAIR, "text": _fill(text, "word", word)}


def _fill(text: str, gap: str, word: str) -> str:
    return text.replace(f"{{{gap}}}", word)


def _split(members: Iterable[tuple[str, str]], seed: int, what: str) -> dict[tuple[str, str], str]:
    """Return the split of each (stratum, name); within a stratum, splits alternate in the order of a seeded hash."""
    strata: dict[str, list[str]] = {}
    for stratum, name in dict.fromkeys(members):
        strata.setdefault(stratum, []).append(name)
    split: dict[tuple[str, str], str] = {}
    for stratum, names in strata.items():
        # Which split comes first is drawn, too: most strata have an odd number.
        first = seeded_hash(seed, what, stratum) % 2
        for place, name in enumerate(sorted(names, key=lambda name: (seeded_hash(seed, what, stratum, name), name))):
            split[stratum, name] = SPLITS[(first + place) % 2]
    return split


def _wanted(prompts: pd.DataFrame, entry: Mapping[str, Any], where: str) -> pd.DataFrame:
    """Return the prompts of the chosen categories and concepts."""
    for key, column in (("categories", "category"), ("items", "concept")):
        if entry[key] is not None:
            for name in entry[key]:
                if name not in set(prompts[column]):
                    raise one_of(f"{where}: {key}", name, prompts[column].unique())
            prompts = prompts[prompts[column].isin(entry[key])]
    return prompts


def _answers(rows: pd.DataFrame) -> tuple[str, dict[str, list[str]]]:
    """Return the first word of a slot's answers, if it is uninformative, and group → the rest of the answers."""
    both = list(zip(rows["concept_group"], rows["candidate"], strict=True))
    first = [(group, *text.partition(" ")[::2]) for group, text in both]
    followed = Counter(word for _, word, rest in first if rest)
    article, n = max(followed.items(), key=lambda pair: pair[1], default=("", 0))
    shared = len({group for group, word, _ in first if word == article}) > 1
    if not shared or 2 * n <= len(first):
        article, first = "", [(group, "", text) for group, text in both]
    by_group: dict[str, list[str]] = {}
    for group, word, rest in first:
        if word == article:
            by_group.setdefault(group, []).append(rest)
    return article, by_group
