"""Null models: rule-based texts for which the correct value of each measure is known in advance.

Each model writes after the prompts of the set ``colors``. The measures, with similarities that distinguish colors:

    Leak-Rate   100 × mean outcome of tests against their controls' texts
    difference  Leak-Rate − swapped rate
    match       the match rate: 50 if texts do not depend on the concept, 100 if they identify it

Source: known-answer tests of instruments; for the 2-vs-2 test, permuted labels (Mitchell et al. 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from leakscope.leak.measures.leak_rate import specific_leakage
from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_units
from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.leak.pairs import list_pairs
from leakscope.similarity.encoders import Embedder
from leakscope.similarity.scorers import score_pairs

Writer = Callable[[pd.DataFrame, Generator], list[str]]

TEMPLATES = ("fence-plant", "scarf-gloves", "name-favorite")
N_SAMPLES = 4
PLAIN = "nice."
REFUSAL = "I am sorry, I cannot answer that."
LONG = "it is hard to say, since there are so many of them and each has its own charm, as people have always found."
ASSOCIATES = {
    "black": "coal",
    "white": "snow",
    "red": "rose",
    "green": "grass",
    "yellow": "lemon",
    "blue": "sky",
    "brown": "bark",
    "orange": "pumpkin",
    "pink": "flamingo",
    "purple": "eggplant",
    "gray": "elephant",
}
THINGS = ("a lamp.", "a spoon.", "a door.", "a letter.")
MEASURES = ["leak_rate", "difference", "match_rate", "without_repetition", "p_names"]


class NullModel(NamedTuple):
    """A null model: example text, writer, known match rate (None: no single value), and the lesson, if any."""

    example: str
    write: Writer
    match: float | None
    says: str


def _each(of_test: Callable[[str, str, int], str], of_control: str = PLAIN) -> Writer:
    """Return a writer that uses concept, group and sample after tests, and one fixed text after controls."""

    def write(prompts: pd.DataFrame, rng: Generator) -> list[str]:
        rows = zip(prompts["concept"], prompts["concept_group"], prompts["sample"], strict=True)
        return [of_test(concept, group, k) if isinstance(concept, str) else of_control for concept, group, k in rows]

    return write


def _control_repeated(prompts: pd.DataFrame, rng: Generator) -> list[str]:
    """Sample k of a test is sample k of its control."""
    drawn = dict.fromkeys(zip(prompts["prompt_id"], prompts["sample"], strict=True), "")
    drawn = {key: str(rng.choice(THINGS)) for key in drawn}
    source = prompts["control_id"].where(prompts["control_id"].notna(), prompts["prompt_id"])
    return [drawn[key] for key in zip(source, prompts["sample"], strict=True)]


def _blind(prompts: pd.DataFrame, rng: Generator) -> list[str]:
    """Write a random color after a test, a random thing after a control: the clause matters, the concept does not."""
    tests = prompts["concept"].notna()
    return [f"{rng.choice(list(ASSOCIATES))}." if test else str(rng.choice(THINGS)) for test in tests]


def _length_of_name(prompts: pd.DataFrame, rng: Generator) -> list[str]:
    """Write meaningless words, in a number that is drawn once for each group's name."""
    length = dict(zip(ASSOCIATES, rng.permutation(len(ASSOCIATES)), strict=True))
    groups = prompts["concept_group"].where(prompts["concept"].notna())
    return [" ".join(["and"] * (1 + length[group])) + "." if isinstance(group, str) else PLAIN for group in groups]


NULL_MODELS: Mapping[str, NullModel] = {
    "echo": NullModel(
        "red.",
        _each(lambda concept, group, k: f"{concept}."),
        100,
        "Any color is close to any other, so the difference is small.",
    ),
    "associate": NullModel(
        "red rose.",
        _each(lambda concept, group, k: f"{concept} {ASSOCIATES[group]}."),
        100,
        "The strongest leak: without repetition no pair is left.",
    ),
    "negation": NullModel(
        "not red.",
        _each(lambda concept, group, k: f"not {concept}."),
        100,
        "Counts as leakage: similarities ignore “not”.",
    ),
    "hypernym": NullModel(
        "a color.", _each(lambda concept, group, k: "a color.", "a thing."), 50, "The Leak-Rate calls this leakage."
    ),
    "long elaboration": NullModel(
        "it is hard to say, …", _each(lambda concept, group, k: LONG), 50, "Length moves the Leak-Rate."
    ),
    "refusals and empty texts": NullModel(
        "I am sorry, …", _each(lambda concept, group, k: REFUSAL if k % 2 else ""), 50, "Nothing can be concluded."
    ),
    "echo, half of it empty": NullModel(
        "red. / nothing",
        _each(lambda concept, group, k: "" if k % 2 else f"{concept}."),
        62.5,
        "",
    ),
    "echo, half of it refused": NullModel(
        "red. / I am sorry, …",
        _each(lambda concept, group, k: REFUSAL if k % 2 else f"{concept}."),
        87.5,
        "",
    ),
    "constant": NullModel("nice.", _each(lambda concept, group, k: PLAIN), 50, ""),
    "control repeated": NullModel("its control’s text", _control_repeated, 50, ""),
    "blind": NullModel("any color", _blind, 50, ""),
    "length of the name": NullModel(
        "and and and.", _length_of_name, None, "All rates may leave 50; `p_names` stays valid."
    ),
}


