"""Confusion matrix of concepts: the concept mentioned in the prompt against the concept named in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from leakscope.files.names import NOT_GROUPS, POOLED
from leakscope.languages.language_files import known_of
from leakscope.languages.mentions import named_of
from leakscope.languages.of_prompts import languages_of
from leakscope.leak.pairs import is_made, tests_by_unit

MATRIX_COLUMNS = ["model", "prompt_set", "category", "concept_group", "generated_group", "n", "share"]


def concept_matrix(prompts: pd.DataFrame, candidates: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """Count the concept groups that texts name, by model, category and concept group of the test prompt.

    The search looks for the candidates of the prompt's slot, without article, in any form; in a set without slots, for
    the concept groups of the prompt's category. Made partner prompts are left out.

    Args:
        prompts: the prompts table of one set.
        candidates: ``slot, candidate, concept_group``.
        generations: of the same set, all models.

    Returns:
        Columns ``MATRIX_COLUMNS``: ``generated_group`` is a group, ``several`` or ``none``; ``share`` in percent of the
        texts of that model, category and concept group. Combinations that do not occur have no row.
    """
    tests, languages = tests_by_unit(prompts[~is_made(prompts)]), languages_of(prompts)
    language = languages.texts if tests["slot"].notna().any() else languages.concepts
    if tests["slot"].notna().any():
        tests = tests[tests["slot"].notna()].assign(words=lambda t: t["slot"])
        vocabulary = candidates.rename(columns={"slot": "words"})
    else:
        tests = tests.assign(words=tests["category"].fillna(POOLED))
        vocabulary = tests[["words", "concept_group"]].assign(candidate=tests["concept_group"]).dropna()
    tests = tests.assign(category=tests["category"].fillna(POOLED))
    columns = ["prompt_id", "category", "concept_group", "words"]
    rows = generations[["model", "prompt_set", "prompt_id", "text"]].merge(tests[columns], on="prompt_id")
    if rows.empty:
        return pd.DataFrame(columns=MATRIX_COLUMNS)
    named = [
        part.assign(generated_group=_named_groups(part["text"], vocabulary[vocabulary["words"] == words], language))
        for words, part in rows[["words", "text"]].drop_duplicates().groupby("words", sort=False)
    ]
    rows = rows.merge(pd.concat(named), on=["words", "text"])
    return _shares(rows, [*tests["concept_group"].dropna().unique()])


def _named_groups(texts: pd.Series, vocabulary: pd.DataFrame, language: str) -> list[str]:
    """Return the group that each text names: one of the vocabulary's, ``several`` or ``none``."""
    groups_of: dict[str, set[str]] = {}
    for candidate, group in zip(vocabulary["candidate"], vocabulary["concept_group"], strict=True):
        groups_of.setdefault(_without_article(candidate, language), set()).add(group)
    found = (set().union(*(groups_of[name] for name in named_of(text, groups_of, language))) for text in texts)
    return [next(iter(groups)) if len(groups) == 1 else NOT_GROUPS[not groups] for groups in found]


def _without_article(name: str, language: str) -> str:
    # French and Italian join an article with apostrophe to the name, without a space.
    articles = (re.escape(one) + ("" if one.endswith(("'", "’")) else r"\s+") for one in known_of(language).articles)
    return re.sub(rf"^(?:{'|'.join(articles)})", "", name.casefold())


def _shares(rows: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Count rows by concept group and generated group; groups in the prompts' order, ``several`` and ``none`` last."""
    last = [*NOT_GROUPS]
    rest = [group for group in rows["generated_group"].unique() if group not in groups and group not in last]
    order = {
        "model": [*rows["model"].unique()],
        "category": [*rows["category"].unique()],
        "concept_group": [*groups],
        "generated_group": [*groups, *rest, *last],
    }
    rows = rows.assign(**{name: rows[name].astype(pd.CategoricalDtype(values)) for name, values in order.items()})
    keys = MATRIX_COLUMNS[:4]
    table = rows.groupby([*keys, "generated_group"], observed=True).size().rename("n").reset_index()
    table[list(order)] = table[list(order)].astype(str)
    table["share"] = (100 * table["n"] / table.groupby(keys)["n"].transform("sum")).round(6)
    return table[MATRIX_COLUMNS]
