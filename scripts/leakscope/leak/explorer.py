"""The explorer: every generation of a study on one self-contained page, test beside control.

The page holds its data as columns of dictionary-encoded strings, JSON, gzip, base64; the browser unpacks them itself
and asks no network for anything.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from leakscope.errors import InputError
from leakscope.web.pages import encoded, page, write_page

TEMPLATE = Path(__file__).resolve().parents[3] / "report" / "explorer.template.html"

KEYS = ["model", "prompt_set", "prompt_id", "control_kind", "sample", "sample_control"]
SHARED = [
    "category",
    "template_id",
    "concept",
    "concept_group",
    "control_id",
    "text_test",
    "text_control",
    "repetition",
    "echo",
    "echo_test",
    "echo_control",
    "identical",
]
TEXT = ["model", "prompt_set", "prompt_id", "sample"]
# Of models that think first: the thought before each text.
THOUGHTS = ["thought_test", "thought_control"]
SCORES = ["similarity_test", "similarity_control", "outcome"]
STRINGS = [
    "model",
    "prompt_set",
    "category",
    "template_id",
    "concept",
    "concept_group",
    "prompt_id",
    "control_id",
    "control_kind",
    "prompt",
    "control",
    "text_test",
    "text_control",
    "echo_test",
    "echo_control",
]


def explorer_rows(
    pairs: pd.DataFrame, prompts: pd.DataFrame, texts: pd.DataFrame, generations: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row per pair of texts, with both sentences and what every scorer says of it.

    Args:
        pairs: the pairs tables of all prompt sets and scorers, concatenated.
        prompts: the prompts tables of all prompt sets, concatenated.
        texts: how often each text of a test prompt is told apart, as ``matching.match_texts`` returns them.
        generations: of the models that think first; None where there is none.

    Returns:
        One row per model x prompt_set x prompt_id x control_kind x sample x sample_control, in the order of ``pairs``:
        those keys, category, template_id, concept, concept_group, control_id, text_test, text_control, repetition,
        echo, echo_test, echo_control, identical, prompt and control (the two sentences), and per scorer
        ``<scorer>:similarity_test``, ``<scorer>:similarity_control``, ``<scorer>:outcome`` (NaN where a scorer lacks
        the pair) and ``<scorer>:match`` (NaN where the text has no partner); ``weight`` of the text in match rates,
        divided among its rows of one kind of control; with ``generations`` thought_test and thought_control. No pairs,
        no rows.

    Raises:
        InputError: a pair stands there twice, scorers disagree on a pair's texts, or a prompt's sentence is missing.
    """
    rows = _distinct_pairs(pairs)
    for scorer, part in pairs.groupby("scorer", sort=False):
        scores = part[[*KEYS, *SCORES]].rename(columns={name: f"{scorer}:{name}" for name in SCORES})
        rows = rows.merge(scores, on=KEYS, how="left", validate="one_to_one")
        told = texts.loc[texts["scorer"] == scorer, [*TEXT, "match"]].rename(columns={"match": f"{scorer}:match"})
        rows = rows.merge(told, on=TEXT, how="left", validate="many_to_one")
    weights = texts[[*TEXT, "weight"]].drop_duplicates(TEXT)
    rows = rows.merge(weights, on=TEXT, how="left", validate="many_to_one")
    rows["weight"] /= rows.groupby([*TEXT, "control_kind"], sort=False)["sample"].transform("size")
    rows["prompt"] = _sentences(rows, prompts, "prompt_id")
    rows["control"] = _sentences(rows, prompts, "control_id")
    return rows if generations is None else _with_thoughts(rows, generations)


def cut_texts(pairs: pd.DataFrame) -> dict[str, str]:
    """Return a label and what the page says of the pairs whose texts a scorer cuts; nothing where there are none.

    Args:
        pairs: as ``explorer_rows`` takes them.
    """
    parts = [(scorer, int(part["cut"].sum()), len(part)) for scorer, part in pairs.groupby("scorer", sort=False)]
    found = [f"{scorer}: {n_cut} of {n_pairs} pairs" for scorer, n_cut, n_pairs in parts if n_cut]
    return {"longer than the scorer reads": ", ".join(found)} if found else {}


