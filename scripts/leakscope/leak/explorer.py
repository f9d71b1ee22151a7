"""The explorer: every generation of a study on one self-contained page, test beside control.

The page holds its data as columns of numbers and of distinct strings (``web.pages.packed``); the browser unpacks them
itself and asks no network for anything. What no row shows before it is opened, thoughts and the similarities of
partners, is in blocks of its own, which the browser unpacks when they are asked for.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError
from leakscope.web.pages import packed, page, write_page

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
# Strings of few values, and those that are searched for words: each string once for all columns that hold it.
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
    "echo_test",
    "echo_control",
]
SENTENCES = ["prompt", "control"]
TEXTS = ["text_test", "text_control"]
COUNTS = ["sample", "sample_control", "repetition", "echo", "identical"]
DIGITS = 6  # after the point, of numbers that the page shows
RATES = ["match_rate", "ci_low", "ci_high", "match_rate_without_repetition", "match_rate_without_echo"]
RATE_KEYS = ["model", "prompt_set", "scorer", "category"]
PLACES = ["unit", "place", "cell"]

Columns = dict[str, NDArray[Any]]


class Partners(NamedTuple):
    """The tests behind a study's match rates, and the similarities that each scorer decides them by."""

    tests: pd.DataFrame  # as ``match_tests.match_tests`` returns them
    similarities: Mapping[str, NDArray[np.float64]]  # scorer → as ``match_tests.match_similarities`` returns them


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
    rates: pd.DataFrame | None = None,
    partners: Partners | None = None,
    template: Path = TEMPLATE,
) -> None:
    """Write the page, whole or not at all; the same tables give the same bytes.

    Args:
        rows: as ``explorer_rows`` returns them.
        path: of the page; its folder is made.
        study: name in the heading.
        scorers: to choose from, the first is shown first.
        metadata: label to value, shown under the heading in this order.
        rates: ``match_rates.csv``, the headline of each model; None: the page has none.
        partners: what an opened row shows of its partners; None: nothing.
        template: the page without its data; beside it what all pages share.

    Raises:
        InputError: ``rows`` lack a scorer.
    """
    for scorer in scorers:
        if len(rows) and f"{scorer}:outcome" not in rows:
            raise InputError(f"explorer of {study}: got scorer {scorer!r}; allowed: a scorer of the pairs.")
    tests = partners.tests if partners else pd.DataFrame(columns=[*TEXT, "text", "prompt", *PLACES, "concept"])
    sentences, texts = _Distinct(SENTENCES, rows, tests["prompt"]), _Distinct(TEXTS, rows, tests["text"])
    facts = {"study": study, "metadata": list((metadata or {}).items()), "rates": _rates(rates), "n": len(rows)}
    blocks = {"data": _row_block(rows, scorers, facts, sentences, texts)}
    if THOUGHTS[0] in rows:
        blocks["thoughts"] = _thought_block(rows)
    if partners:
        blocks["tests"] = _test_block(rows, tests, sentences, texts)
        blocks |= {f"similarities-{at}": _cell_block(partners.similarities[name]) for at, name in enumerate(scorers)}
    first = blocks.pop("data")
    later = "\n".join(f'<script type="text/plain" id="{name}">{block}</script>' for name, block in blocks.items())
    write_page(path, page(template, title=html.escape(study), payload=first, later=later))


