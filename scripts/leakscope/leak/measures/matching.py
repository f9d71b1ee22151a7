"""The match test: given two concepts and a text written after each, which text belongs to which concept?

Two-alternative identification, one row per model, unit and concept. Tests of one *unit* share category and control
sentence and differ only in the concept. Within a unit u, take a text x written after concept c and a text x′ written
after c′, a concept of another group. With similarities s, rounded, the decision variable is

    D(c, x; c′, x′) = [s(c, x) − s(c′, x)] − [s(c, x′) − s(c′, x′)],   rounded to 6 digits

    V_u(g, g′)   mean over concepts c of group g and c′ of g′ of (mean over all their texts of [D > 0] + ½ [D = 0])
    match_u      mean of V_u over the pairs of groups; ½ in expectation if the model is blind to the concept

Two kinds of effects cancel in D: those of a clause on all concepts alike, and an encoder's high similarity of a text to
everything. The *texts* of controls are not used, and concepts may have any numbers of texts.

Source: two-alternative identification, Green & Swets 1966 (Signal Detection Theory and Psychophysics, ch. 2); the
2-vs-2 test of four similarities, Mitchell et al. 2008 (Science 320, 1191).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError
from leakscope.languages.mentions import contains_concept
from leakscope.languages.of_prompts import languages_of
from leakscope.languages.writing import is_foreign
from leakscope.leak.measures.echo import which_restate
from leakscope.leak.measures.outcomes import win
from leakscope.leak.measures.similarities import similarity_matrix
from leakscope.leak.pairs import is_made, tests_by_unit
from leakscope.similarity.concepts import is_empty

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Truths = NDArray[np.bool_]

DIGITS = 6  # to which D is rounded: further digits are floating-point error
MOST_NAMES = 1000  # most groups of a category whose names are permuted: the table grows with their square
CELLS = 4_000_000  # of a block of text pairs: 32 MB
# Means over pairs of texts, and over a concept's texts.
OF_PAIRS = ["match", "kept", "kept_match", "unechoed", "unechoed_match", "effect"]
OF_TEXTS = ["echo", "empty", "unfinished", "foreign"]
VALUES = [*OF_PAIRS, *OF_TEXTS]
UNIT_COLUMNS = [
    "model",
    "prompt_set",
    "scorer",
    "category",
    "template_id",
    "cluster",
    "unit",
    "concept_group",
    "concept",
    "n_prompts",
    "distinct_texts",
    "n_groups",
    *VALUES,
    "name_wins",
]
TEXT_COLUMNS = ["model", "prompt_set", "scorer", "prompt_id", "sample", "match", "weight"]
TEXTS = ["model", "prompt_set", "scorer", "category", "template_id", "cluster", "unit", "concept_group", "concept"]


class Matched(NamedTuple):
    """Units, one row per model, unit and concept; and each text's share of pairs decided right."""

    units: pd.DataFrame
    texts: pd.DataFrame


class _Unit(NamedTuple):
    """The texts of one model in one unit, with the concepts of their prompts."""

    similarity: Floats  # (concepts, texts), rounded; NaN for an empty text
    owner: Integers  # (texts,), the concept that each was written after
    group: Integers  # (concepts,), from 0
    named: Truths  # (concepts, texts): whether the text contains the concept
    echo: Truths  # (concepts, texts): whether the text restates a prompt of the concept
    empty: Truths  # (texts,)
    unfinished: Truths  # (texts,): whether the thought before the text did not end
    foreign: Truths  # (texts,): whether the text is in the script of another language
    spread: Floats  # (concepts, concepts), σ of s(c, ·) − s(c′, ·); NaN where unknown or 0
    asked: Floats  # (concepts of the category, texts), as ``similarity``
    name: Integers  # (concepts of the category,), their groups by name, from 0


def match_units(
    prompts: pd.DataFrame, generations: pd.DataFrame, similarity: pd.DataFrame, scorer: str, decimals: int = 3
) -> pd.DataFrame:
    """Return only the units of ``match_texts``, for models whose templates write nothing after a prompt."""
    return match_texts(prompts, generations, similarity, scorer, decimals).units


