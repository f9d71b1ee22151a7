"""Outcomes of pairs: is the test's text more similar to the concept than its control's text?

For sample k of n of a test prompt, with the similarities of test text and control text to the concept, both rounded:

    outcome = 1 if s_test > s_control, 0.5 if equal, 0 if smaller

If the control has n samples, sample k is paired with the control's sample k. If it has m·n samples, sample k is paired
with k, k + n, k + 2n, ..., one row each, so that all control texts count, and all tests equally.

An empty text has no similarity (NaN) and ties with everything: 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError
from leakscope.languages.mentions import contains_concept
from leakscope.languages.of_prompts import languages_of
from leakscope.leak.measures.echo import NONE, restated
from leakscope.leak.measures.similarities import similarity_matrix
from leakscope.leak.pairs import category_rows, tested_rows

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

CELLS = 4_000_000  # of a block of concepts × pairs: 32 MB

PAIR_COLUMNS = [
    "model",
    "prompt_set",
    "scorer",
    "category",
    "template_id",
    "cluster",
    "concept",
    "concept_group",
    "prompt_id",
    "control_id",
    "control_kind",
    "sample",
    "sample_control",
    "text_test",
    "text_control",
    "similarity_test",
    "similarity_control",
    "outcome",
    "outcome_all_pairs",
    "swapped_outcome",
    "repetition",
    "echo",
    "echo_test",
    "echo_control",
    "identical",
    "cut",
]


def compare_pairs(
    prompts: pd.DataFrame,
    generations: pd.DataFrame,
    similarity: pd.DataFrame,
    scorer: str,
    decimals: int = 3,
    closings: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the compared texts and their outcome, one row per model, test prompt, kind of control and control sample.

    For the neutral control, test and control count with the smaller of their numbers of samples. ``outcome_all_pairs``
    is the mean over all these samples of the control. ``swapped_outcome`` is the mean over the category's concepts of
    other groups, scored with the same two texts (NaN if there are none). Prompts without control are left out.

    Args:
        prompts: the prompts table of one set.
        generations: ``model, prompt_set, prompt_id, sample, text`` of all models on that set.
        similarity: ``concept, text, similarity`` (unrounded; NaN for empty texts), at least the pairs of
            ``list_pairs``; ``cut``: whether the scorer read only the beginning of the text.
        scorer: its name, stored.
        decimals: to which similarities are rounded before comparison.
        closings: model → its template's text after the prompt, for models with a template.

    Returns:
        Columns ``PAIR_COLUMNS``; no rows without generations or test prompts.

    Raises:
        InputError: a text or similarity is missing, a text occurs twice, or a control's number of samples is no
            multiple of its test's.

    Source: outcome and rounding, Smilga 2025 (arXiv 2501.06638) and its notebook.
    """
    rows = _pair_texts(tested_rows(prompts), generations)
    empty = np.full(len(rows), np.nan)
    scored = {name: empty.copy() for name in ("test", "control", "outcome", "all_pairs", "swapped")}
    for index in category_rows(rows):
        part = rows.iloc[index]
        concepts = part[["concept", "concept_group"]].drop_duplicates()
        texts = pd.Index(pd.concat([part["text_test"], part["text_control"]]).unique())
        matrix = np.round(similarity_matrix(similarity, concepts["concept"].to_list(), texts, scorer), decimals)
        own = pd.MultiIndex.from_frame(concepts).get_indexer(pd.MultiIndex.from_frame(part[concepts.columns.to_list()]))
        test, control = texts.get_indexer(part["text_test"]), texts.get_indexer(part["text_control"])
        scored["test"][index], scored["control"][index] = matrix[own, test], matrix[own, control]
        scored["swapped"][index] = _swapped(matrix, concepts["concept_group"], own, test, control)
    scored["outcome"] = win(scored["test"], scored["control"])
    scored["all_pairs"] = _all_pairs(rows, scored["test"], scored["control"])
    return rows.assign(
        scorer=scorer,
        similarity_test=scored["test"],
        similarity_control=scored["control"],
        outcome=scored["outcome"],
        outcome_all_pairs=scored["all_pairs"],
        swapped_outcome=scored["swapped"],
        repetition=_repetition(rows, languages_of(prompts).concepts),
        **_echo(rows, prompts, closings or {}),
        identical=(rows["text_test"] == rows["text_control"]).astype(bool),
        cut=rows[["text_test", "text_control"]].isin(set(similarity.loc[similarity["cut"], "text"])).any(axis=1),
    )[PAIR_COLUMNS]