class _Distinct:
    """The strings of several columns, each once: their codes, and one text that holds all of them."""

    def __init__(self, names: Sequence[str], rows: pd.DataFrame, more: pd.Series) -> None:
        parts = [rows[name] for name in names] + [more]
        codes, values = pd.factorize(pd.concat(parts, ignore_index=True))
        ends = np.cumsum([len(part) for part in parts])
        *of_rows, self.more = np.split(codes, ends[:-1])
        self.codes = dict(zip(names, of_rows, strict=True))
        self.values = [str(value) for value in values]

    def columns(self, name: str) -> Columns:
        """Return ``<name>.text``, UTF-8, and how long each string is, in the units in which a browser counts."""
        # A lone surrogate is a legal str but not UTF-8; it is shown as a question mark.
        whole = [value.encode("utf-8", "replace") for value in self.values]
        lengths = [len(text.decode("utf-8").encode("utf-16-le")) // 2 for text in whole]
        return {
            f"{name}.text": np.frombuffer(b"".join(whole), dtype=np.uint8),
            f"{name}.lengths": _smallest(np.array(lengths, dtype=np.int64)),
        }


def _distinct_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return keys and texts, once per pair of texts whatever the number of scorers."""
    twice = pairs.duplicated([*KEYS, "scorer"])
    if twice.any():
        raise InputError(f"pairs: {_name(pairs[twice])} appears twice; allowed: one row for each scorer.")
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


def _row_block(
    rows: pd.DataFrame, scorers: Sequence[str], facts: Mapping[str, Any], sentences: _Distinct, texts: _Distinct
) -> str:
    """Return what the list shows and is filtered by."""
    strings, columns = _strings(rows, STRINGS)
    for name, codes in {**sentences.codes, **texts.codes}.items():
        columns[f"codes.{name}"] = _codes(codes)
    columns |= sentences.columns("sentences") | texts.columns("texts")
    columns |= {name: _smallest(rows[name].to_numpy(dtype=np.int64)) for name in COUNTS}
    scales = {}
    names = ["weight", *(f"{scorer}:{name}" for scorer in scorers for name in ["match", *SCORES])]
    for name in names:
        columns[name], scales[name] = _scaled(rows[name].round(DIGITS) if name in rows else np.full(len(rows), np.nan))
    return packed({**facts, "scorers": list(scorers), "strings": strings, "scales": scales}, columns)


def _thought_block(rows: pd.DataFrame) -> str:
    thoughts = _Distinct(THOUGHTS, rows, pd.Series([], dtype=str))
    columns = {f"codes.{name}": _codes(codes) for name, codes in thoughts.codes.items()}
    return packed({}, columns | thoughts.columns("thoughts"))


def _test_block(rows: pd.DataFrame, tests: pd.DataFrame, sentences: _Distinct, texts: _Distinct) -> str:
    """Return which texts are partners, and of each row which test its text takes; none: the number of tests."""
    strings, columns = _strings(tests, [*TEXT[:-1], "concept", "concept_group"])
    columns["codes.sentence"], columns["codes.text"] = _codes(sentences.more), _codes(texts.more)
    columns |= {name: _smallest(tests[name].to_numpy(dtype=np.int64)) for name in ["sample", *PLACES]}
    number = tests[TEXT].assign(test=np.arange(len(tests)))
    found = rows[TEXT].merge(number, on=TEXT, how="left", validate="many_to_one")["test"]
    columns["test"] = _smallest(found.fillna(len(tests)).to_numpy(dtype=np.int64))
    return packed({"n": len(tests), "strings": strings}, columns)


def _cell_block(similarities: NDArray[np.float64]) -> str:
    values, scale = _scaled(similarities)
    return packed({"scale": scale}, {"similarities": values})


def _rates(rates: pd.DataFrame | None) -> list[dict[str, Any]]:
    if rates is None:
        return []
    known = rates[[*RATE_KEYS, *RATES]].astype(object)
    records = known.where(known.notna(), None).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]


def _strings(table: pd.DataFrame, names: Sequence[str]) -> tuple[dict[str, list[str]], Columns]:
    """Return each column's distinct values, in order of appearance, and each row's index into them: their number where
    there is none."""
    values, columns = {}, {}
    for name in names:
        codes, distinct = pd.factorize(table[name])
        values[name] = [str(value) for value in distinct]
        columns[f"codes.{name}"] = _codes(np.where(codes < 0, len(distinct), codes))
    return values, columns


def _codes(codes: NDArray[Any]) -> NDArray[Any]:
    """Return indices in as few bytes as they need; with missing values, which are -1, in four."""
    return _smallest(codes) if (codes >= 0).all() else codes.astype(np.int32)


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers from 0 in as few bytes as the largest needs."""
    return values.astype(np.min_scalar_type(int(values.max())) if len(values) else np.uint8)


def _scaled(values: pd.Series | NDArray[np.float64]) -> tuple[NDArray[Any], int]:
    """Return numbers × scale as whole numbers, and the scale: a power of ten with which nothing is lost.

    NaN is the lowest number of its kind. Where six digits after the point are too few, numbers come as they are, with
    the scale 0.
    """
    exact = np.asarray(values, dtype=float)
    known = exact[~np.isnan(exact)]
    for scale in (1, 10, 100, 1000, 10_000, 100_000, 1_000_000):
        whole = np.rint(known * scale)
        if np.array_equal(whole / scale, known) and np.abs(whole).max(initial=0) < 2**31 - 1:
            largest = np.abs(whole).max(initial=0)
            kind = next(kind for kind in (np.int8, np.int16, np.int32) if largest <= np.iinfo(kind).max)
            return np.where(np.isnan(exact), np.iinfo(kind).min, np.rint(exact * scale)).astype(kind), scale
    return exact, 0
