"""Tests, controls, units and clusters of a prompts table, and the similarities that comparing them needs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from leakscope.languages.closing_marks import closing_mark
from leakscope.languages.of_prompts import languages_of
from leakscope.models.thinking.measured import BETWEEN
from leakscope.organisms.thoughts import joint

PAIR_COLUMNS = ["concept", "text", "languages"]
CONTROLS = {"without": "control_id", "neutral": "neutral_control_id"}


def list_pairs(prompts: pd.DataFrame, generations: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the distinct pairs ``concept, text`` whose similarity is needed, and the ``languages`` of each concept.

    By prompt set and category: each concept with each text generated for any test prompt or its controls (the match
    rate compares all), and with each candidate of the slots used, with its full stop. If sets of several languages have
    the same pair, ``languages`` has all of them, separated by spaces.

    Args:
        prompts: the prompts tables of any number of sets.
        generations: of the same sets, all models.
        candidates: ``slot, candidate, concept_group``.
    """
    texts_of = generations[["prompt_set", "prompt_id", "text"]].drop_duplicates()
    words_of = candidates[["slot", "candidate"]].drop_duplicates()
    found = []
    for prompt_set, rows in prompts.groupby("prompt_set", sort=False):
        of_set = texts_of[texts_of["prompt_set"] == prompt_set]
        mark = closing_mark(languages_of(rows).texts)
        units = tests_by_unit(rows)
        more = units[units["control"].isna() | is_made(units)]
        tests = pd.concat([tested_rows(rows), more], ignore_index=True)
        for index in category_rows(tests):
            part = tests.iloc[index]
            ids = {*part["prompt_id"], *part["control_id"].dropna()}
            texts = [of_set.loc[of_set["prompt_id"].isin(ids), "text"]]
            texts.append(words_of.loc[words_of["slot"].isin(part["slot"].dropna()), "candidate"] + mark)
            concepts = pd.DataFrame({"concept": part["concept"].unique(), "languages": languages_of(rows).concepts})
            found.append(concepts.merge(pd.DataFrame({"text": pd.concat(texts).unique()}), how="cross"))
    if not found:
        return pd.DataFrame({name: pd.Series(dtype=str) for name in PAIR_COLUMNS})
    pairs = pd.concat(found).drop_duplicates(ignore_index=True)
    if pairs["languages"].nunique() > 1:
        pairs["languages"] = pairs.groupby(["concept", "text"], sort=False)["languages"].transform(" ".join)
    return pairs.drop_duplicates(ignore_index=True)[PAIR_COLUMNS]


def has_joined(generations: pd.DataFrame) -> bool:
    """Return whether some texts join a thought and an answer (see ``models.thinking.measured``)."""
    if "thought" not in generations:
        return False
    known = generations.dropna(subset="thought")
    rows = zip(known["text"], known["thought"], strict=True)
    return any(thought and text.startswith(f"{thought}{BETWEEN}") for text, thought in rows)


def with_joined(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return candidates together with all pairs of a slot's candidates: the texts that join a thought and an answer."""
    words = candidates[["slot", "candidate"]].drop_duplicates()
    pairs = words.merge(words, on="slot", suffixes=("", "_answer"))
    joined = pairs["candidate"].combine(pairs["candidate_answer"], joint)
    return pd.concat([candidates, pd.DataFrame({"slot": pairs["slot"], "candidate": joined})], ignore_index=True)


def tested_rows(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the tests that Leak-Rates compare: one row per test prompt and kind of control, with ``control_id`` and
    ``cluster``.

    For match rates use ``tests_by_unit``. Clusters are templates joined by shared controls; controls with the same
    sentence are one control. Made partner prompts are left out: users did not ask for their Leak-Rates, and imported
    texts do not cover them.
    """
    own = prompts[~is_made(prompts)]
    sentence = prompts.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    kinds = []
    for kind, column in CONTROLS.items():
        tests = own[own[column].notna()]
        control = tests[column].astype(str)
        cluster = shared_clusters(tests["template_id"], control, control.map(sentence))
        kinds.append(tests.assign(control_id=control, control_kind=kind, cluster=cluster))
    return pd.concat(kinds, ignore_index=True).drop(columns="neutral_control_id")


def is_made(prompts: pd.DataFrame) -> pd.Series:
    """Return whether each prompt was made as a partner of another; False in a table without the column ``made``."""
    return prompts["made"].eq("yes") if "made" in prompts else pd.Series(False, prompts.index)


def tests_by_unit(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the tests that match rates compare: test prompts with ``unit``, ``cluster`` and ``control`` (id or null).

    A test's unit is the exact sentence of its control without the clause, else of its neutral control. If no prompt of
    a template has a control, the template is the unit. Other concepts without control are no tests. Clusters are as for
    Leak-Rates: templates whose tests share a control, or a control's sentence, form one cluster.
    """
    sentence = prompts.set_index("prompt_id")["prompt"]
    control = prompts["control_id"].where(prompts["control_id"].notna(), prompts["neutral_control_id"])
    controlled = set(prompts.loc[control.notna(), "template_id"].dropna())
    template = prompts["template_id"].where(~prompts["template_id"].isin(controlled))
    tests = prompts.assign(control=control, unit=control.map(sentence).where(control.notna(), template))
    tests = tests[tests["concept"].notna() & tests["unit"].notna()].reset_index(drop=True)
    return tests.assign(cluster=shared_clusters(tests["template_id"], tests["unit"], tests["unit"]))


def category_rows(rows: pd.DataFrame) -> Iterator[NDArray[np.intp]]:
    """Yield the row numbers of each category; rows without one are a category of their own."""
    codes, names = pd.factorize(rows["category"], use_na_sentinel=False)
    for code in range(len(names)):
        yield np.flatnonzero(codes == code)


def shared_clusters(templates: pd.Series, controls: pd.Series, sentences: pd.Series) -> pd.Series:
    """Return each test's cluster: templates (or controls, if null) joined by shared controls, named by the first.

    Pairs that share a control are dependent, so no cluster may be smaller. Controls with the same sentence are one
    control, whatever their names.

    Args:
        templates: of each test; may be null.
        controls: of each test, in the same order: the control's name.
        sentences: of the controls, in the same order.
    """
    labels = templates.astype(object).where(templates.notna(), controls).astype(str)
    template, _ = pd.factorize(labels)
    control, names = pd.factorize(sentences)
    size = len(labels) + len(names)
    links = coo_array((np.ones(len(labels)), (template, len(labels) + control)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return labels.groupby(component[template]).transform("first") if len(labels) else labels
