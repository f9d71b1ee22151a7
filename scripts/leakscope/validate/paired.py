"""Paired scores of generator and validator, one row per item and form, and the parts of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from leakscope.errors import InputError
from leakscope.statistics.jackknife import Deletions, leave_out
from leakscope.validate.tasks.form_names import IMPORTED, IMPORTED_FORM, PairedForm, paired_forms
from leakscope.validate.tasks.forms import read_forms
from leakscope.validate.tasks.items import ITEM_COLUMNS
from leakscope.validate.tasks.splits import TEST, TRAIN, read_splits

PAIRED_COLUMNS = ["model", "task", "form", *ITEM_COLUMNS, "l_g", "l_v", "l_g_first", "p_yes_no"]
VALUES = ["log_odds", "log_odds_first", "logprob_yes", "logprob_no"]
PART_COLUMNS = ["task", "split", "item_id"]
ALL = "all"
SUBSETS = (ALL, "positive", "negative")

Names = Sequence[Sequence[str]]
"""Two names per file, such as ``[model, task]``, in the order of the files."""

TunedOn = Mapping[str, Sequence[str]]
"""Tuned model → the task and the split that it was trained on."""


def read_pairs(
    scores: Sequence[str],
    scored: Names,
    items: Sequence[str],
    forms: Mapping[str, str],
    styles: Mapping[str, Sequence[str] | None],
) -> pd.DataFrame:
    """Return ``PAIRED_COLUMNS`` of every model and task in the styles that were scored, each task's main form first.

    Args:
        scores: tables of scores, one row per item and prompt form.
        scored: the model and the task of each table.
        items: the table of items of each table.
        forms: task → file of prompt forms; not read for imported scores.
        styles: task → ids of the styles to use, or None for all.

    Raises:
        InputError: an item lacks a score.
    """
    tables = [pd.DataFrame(columns=PAIRED_COLUMNS)]
    for scores_path, (model, task), items_path in zip(scores, scored, items, strict=True):
        table = pd.read_parquet(scores_path)
        imported = table["form_id"].eq(IMPORTED).all()
        named = [IMPORTED_FORM] if imported else paired_forms(read_forms(Path(forms[task])), styles[task])
        # A model without a chat template was not asked in chat styles.
        asked = set(table["style"])
        named = [form for form in named if form.style in asked]
        tables.append(pair_scores(model, task, table, pd.read_parquet(items_path), named))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def pair_scores(
    model: str, task: str, scores: pd.DataFrame, items: pd.DataFrame, forms: Sequence[PairedForm]
) -> pd.DataFrame:
    """Return ``PAIRED_COLUMNS``, form by form, in the order of items; clusters are case-folded.

    ``l_g`` and ``l_v`` are the log-odds of the whole candidate and of yes against no, ``l_g_first`` those of the
    candidate's first token, ``p_yes_no`` the total probability of yes and no; NaN where unknown.

    Args:
        model: name of the model.
        task: name of the task.
        scores: ``item_id, kind, form_id, style`` and values, one row per item and prompt form.
        items: from ``items.item_table``.
        forms: the forms to pair.

    Raises:
        InputError: an item lacks a score.
    """
    of_prompt = dict(list(scores.groupby(["kind", "style", "form_id"])))
    folded = items.assign(model=model, task=task, cluster=items["cluster"].str.casefold())
    tables = []
    for form in forms:
        generator, validator = (
            _values(of_prompt.get(key), items["item_id"], f"scores of {model}, task {task}: {key[0]} form {key[2]!r}")
            for key in (("generator", form.style, form.generator_id), ("validator", form.style, form.validator_id))
        )
        tables.append(
            folded.assign(
                form=form.name,
                l_g=generator["log_odds"].to_numpy(),
                l_v=validator["log_odds"].to_numpy(),
                l_g_first=generator["log_odds_first"].to_numpy(),
                p_yes_no=np.exp(validator[["logprob_yes", "logprob_no"]].to_numpy()).sum(axis=1),
            )
        )
    return pd.concat(tables, ignore_index=True)[PAIRED_COLUMNS]


def read_parts(splits: Sequence[str], names: Names, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return ``PART_COLUMNS``: the items of ``<split>-train`` and ``<split>-test`` of each task.

    Args:
        splits: files of splits.
        names: the task and the split of each file.
        pairs: from ``read_pairs``.

    Raises:
        InputError: a file of splits lacks an item (see ``splits.read_splits``).
    """
    # The empty table is only used if there is no other; concatenated, it would change the columns' types.
    tables = [pd.DataFrame(columns=PART_COLUMNS)]
    for path, (task, split) in zip(splits, names, strict=True):
        items = pairs.loc[(pairs["task"] == task) & (pairs["form"] != IMPORTED), ["item_id"]].drop_duplicates()
        sides = read_splits(Path(path), items)
        for side in (TRAIN, TEST):
            chosen = items.loc[sides == side, "item_id"]
            tables.append(pd.DataFrame({"task": task, "split": f"{split}-{side}", "item_id": chosen}))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def read_named(paths: Sequence[str], names: Names, columns: Sequence[str]) -> pd.DataFrame:
    """Return concatenated tables with ``model, task`` and their ``columns``; no rows without tables.

    Args:
        paths: tables of the workflow.
        names: the model and the task of each table.
        columns: the columns to keep.
    """
    tables = [pd.DataFrame(columns=["model", "task", *columns])]
    for path, (model, task) in zip(paths, names, strict=True):
        table = pd.read_parquet(path)[list(columns)]
        table.insert(0, "model", model)
        table.insert(1, "task", task)
        tables.append(table)
    return pd.concat(tables[1:] or tables, ignore_index=True)