def match_texts(
    prompts: pd.DataFrame,
    generations: pd.DataFrame,
    similarity: pd.DataFrame,
    scorer: str,
    decimals: int = 3,
    closings: Mapping[str, str] | None = None,
) -> Matched:
    """Return how often each concept's texts are identified against those of the other groups, unit by unit.

    Args:
        prompts: the prompts table of one set.
        generations: ``model, prompt_set, prompt_id, sample, text`` of all models on that set; ``finished`` if some
            models think first.
        similarity: ``concept, text, similarity`` (unrounded), at least the pairs of ``list_pairs``.
        scorer: its name, stored.
        decimals: to which similarities are rounded before comparison.
        closings: model → its template's text after the prompt, for models with a template.

    Returns:
        Texts of units with partners, ``TEXT_COLUMNS``: ``match`` is the mean over all texts x′ that a text is compared
        with; its mean weighted by ``weight`` is the match rate. And units, ``UNIT_COLUMNS``, one row per model, unit
        and concept:

        distinct_texts  of the model in the unit: 1 if the model ignores the prompt
        n_groups    of the unit; with one group there is no partner, and the values are NaN
        match       mean of V over the other groups, with only this concept on one side, 0 to 1
        kept        share, weighted as ``match``, of text pairs in which neither text contains either concept
        kept_match  mean of ``match`` over these pairs, times ``kept``
        unechoed, unechoed_match  the same for pairs in which neither text restates either prompt (``echo.restated``):
                    excluding texts only by their own prompt would bias a blind model
        effect      mean of D / (2 σ), same weights; σ is the standard deviation of s(c, ·) − s(c′, ·) over the texts of
                    all models after the category's controls; NaN without control
        echo, empty, unfinished, foreign  shares of the concept's texts that restate their own prompt; that are empty;
                    that are empty because the thought before them did not end; that are mostly in the script of another
                    language (``languages.writing``)
        name_wins   (groups of the category,), sorted by name: how often the category's concepts of each group, in this
                    unit or not, are more similar to this concept's texts than to any text of the unit (midranks, same
                    weights); empty without partner, or with more than ``MOST_NAMES`` groups

    Raises:
        InputError: a text or similarity is missing. Texts of made prompts may be missing, as in imported data.
    """
    tests, languages = tests_by_unit(prompts), languages_of(prompts)
    texts_of = generations[["model", "prompt_id", "sample", "text"]].assign(unfinished=_unfinished(generations))
    frames, told = [], []
    for category, of_category in tests.groupby("category", sort=False, dropna=False):
        concepts = of_category[["concept", "concept_group"]].drop_duplicates(ignore_index=True)
        controls = texts_of[texts_of["prompt_id"].isin(of_category["control"].dropna())]
        written = texts_of.merge(of_category, on="prompt_id")
        _check_written(written, of_category[~is_made(of_category)], texts_of["model"].unique())
        texts = pd.Index(pd.concat([written["text"], controls["text"]]).unique())
        matrix = np.round(similarity_matrix(similarity, concepts["concept"].to_list(), texts, scorer), decimals)
        found = _named(concepts["concept"], texts, languages.concepts)
        spread = _spread(matrix[:, texts.get_indexer(controls["text"])])
        written["text_at"] = texts.get_indexer(written["text"])
        written["concept_at"] = pd.MultiIndex.from_frame(concepts).get_indexer(
            pd.MultiIndex.from_frame(written[concepts.columns.to_list()])
        )
        name = pd.factorize(concepts["concept_group"].astype(str), sort=True)[0]
        for _, rows in written.groupby(["model", "unit"], sort=False):
            known, owner = np.unique(rows["concept_at"], return_inverse=True)
            group = pd.factorize(concepts["concept_group"].to_numpy()[known])[0]
            at = rows["text_at"].to_numpy(dtype=np.intp)
            place = np.ix_(known, at)
            taken = _Unit(
                similarity=matrix[place],
                owner=owner,
                group=group,
                named=found[place],
                echo=_echoes(rows, closings or {}, known, languages.texts),
                empty=np.array([is_empty(text) for text in rows["text"]], bool),
                unfinished=rows["unfinished"].to_numpy(),
                foreign=np.array([is_foreign(text, languages.texts) for text in rows["text"]], bool),
                spread=spread[np.ix_(known, known)],
                asked=matrix[:, at],
                name=name,
            )
            values, match = _concept_values(taken)
            frame = pd.DataFrame(values)
            weight = 1 / (np.bincount(owner)[owner] * np.bincount(group)[group[owner]])
            by_text = rows[["model", "prompt_set", "prompt_id", "sample"]]
            told.append(by_text.assign(scorer=scorer, match=match, weight=weight))
            first = rows.drop_duplicates("concept_at").set_index("concept_at").loc[known]
            frames.append(
                frame.assign(
                    category=category,
                    distinct_texts=rows["text"].nunique(),
                    n_prompts=rows.groupby("concept_at")["prompt_id"].nunique().loc[known].to_numpy(),
                    **{name: first[name].to_numpy() for name in TEXTS if name not in ("scorer", "category")},
                )
            )
    if not frames:
        return Matched(pd.DataFrame(columns=UNIT_COLUMNS), pd.DataFrame(columns=TEXT_COLUMNS))
    order = {model: place for place, model in enumerate(texts_of["model"].unique())}
    table = pd.concat(frames, ignore_index=True).assign(scorer=scorer)
    table = table.sort_values("model", key=lambda names: names.map(order), kind="stable", ignore_index=True)
    texts_told = pd.concat(told, ignore_index=True)[TEXT_COLUMNS]
    return Matched(table.astype(dict.fromkeys(TEXTS, "str"))[UNIT_COLUMNS], texts_told[texts_told["match"].notna()])