def null_generations(prompts: pd.DataFrame, seed: int = 1, n_samples: int = N_SAMPLES) -> pd.DataFrame:
    """Return the texts of every null model: ``model, prompt_set, prompt_id, sample, text``.

    Args:
        prompts: the prompts table of ``colors``, or a part of it with the controls of its tests.
        seed: of all draws.
        n_samples: of each prompt; even, as the "half of it" models alternate two texts.
    """
    rows = prompts.loc[prompts.index.repeat(n_samples)].reset_index(drop=True)
    rows = rows.assign(sample=np.tile(np.arange(n_samples), len(prompts)))
    tables = [
        rows[["prompt_set", "prompt_id", "sample"]].assign(
            model=name, text=null.write(rows, np.random.default_rng([seed, place]))
        )
        for place, (name, null) in enumerate(NULL_MODELS.items())
    ]
    return pd.concat(tables, ignore_index=True)


def some_prompts(prompts: pd.DataFrame, templates: Sequence[str] = TEMPLATES) -> pd.DataFrame:
    """Return the prompts of these templates whose concepts are one word: few texts, quick to score."""
    basic = ~prompts["concept"].fillna("").str.contains(" ")
    return prompts[prompts["template_id"].isin(templates) & basic].reset_index(drop=True)


def null_measures(
    prompts: pd.DataFrame,
    generations: pd.DataFrame,
    scorers: Mapping[str, Mapping[str, Any]],
    embedder: Embedder | None = None,
) -> pd.DataFrame:
    """Return the value of every measure: ``scorer, model``, ``MEASURES``, one row per scorer and model.

    Args:
        prompts: as in ``null_generations``.
        generations: as ``null_generations`` returns them.
        scorers: settings by name, as in the configuration.
        embedder: finds or computes embeddings.
    """
    pairs = list_pairs(prompts, generations, pd.DataFrame(columns=["slot", "candidate"]))
    tables = []
    for scorer, settings in scorers.items():
        values = score_pairs(pairs["concept"].tolist(), pairs["text"].tolist(), settings, embedder)
        similarity = pairs.assign(similarity=values, cut=False)
        match = match_rates(match_units(prompts, generations, similarity, scorer), permutations=2**10)
        specific = specific_leakage(compare_pairs(prompts, generations, similarity, scorer))
        match, specific = (table[table["category"] == "all"].set_index("model") for table in (match, specific))
        table = match[["match_rate", "p_names"]].assign(
            scorer=scorer,
            leak_rate=specific["leak_rate"],
            difference=specific["specific"],
            without_repetition=match["match_rate_without_repetition"],
        )
        tables.append(table.rename_axis("model").reset_index())
    return pd.concat(tables, ignore_index=True)[["scorer", "model", *MEASURES]]


def describe(measures: pd.DataFrame) -> str:
    """Return the documentation's table in Markdown: one row per null model with Leak-Rate, difference and match rate by
    each scorer, and the lesson.

    Args:
        measures: as ``null_measures`` returns them.
    """
    scorers = list(measures["scorer"].unique())
    found = measures.set_index(["model", "scorer"])
    lines = [["model", "writes, e.g.", "known match rate", *scorers, "shows"], ["---"] * (4 + len(scorers))]
    for name, null in NULL_MODELS.items():
        must = "–" if null.match is None else f"{null.match:g}"
        cells = []
        for scorer in scorers:
            row = found.loc[(name, scorer)]
            cells.append(f"{row['leak_rate']:.0f}, {row['difference']:.1f}, **{row['match_rate']:.1f}**")
        lines.append([name, null.example, must, *cells, null.says])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
