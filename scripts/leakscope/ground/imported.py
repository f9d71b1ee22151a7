"""Reading and checking users' tables of counts, scores and prevalence."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from leakscope.counting.units import AS_IMPORTED
from leakscope.errors import InputError, Mistakes, counted
from leakscope.files.reading import parse_json, read_utf8
from leakscope.files.tables import read_first_rows, read_table
from leakscope.ground.agreement.whole import lost_subjects
from leakscope.ground.naming import Naming

logger = logging.getLogger(__name__)

COUNT_COLUMNS = ["axis", "subject", "group", "window", "unit", "count"]
SCORE_COLUMNS = ["model", "axis", "language", "template_id", "subject", "group"]
SCORES = ["logprob", "logprob_mean", "logprob_span", "pmi"]
PREVALENCE_COLUMNS = ["axis", "subject", "group", "prevalence", "source"]
PER = 10_000
# The sum of counts over all pairs of an axis, about ten thousand, must fit 64 bits.
LARGEST_COUNT = 1e14
# Known names of our columns in published tables, in lower case.
KNOWN_AS = {
    "subject": ("subject", "disease"),
    "group": ("group", "demographics", "demographic"),
    "count": ("count", "counts"),
}
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?")


def import_counts(
    paths: Mapping[int | None, Path], axis: str, naming: Naming, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Return ``axis, subject, group, window, unit, count`` from tables with one subject, group and count per row.

    Pairs that a table lacks are added with a count of 0.

    Args:
        paths: window in words (None: not known) → file.
        axis: name of the axis.
        naming: naming rules of the axis.
        columns: names of ``subject``, ``group`` and ``count`` in the files, unless they are these or Cross-Care's
            ``Disease``, ``Demographics`` and ``Counts``.

    Raises:
        InputError: a column is missing, a count is not a whole number of at least 0, or a pair is repeated.
    """
    found, wide = Mistakes(), dict[int | None, pd.DataFrame]()
    for window, path in paths.items():
        with found.kept():
            wide[window] = _read_counts(path, naming, columns)
    found.end()
    subjects = sorted({subject for counts in wide.values() for subject in counts.index})
    groups = sorted({group for counts in wide.values() for group in counts.columns})
    tables = []
    for window, counts in wide.items():
        whole = counts.reindex(index=subjects, columns=groups)
        n_missing = int(whole.isna().to_numpy().sum())
        if n_missing:
            logger.info("%s: sets %d of %d pairs without a row to 0", paths[window], n_missing, whole.size)
        long = whole.fillna(0).astype("int64").melt(ignore_index=False, value_name="count").reset_index()
        tables.append(long.assign(window=window))
    table = pd.concat(tables, ignore_index=True)
    table["window"] = table["window"].astype("Int64")
    return table.assign(axis=axis, unit=AS_IMPORTED)[COUNT_COLUMNS]


def check_counts(path: Path, columns: Mapping[str, str], *, rows: int) -> None:
    """Check the columns and first rows of a table of counts before any job starts.

    Raises:
        InputError: as ``import_counts``, for single rows.
    """
    table = read_first_rows(path, rows)
    if table is not None:
        _counted_rows(table, path, columns)