def main_form(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the main (first) form of each model and task."""
    first = pairs.groupby(["model", "task"], sort=False)["form"].transform("first")
    return pairs[pairs["form"] == first].reset_index(drop=True)


def parts_of(rows: pd.DataFrame, parts: pd.DataFrame, tuned_on: TunedOn) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield ``all`` with all rows, then each part of the task with its rows.

    Imported scores have their own items, which are in no split. A tuned model only has the parts of its own split,
    because it was trained on test items of other splits.

    Args:
        rows: from ``read_pairs``, of one model and task.
        parts: from ``read_parts``.
        tuned_on: tuned model → the task and the split that it was trained on.
    """
    yield ALL, rows
    known = rows.loc[rows["form"] != IMPORTED]
    if known.empty:
        return
    task = known["task"].iloc[0]
    trained_on, own = tuned_on.get(known["model"].iloc[0], (None, None))
    for split, members in parts[parts["task"] == task].groupby("split", sort=False):
        if trained_on != task or split in (f"{own}-{TRAIN}", f"{own}-{TEST}"):
            yield str(split), known[known["item_id"].isin(members["item_id"])]


def subsets_of(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each of ``SUBSETS`` with its rows: all, right candidates, wrong candidates."""
    positive = rows["positive"].astype(bool)
    yield from zip(SUBSETS, (rows, rows[positive], rows[~positive]), strict=True)


def forms_and_subsets(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield each combination of a form and one of ``SUBSETS``, with its rows."""
    for form, of_form in rows.groupby("form", sort=False):
        for subset, chosen in subsets_of(of_form):
            yield (str(form), subset), chosen


def new_items(rows: pd.DataFrame) -> Deletions:
    """Return the jackknife samples over clusters and candidates, so that intervals generalise to new items."""
    return leave_out(rows["cluster"], rows["candidate"].str.casefold())


def questions_of(ranked: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``ranked`` (one per question) whose question has a right candidate among ``rows``."""
    folded = rows.loc[rows["positive"].astype(bool), "question"].str.casefold()
    return ranked[ranked["question"].str.casefold().isin(folded)]


def _values(rows: pd.DataFrame | None, item_ids: pd.Series, where: str) -> pd.DataFrame:
    """Return ``VALUES`` in the order of items."""
    table = pd.DataFrame(columns=["item_id", *VALUES]) if rows is None else rows
    scores = table.set_index("item_id").reindex(columns=VALUES).astype(float).reindex(item_ids)
    missing = scores["log_odds"].isna().to_numpy()
    if missing.any():
        item = item_ids.iloc[int(missing.argmax())]
        raise InputError(
            f"{where}: got no score for item {item!r} ({missing.sum()} such items); allowed: a score for each item."
        )
    return scores