def write_explorer(
    rows: pd.DataFrame,
    path: Path,
    *,
    study: str,
    scorers: Sequence[str],
    metadata: Mapping[str, str] | None = None,
    template: Path = TEMPLATE,
) -> None:
    """Write the page, whole or not at all; the same rows give the same bytes.

    Args:
        rows: as ``explorer_rows`` returns them.
        path: of the page; its folder is made.
        study: name in the heading.
        scorers: to choose from, the first is shown first.
        metadata: label to value, shown under the heading in this order.
        template: the page without its data; beside it what all pages share.

    Raises:
        InputError: ``rows`` lack a scorer.
    """
    text = page(
        template,
        title=html.escape(study),
        payload=encoded(_payload(rows, study, scorers, metadata or {})),
    )
    write_page(path, text)


def _distinct_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return keys and texts, once per pair of texts whatever the number of scorers."""
    twice = pairs.duplicated([*KEYS, "scorer"])
    if twice.any():
        raise InputError(f"pairs: {_name(pairs[twice])} stands there twice; allowed: one row for each scorer.")
    texts = pairs[[*KEYS, *SHARED]].drop_duplicates(ignore_index=True)
    differing = texts.duplicated(KEYS)
    if differing.any():
        raise InputError(f"pairs: {_name(texts[differing])} differs between scorers; allowed: the same texts for all.")
    return texts


def _name(pairs: pd.DataFrame) -> str:
    return ", ".join(f"{key} {pairs[key].tolist()[0]!r}" for key in KEYS)


def _with_thoughts(rows: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the thought before each of both texts; missing of models that answer at once."""
    known = generations[[*TEXT, "thought"]]
    sides = (TEXT, ["model", "prompt_set", "control_id", "sample_control"])
    for name, keys in zip(THOUGHTS, sides, strict=True):
        of_side = known.set_axis([*keys, name], axis=1)
        rows = rows.merge(of_side, on=keys, how="left", validate="many_to_one")
    return rows


def _sentences(rows: pd.DataFrame, prompts: pd.DataFrame, key: str) -> pd.Series:
    """Return the sentence of each row's prompt (``prompt_id``) or control (``control_id``)."""
    known = prompts[["prompt_set", "prompt_id", "prompt"]].rename(columns={"prompt_id": key})
    found = rows[["prompt_set", key]].merge(known, on=["prompt_set", key], how="left", validate="many_to_one")
    lost = found[found["prompt"].isna()]
    if len(lost):
        prompt_set, name, _ = lost.iloc[0]
        raise InputError(f"pairs of {prompt_set}: got {key} {name!r}; allowed: a prompt_id of its prompts table.")
    return found["prompt"]


def _payload(rows: pd.DataFrame, study: str, scorers: Sequence[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page is given, as values that JSON knows."""
    for scorer in scorers:
        if len(rows) and f"{scorer}:outcome" not in rows:
            raise InputError(f"explorer of {study}: got scorer {scorer!r}; allowed: a scorer that the pairs hold.")
    return {
        "study": study,
        "metadata": list(metadata.items()),
        "n": len(rows),
        "strings": {name: _dictionary(rows[name]) for name in [*STRINGS, *(name for name in THOUGHTS if name in rows)]},
        "sample": rows["sample"].astype(int).tolist(),
        "sample_control": rows["sample_control"].astype(int).tolist(),
        "repetition": rows["repetition"].astype(int).tolist(),
        "echo": rows["echo"].astype(int).tolist(),
        "identical": rows["identical"].astype(int).tolist(),
        "weight": _numbers(rows, "weight"),
        "scores": [
            {"scorer": scorer} | {name: _numbers(rows, f"{scorer}:{name}") for name in ["match", *SCORES]}
            for scorer in scorers
        ],
    }


def _dictionary(column: pd.Series) -> dict[str, list[Any]]:
    """Return the distinct values, in order of appearance, and each row's index into them, -1 where there is none."""
    codes, values = pd.factorize(column)
    return {"values": [str(value) for value in values], "codes": codes.tolist()}


def _numbers(rows: pd.DataFrame, name: str) -> list[float | None]:
    """Return a column with None for NaN, which JSON lacks."""
    if name not in rows:
        return []
    values = rows[name].to_numpy(dtype=float).round(6).tolist()
    return [None if math.isnan(value) else value for value in values]