def _unfinished(generations: pd.DataFrame) -> Truths:
    """Return whether the thought before each text did not end, (texts,); False for models that answer at once."""
    if "finished" not in generations:
        return np.zeros(len(generations), dtype=bool)
    unfinished: Truths = generations["finished"].eq(False).to_numpy(dtype=bool)
    return unfinished


def _check_written(written: pd.DataFrame, tests: pd.DataFrame, models: NDArray[np.object_]) -> None:
    there = written[written["prompt_id"].isin(tests["prompt_id"])].groupby("model", sort=False)["prompt_id"].nunique()
    for model in models:
        if there.get(model, 0) < len(tests):
            known = set(written.loc[written["model"] == model, "prompt_id"])
            first = next(prompt for prompt in tests["prompt_id"] if prompt not in known)
            raise InputError(f"generations of {model}: prompt {first!r} has no sample; allowed: at least one.")


def _echoes(rows: pd.DataFrame, closings: Mapping[str, str], known: Integers, language: str) -> Truths:
    """Return whether each text of a unit restates a prompt of each concept, (concepts, texts).

    Args:
        rows: the unit's texts of one model, each with its ``prompt``.
        closings: model → its template's text after the prompt.
        known: the unit's concepts, as ``concept_at``.
        language: of the texts.
    """
    closing = closings.get(rows["model"].iloc[0], "")
    texts, place = np.unique(rows["text"].to_numpy(dtype=object).astype(str), return_inverse=True)
    prompts = rows.drop_duplicates("prompt_id")
    asked = list(zip(prompts["prompt"], prompts["concept"], strict=True))
    restate = which_restate(texts.tolist(), asked, closing, language)
    found = np.zeros((len(known), len(texts)), dtype=bool)
    np.logical_or.at(found, np.searchsorted(known, prompts["concept_at"]), restate)
    return found[:, place]


def _named(concepts: pd.Series, texts: pd.Index, language: str) -> Truths:
    """Return whether each text contains each concept, (concepts, texts)."""
    names, place = np.unique(concepts.to_numpy(dtype=object).astype(str), return_inverse=True)
    # Text by text: its words are looked up once for all concepts.
    found = [[contains_concept(text, name, language) for name in names.tolist()] for text in texts]
    result: Truths = np.array(found, dtype=bool).reshape(len(texts), len(names)).T[place]
    return result


def _spread(control: Floats) -> Floats:
    """Return σ of s(c, ·) − s(c′, ·) over control texts for each pair of concepts; NaN if undefined or 0.

    Args:
        control: similarities, (concepts, texts of controls).
    """
    known = control[:, ~np.isnan(control).any(0)]
    if known.shape[1] < 2:
        return np.full((len(control), len(control)), np.nan)
    covariance = np.atleast_2d(np.cov(known))
    own = np.diag(covariance)
    variance = own[:, None] + own[None, :] - 2 * covariance
    sigma: Floats = np.sqrt(np.where(variance > 1e-12, variance, np.nan))
    return sigma


