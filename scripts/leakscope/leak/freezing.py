"""Writes the frozen tables of a grammar part from prompt sets and facts.

Separate from ``leak_grammar``, on which training depends: a change in prompt building must not retrain organisms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from leakscope.files.tables import write_csv
from leakscope.leak.prompt_files import FactFile, read_lexicon
from leakscope.leak.prompts import PromptSet, fill
from leakscope.organisms.grammar_files import COLUMNS
from leakscope.typed.reading import read_typed

HELD_OUT_SHARE = 1 / 3


def freeze(prompt_sets: Mapping[str, PromptSet], facts: pd.DataFrame, folder: Path) -> None:
    """Write ``contexts.csv``, ``candidates.csv`` and ``facts.csv``.

    Args:
        prompt_sets: name → prompts and candidates; prompts without a slot are left out.
        facts: ``fact_id, context, answer``.
        folder: of the part.
    """
    contexts = pd.concat([_contexts(built.prompts) for built in prompt_sets.values()], ignore_index=True)
    candidates = pd.concat([built.candidates for built in prompt_sets.values()], ignore_index=True).drop_duplicates()
    frames = {"contexts": contexts, "candidates": candidates, "facts": facts}
    for name, columns in COLUMNS.items():
        write_csv(frames[name][columns], folder / f"{name}.csv")


def expand_facts(path: Path, lexicons: Path) -> pd.DataFrame:
    """Return ``fact_id, context, answer``: each fact of a YAML file with each term of its lexicon, without duplicates.

    Raises:
        InputError: as ``read_typed``, for the file or a lexicon; or a term lacks the value of a placeholder.
    """
    rows = []
    for place, fact in enumerate(read_typed(path, FactFile).facts):
        texts = {f"{path}: facts.{place}.{key} ({fact.id!r})": getattr(fact, key) for key in ("prompt", "answer")}
        for term in read_lexicon(lexicons / f"{fact.lexicon}.yaml"):
            values = {"term": term.term, **term.fillers}
            rows.append((fact.id, *(fill(text, values, where) for where, text in texts.items())))
    return pd.DataFrame(rows, columns=COLUMNS["facts"]).drop_duplicates(["context", "answer"], ignore_index=True)


def _contexts(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return a set's sentence beginnings; a third of each template's fillers, chosen by hash, is held out."""
    rows = prompts[prompts["slot"].notna()].copy()
    # The frozen table has an empty string as a control's concept.
    rows[["concept", "concept_group"]] = rows[["concept", "concept_group"]].fillna("")
    rows["context"] = rows["prompt"]
    rows["in_corpus"] = "yes"
    for template_id, tests in rows[rows["concept_group"] != ""].groupby("template_id"):
        rank = (f"{template_id}\n" + tests["concept"]).map(lambda key: hashlib.sha256(key.encode()).hexdigest())
        held_out = rank.sort_values().index[: round(len(tests) * HELD_OUT_SHARE)]
        rows.loc[held_out, "in_corpus"] = "no"
    return rows