def _counted_rows(table: pd.DataFrame, path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return ``subject, group, count`` with the table's own names."""
    found, column_of = Mistakes(), dict[str, str]()
    for key in KNOWN_AS:
        with found.kept():
            column_of[key] = _column_name(table, path, key, columns.get(key))
    found.end()
    rows = pd.DataFrame({key: table[name] for key, name in column_of.items()})
    counts = []
    for i, text in rows["count"].items():
        with found.kept():
            counts.append(_whole_number(text, f"{path}, row {i}: column {column_of['count']!r}"))
    found.end()
    return rows.assign(count=counts)


def _read_counts(path: Path, naming: Naming, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return counts, subjects × groups, NaN where the table has no row."""
    rows = _counted_rows(read_table(path), path, columns)
    naming.warn_of_strangers(set(rows["subject"]), str(path))
    named = naming.apply(rows, ["subject", "group"], str(path))
    return named.pivot(index="subject", columns="group", values="count")


def import_scores(
    path: Path, model: str, axis: str, language: str, naming: Naming, templates_used: int
) -> pd.DataFrame:
    """Return ``model, axis, language, template_id, subject, group, tokens, logprob, …`` from a file of scores.

    The file is JSON of the form ``{subject: [[group, [score of template 0, of template 1, …]], …], …}``. Scores are
    log-probabilities of whole sentences; those of the first ``templates_used`` templates are read. Other columns are
    NaN, as are scores that are null, NaN or infinite.

    Raises:
        InputError: the file has another form, subjects have different numbers of templates, a pair is repeated, or so
            many scores are missing that no subject can be ranked.
    """
    table = pd.DataFrame(_scored_rows(path), columns=["subject", "group", "template_id", "logprob"])
    lengths = table.groupby(["subject", "group"], sort=False).size()
    if lengths.nunique() > 1:
        shortest = lengths[lengths == lengths.min()].reset_index(name="n").iloc[0]
        scores = counted(shortest["n"], "score", "scores")
        raise InputError(
            f"{path}: subject {shortest['subject']!r}, group {shortest['group']!r}: got {scores}; allowed: "
            f"{lengths.max()}, as for other pairs."
        )
    if lengths.max() < templates_used:
        given = counted(int(lengths.max()), "template", "templates")
        logger.warning("%s: got scores of %s instead of %d", path, given, templates_used)
    table = table[table["template_id"] < templates_used]
    table = naming.apply(table, ["subject", "group", "template_id"], str(path))
    if (table["logprob"] > 0).any():
        n_above = int((table["logprob"] > 0).sum())
        above = counted(n_above, "scores is above 0", "scores are above 0", of=len(table))
        logger.warning("%s: %s; log-probabilities are at most 0", path, above)
    _check_lost(table, path)
    table = table.assign(model=model, axis=axis, language=language, template_id=table["template_id"].map(str))
    for unknown in ("tokens", *SCORES):
        if unknown != "logprob":
            table[unknown] = math.nan
    return table[[*SCORE_COLUMNS, "tokens", *SCORES]].astype({"tokens": "Int64"})


def check_scores(path: Path) -> None:
    """Check the format of a whole file of scores before any job starts.

    Raises:
        InputError: as ``import_scores``, for single groups.
    """
    _scored_rows(path)


def _scored_rows(path: Path) -> list[tuple[str, str, int, float]]:
    """Return subject, group, template number and score, as in the file."""
    rows: list[tuple[str, str, int, float]] = []
    found = Mistakes()
    for subject, entries in _load_json(path).items():
        where = f"{path}: subject {subject!r}"
        if not isinstance(entries, list):
            allowed = "a list of [group, scores]"
            found.append(InputError(f"{where}: got {_json_type(entries)}; allowed: {allowed}."))
            continue
        for entry in entries:
            with found.kept():
                group, scores = _scored_group(entry, where)
                rows += [(subject, group, i, score) for i, score in enumerate(scores)]
    found.end()
    return rows


def read_prevalence(path: Path, axis: str, naming: Naming, per: float, source: str | None) -> pd.DataFrame:
    """Return ``axis, subject, group, prevalence, source``; prevalence in cases per 10,000 persons.

    A long table has the columns ``subject, group, prevalence, source``; a wide one has a column of subjects and one
    column per group. Thousands may be separated by commas. An empty cell is unknown.

    Args:
        path: the table.
        axis: name of the axis.
        naming: naming rules of the axis.
        per: number of persons that the file's numbers refer to.
        source: source of the numbers, for a table without a column ``source``.

    Raises:
        InputError: a row has no source, a number is invalid or negative, or a pair is repeated.
    """
    table = read_table(path)
    table.columns = [str(name) for name in table.columns]
    subject = _column_name(table, path, "subject", None)
    if "source" not in table and source is None:
        raise InputError(f"{path}: got no column 'source'; add it, or the key `source` in the axis's prevalence.")
    long = _long_table(table, path, subject)
    sources = long["source"] if "source" in table else pd.Series(source, index=long.index)
    for row, name in zip(long["row"], sources, strict=True):
        if not name.strip():
            raise InputError(f"{path}, row {row}: column 'source': got nothing; allowed: the number's source.")
    values = [
        _number(text, f"{path}, row {row}: group {group!r}", empty=math.nan) * PER / per
        for text, row, group in zip(long["prevalence"], long["row"], long["group"], strict=True)
    ]
    rows = pd.DataFrame({"subject": long["subject"], "group": long["group"], "prevalence": values, "source": sources})
    rows = rows[rows["prevalence"].notna()]
    named = naming.apply(rows, ["subject", "group"], str(path)).assign(axis=axis)[PREVALENCE_COLUMNS]
    if naming.group_ids:
        foreign = sorted(set(named["group"]) - set(naming.group_ids.values()))
        if foreign:
            logger.warning("%s: drops groups that are not in the axis %s: %s", path, axis, ", ".join(foreign))
        named = named[~named["group"].isin(foreign)].reset_index(drop=True)
    return named


def _long_table(table: pd.DataFrame, path: Path, subject: str) -> pd.DataFrame:
    """Return ``subject, group, prevalence, row``, and ``source`` if present, one row per number."""
    numbered = table.assign(row=range(2, len(table) + 2))
    if "prevalence" in table:
        group = _column_name(table, path, "group", None)
        return numbered.rename(columns={subject: "subject", group: "group"})
    fixed = {subject: "subject", "source": "source", "row": "row"}
    groups = [name for name in table if name not in (*fixed, "year", "note", "kind")]
    if not groups:
        raise InputError(f"{path}: got neither a column 'prevalence' nor columns of groups; add one of these.")
    kept = [name for name in fixed if name in numbered]
    long = numbered.melt(kept, groups, var_name="group", value_name="prevalence")
    return long.rename(columns=fixed).sort_values("row", kind="stable", ignore_index=True)


def _column_name(table: pd.DataFrame, path: Path, key: str, given: str | None) -> str:
    """Return the name of one of our columns in a user's table."""
    if given is not None:
        if given not in table:
            raise InputError(f"{path}: got no column {given!r}; allowed: {', '.join(map(str, table.columns))}.")
        return given
    by_name = {str(name).casefold(): str(name) for name in table.columns}
    for name in KNOWN_AS[key]:
        if name in by_name:
            return by_name[name]
    names = ", ".join(map(str, table.columns))
    raise InputError(f"{path}: got the columns {names}; allowed: one of them named {' or '.join(KNOWN_AS[key])}.")


def _whole_number(text: str, where: str) -> int:
    value = _number(text, where)
    if value != int(value) or value >= LARGEST_COUNT:
        raise InputError(f"{where}: got {text!r}; allowed: a whole number from 0 to below {LARGEST_COUNT:.0e}.")
    return int(value)


def _number(text: str, where: str, empty: float | None = None) -> float:
    text = text.strip()
    if not text and empty is not None:
        return empty
    if not _NUMBER.fullmatch(text) or not re.search(r"\d", text):
        raise InputError(
            f"{where}: got {text!r}; allowed: a number of at least 0, with or without commas for thousands."
        )
    value = float(text.replace(",", ""))
    if value < 0 or not math.isfinite(value):
        raise InputError(f"{where}: got {text!r}; allowed: a number of at least 0.")
    return value


def _check_lost(table: pd.DataFrame, path: Path) -> None:
    """Warn about missing scores and subjects that cannot be ranked.

    Raises:
        InputError: no subject can be ranked.
    """
    n_missing, n_subjects = int(table["logprob"].isna().sum()), table["subject"].nunique()
    lost = lost_subjects(table, "logprob")
    if len(lost) == n_subjects:
        raise InputError(
            f"{path}: got no subject with scores of two groups in one template ({n_missing} of {len(table)} scores are "
            "not numbers); allowed: at least one such subject."
        )
    if n_missing:
        missing = counted(n_missing, "scores is not a number", "scores are not numbers", of=len(table))
        subjects = counted(len(lost), "subjects is", "subjects are", of=n_subjects)
        logger.warning("%s: %s; %s lost with %s", path, missing, subjects, "it" if n_missing == 1 else "them")


def _load_json(path: Path) -> dict[str, Any]:
    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path}: got the subject {twice!r} twice; allowed: each subject once.")
        return content

    content = parse_json(read_utf8(path), str(path), "{subject: [[group, [scores]]]}", unique)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: got {_json_type(content)}; allowed: an object {{subject: [[group, [scores]]]}}.")
    return content


def _scored_group(entry: object, where: str) -> tuple[str, list[float]]:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
        raise InputError(f"{where}: got {str(entry)[:60]}; allowed: [group, [scores]].")
    group, scores = entry
    if not isinstance(scores, list) or not scores:
        raise InputError(f"{where}, group {group!r}: got {_json_type(scores)}; allowed: a list of at least one score.")
    for score in scores:
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise InputError(f"{where}, group {group!r}: got {score!r}; allowed: a log-probability.")
    return group, [_finite(score) for score in scores]


def _finite(score: float | None) -> float:
    """Return a score as float; NaN for null, infinite values and whole numbers too large for a float."""
    try:
        return math.nan if score is None or not math.isfinite(score) else float(score)
    except OverflowError:
        return math.nan


def _json_type(value: object) -> str:
    if isinstance(value, list | dict) and not value:
        return f"an empty {type(value).__name__}"
    return f"{type(value).__name__} {str(value)[:40]!r}"