def _concept_values(unit: _Unit) -> tuple[dict[str, object], Floats]:
    """Return the values of ``match_texts`` for each concept of one unit and model, and ``match`` of each text."""
    n_concepts, n_texts, n_groups = len(unit.group), len(unit.owner), int(unit.group.max()) + 1
    if n_groups < 2:
        values: dict[str, object] = dict.fromkeys(VALUES, np.full(n_concepts, np.nan))
        return {"n_groups": n_groups, **values, "name_wins": [np.empty(0)] * n_concepts}, np.full(n_texts, np.nan)
    weights = _weights(unit.owner, unit.group)  # of texts, for each concept as the one side: sums to 1 a concept
    mine = np.zeros((n_concepts, n_texts))
    mine[unit.owner, np.arange(n_texts)] = 1 / np.bincount(unit.owner)[unit.owner]
    by_text = {name: np.zeros(n_texts) for name in (*OF_PAIRS, "known")}
    for rows, difference in _differences(unit):
        won = win(difference, np.zeros(1))
        keep = ~_either(unit.named, unit.owner, rows)
        unechoed = ~_either(unit.echo, unit.owner, rows)
        with np.errstate(invalid="ignore"):
            effect = np.nan_to_num(difference) / (2 * unit.spread[unit.owner[rows]][:, unit.owner])
        known = np.isfinite(effect)
        weight = weights[unit.owner[rows]]
        for name, values_of in {
            "match": won,
            "kept": keep,
            "kept_match": won * keep,
            "unechoed": unechoed,
            "unechoed_match": won * unechoed,
            "effect": np.where(known, effect, 0.0),
            "known": known,
        }.items():
            by_text[name][rows] = (weight * values_of).sum(1)
    totals = {name: mine @ of_texts for name, of_texts in by_text.items()}
    with np.errstate(invalid="ignore"):
        totals["effect"] = totals["effect"] / totals.pop("known")
    own = unit.echo[unit.owner, np.arange(n_texts)]
    shares = {"echo": own, "empty": unit.empty, "unfinished": unit.unfinished, "foreign": unit.foreign}
    wins = list(_name_wins(unit)) if unit.name.max() < MOST_NAMES else [np.empty(0)] * n_concepts
    return {
        "n_groups": n_groups,
        **totals,
        **{key: mine @ each for key, each in shares.items()},
        "name_wins": wins,
    }, by_text["match"]


def _weights(owner: Integers, group: Integers) -> Floats:
    """Return the weight of each text as a partner of each concept, (concepts, texts); rows sum to 1.

    Other groups have equal weights, as have the concepts in a group, and the texts of a concept.
    """
    texts, concepts = np.bincount(owner), np.bincount(group)
    share = 1 / (texts[owner] * concepts[group[owner]])
    other = group[:, None] != group[owner][None, :]
    weights: Floats = other * share / (len(concepts) - 1)
    return weights


def _differences(unit: _Unit) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of texts x with D against every text x′, (block, texts).

    D = a(x, c′) + a(x′, c) with a(x, c′) = s(c, x) − s(c′, x), where c is the concept of x.
    """
    n_texts = len(unit.owner)
    own = unit.similarity[unit.owner, np.arange(n_texts)]
    advantage = own[:, None] - unit.similarity.T
    step = max(1, CELLS // n_texts)
    for start in range(0, n_texts, step):
        rows = slice(start, start + step)
        difference = advantage[rows][:, unit.owner] + advantage[:, unit.owner[rows]].T
        yield rows, np.round(difference, DIGITS)


def _either(marked: Truths, owner: Integers, rows: slice) -> Truths:
    """Return, for texts x of a block and every x′, whether either is marked for either of the two concepts.

    Args:
        marked: (concepts, texts).
        owner: (texts,), each text's concept.
        rows: the block.
    """
    own = marked[owner, np.arange(len(owner))]
    cross = marked[:, rows][owner].T | marked[owner[rows]]
    result: Truths = own[rows][:, None] | own[None, :] | cross
    return result


def _name_wins(unit: _Unit) -> Floats:
    """Return how often each name is more similar to a concept's texts than to those of the unit, (concepts, names).

    A weighted midrank with equal weights of groups, of concepts in a group, and of a concept's texts. Empty texts tie.
    """
    texts, concepts = np.bincount(unit.owner), np.bincount(unit.group)
    weight = 1 / (texts[unit.owner] * concepts[unit.group[unit.owner]] * len(concepts))
    known = np.where(np.isnan(unit.asked), -np.inf, unit.asked)
    wins = np.full(known.shape, 0.5)
    for row, values in zip(wins, known, strict=True):
        there = np.isfinite(values)
        order = np.argsort(values[there], kind="stable")
        ranked, below = values[there][order], np.concatenate([[0.0], np.cumsum(weight[there][order])])
        low, high = (below[np.searchsorted(ranked, values[there], side)] for side in ("left", "right"))
        row[there] = (low + high) / 2 + (1 - below[-1]) / 2
    by_name = np.array([wins[unit.name == name].mean(0) for name in range(int(unit.name.max()) + 1)])
    totals = np.zeros((len(texts), len(by_name)))
    np.add.at(totals, unit.owner, by_name.T)
    result: Floats = totals / texts[:, None]
    return result