def _pair_texts(tests: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """Return tests × models × samples of the control with both texts, sorted by prompt and sample."""
    keys = ["model", "prompt_id", "sample"]
    texts = generations[keys + ["text"]]
    twice = texts[texts.duplicated(keys)]
    if len(twice):
        model, prompt_id, sample, _ = twice.iloc[0]
        raise InputError(f"generations of {model}: prompt {prompt_id!r} has sample {sample} twice; allowed: once.")
    fields = [column for column in PAIR_COLUMNS if column in tests]
    wanted = pd.DataFrame({"model": texts["model"].unique()}).merge(tests[fields], how="cross")
    wanted = _with_numbers(wanted.assign(row=np.arange(len(wanted))), texts)
    rows = wanted.merge(texts.rename(columns={"text": "text_test"}), on=["model", "prompt_id"])
    rows = rows[rows["equal"] | (rows["sample"] < rows["n"])]
    controls = ["model", "control_id", "equal", "n", "n_control"]
    control = texts.set_axis(["model", "control_id", "sample_control", "text_control"], axis=1)
    control = wanted[controls].drop_duplicates().merge(control, on=["model", "control_id"])
    control = control[control["equal"] | (control["sample_control"] < control["n_control"])]
    number = control["sample_control"]
    control = control.assign(sample=number.where(control["equal"], number % control["n"]))
    rows = rows.merge(control, on=[*controls, "sample"], how="left", indicator="joined")
    lost = rows[rows["joined"] != "both"]
    if len(lost):
        first = lost.iloc[0]
        raise InputError(
            f"generations of {first['model']}: prompt {first['prompt_id']!r} has sample {first['sample']}, its control "
            f"{first['control_id']!r} has not; allowed: the same samples."
        )
    return rows.sort_values(["row", "sample", "sample_control"], ignore_index=True)


def _with_numbers(wanted: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Return test prompts with the numbers of paired texts, ``n`` and ``n_control``, and whether both are ``equal``.

    Samples must have the same numbers if the counts are equal, and be numbered from 0 if not.

    Raises:
        InputError: a prompt has no text, or the numbers of texts cannot be paired.
    """
    found = texts.groupby(["model", "prompt_id"])["sample"].agg(["size", "max"])
    test, control = (
        found.reindex(pd.MultiIndex.from_frame(wanted[["model", name]])).fillna(0).to_numpy(dtype=int)
        for name in ("prompt_id", "control_id")
    )
    for name, numbers in (("prompt_id", test), ("control_id", control)):
        if (numbers[:, 0] == 0).any():
            first = wanted.iloc[int((numbers[:, 0] == 0).argmax())]
            raise InputError(
                f"generations of {first['model']}: prompt {first[name]!r} has no sample; allowed: at least one."
            )
    neutral = (wanted["control_kind"] == "neutral").to_numpy()
    n_test, n_control = test[:, 0], control[:, 0]
    few, many = np.minimum(n_test, n_control), np.maximum(n_test, n_control)
    _check_numbers(wanted, test, control, wrong=(many % few > 0) | (~neutral & (n_test > n_control)))
    return wanted.assign(equal=n_test == n_control, n=few, n_control=np.where(neutral, few, n_control))


def _check_numbers(wanted: pd.DataFrame, test: Integers, control: Integers, wrong: NDArray[np.bool_]) -> None:
    """Raise for the first test whose samples cannot be paired, by their number or because they are not 0 to n − 1.

    Args:
        wanted: test prompts.
        test: their numbers of samples and largest sample number, (prompts, 2).
        control: the same for their controls.
        wrong: whether the two numbers cannot be paired, (prompts,).
    """
    differ = test[:, 0] != control[:, 0]
    wrong = wrong | (differ & ((test[:, 1] >= test[:, 0]) | (control[:, 1] >= control[:, 0])))
    if wrong.any():
        at = int(wrong.argmax())
        first = wanted.iloc[at]
        numbers = f"{test[at, 0]} samples, its control {first['control_id']!r} has {control[at, 0]}"
        raise InputError(
            f"generations of {first['model']}: prompt {first['prompt_id']!r} has {numbers}; "
            "allowed: as many for both, or a multiple for the control, numbered from 0."
        )


def win(test: Floats, control: Floats) -> Floats:
    """Return 1 where the test's similarity is larger, 0.5 where equal or where one is NaN, 0 where smaller."""
    outcome: Floats = np.nan_to_num(np.sign(test - control), copy=False) / 2 + 0.5
    return outcome


def _swapped(matrix: Floats, groups: pd.Series, own: Integers, test: Integers, control: Integers) -> Floats:
    """Return each pair's mean outcome over the concepts of other groups, (pairs,); NaN where there are none.

    Computed as the sum over all concepts minus the sum over the own group, in blocks of pairs.
    """
    group, names = pd.factorize(groups, use_na_sentinel=False)
    member = (np.arange(len(names))[:, None] == group).astype(float)
    others = len(group) - member.sum(1)
    result = np.full(len(own), np.nan)
    step = max(1, CELLS // len(group))
    for start in range(0, len(own), step):
        block = slice(start, start + step)
        sums = member @ win(matrix[:, test[block]], matrix[:, control[block]])
        mine = group[own[block]]
        total = sums.sum(0) - sums[mine, np.arange(len(mine))]
        result[block] = np.divide(total, others[mine], out=np.full(len(mine), np.nan), where=others[mine] > 0)
    return result


def _all_pairs(rows: pd.DataFrame, test: Floats, control: Floats) -> Floats:
    """Return each test text's mean outcome against all samples of its control."""
    start = np.flatnonzero(~rows["row"].duplicated().to_numpy())
    size = np.diff(np.append(start, len(rows)))
    first, n = np.repeat(start, size), np.repeat(size, size)
    place = np.arange(len(rows)) - first
    total = np.zeros(len(rows))
    for shift in range(size.max(initial=0)):
        inside = shift < n
        other = (first + (place + shift) % n)[inside]
        total[inside] += win(test[inside], control[other])
    mean: Floats = total / n
    return mean


def _repetition(rows: pd.DataFrame, language: str) -> NDArray[np.bool_]:
    """Return whether either text contains the concept, (pairs,); each distinct text and concept is searched once."""
    result = np.zeros(len(rows), dtype=bool)
    for side in ("text_test", "text_control"):
        pair = rows.groupby(["concept", side], sort=False).ngroup().to_numpy()
        pairs = rows[["concept", side]].drop_duplicates().itertuples(index=False)
        result |= np.array([contains_concept(text, concept, language) for concept, text in pairs], dtype=bool)[pair]
    return result


def _echo(rows: pd.DataFrame, prompts: pd.DataFrame, closings: Mapping[str, str]) -> dict[str, pd.Series]:
    """Return whether either text restates the test's prompt or the control, and what each restates of its own prompt.

    Both texts are compared with both prompts: if pairs were excluded only by a text's own prompt, control texts that
    happen to restate the test would stay, and a blind model would score below 50.
    """
    sentences = prompts.set_index("prompt_id")["prompt"]
    language = languages_of(prompts).texts
    asked = {"test": (rows["prompt_id"], rows["concept"]), "control": (rows["control_id"], None)}
    found = {
        (side, of): _restated(rows[f"text_{side}"], ids.map(sentences), concepts, rows["model"].map(closings), language)
        for side in asked
        for of, (ids, concepts) in asked.items()
    }
    either = np.any([restates != NONE for restates in found.values()], axis=0)
    own = {f"echo_{side}": found[side, side] for side in asked}
    return {"echo": pd.Series(either, rows.index, dtype=bool), **own}


def _restated(
    texts: pd.Series, sentences: pd.Series, concepts: pd.Series | None, closings: pd.Series, language: str
) -> pd.Series:
    """Return what each text restates; each distinct combination is computed once."""
    concept = pd.Series("", texts.index, dtype=str) if concepts is None else concepts
    known: dict[tuple[str, ...], str] = {}
    asked = zip(texts, sentences, concept, closings.fillna(""), strict=True)
    answers = [known[key] if key in known else known.setdefault(key, restated(*key, language)) for key in asked]
    return pd.Series(answers, texts.index, dtype=str)
