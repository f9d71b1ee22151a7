"""Checks of the user's files before any job is planned, so that the mistakes of all files are reported at once.

Prompts (tables, templates, lexicons) and small tables are read completely. For texts, scores, counts and corpora, only
the columns and first rows are checked; for JSON without rows, the form, unless the file is large. The importing jobs
read the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from leakscope.configuration.features import OWN
from leakscope.errors import InputError, Mistakes, counted
from leakscope.features.bias.tables import read_pairs
from leakscope.features.dictionaries.files import check_corpus
from leakscope.files.corpora import read_texts, shard_files
from leakscope.files.reading import MEGABYTE
from leakscope.workflow.features import Features
from leakscope.workflow.ground import Ground
from leakscope.workflow.study import Study, read_prompts
from leakscope.workflow.validate import Validate

ROWS_LOOKED_AT = 1000
# Larger files without rows are left to their jobs: reading them would take longer than planning.
LARGEST_LOOKED_AT = 10 * MEGABYTE
# A template's text before the prompt, from this length on, may also be in the prompts by mistake.
SHORTEST_LEAD = 8

Checks = Iterator[Callable[[], object]]


def look_into(study: Study) -> list[str]:
    """Return warnings about the files of a study.

    Raises:
        InputError: all mistakes found in them, one line each.
    """
    found, warnings = Mistakes(), list[str]()
    for name in study.templated:
        with found.kept():
            study.n_prompts_of(name)
    if "leak" in study.steps:
        for name in (*study.tabulated, *study.inserted):
            with found.kept():
                warnings += _prompts(study, name)
    with _left_to_jobs():
        for checks in (_leak, _ground, _validate, _features):
            found.run(checks(study))
    found.end()
    return warnings


def _leak(study: Study) -> Checks:
    for model in study.imported if "leak" in study.steps else ():
        for name in study.prompt_sets:
            yield partial(_texts, study, model, name)


def _ground(study: Study) -> Checks:
    ground = Ground(study)
    for axis, entry in ground.counted.items():
        if entry["counts"]["source"] == "corpus":
            yield partial(_corpus, entry["counts"])
        if entry["counts"]["source"] == "table":
            for path in ground.count_tables(axis).values():
                yield partial(_counts, Path(path), entry["counts"]["columns"])
    for axis, entry in ground.axes.items():
        if entry["prevalence"]:
            yield partial(_prevalence, ground, axis)
        for model in ground.imported:
            for path in ground.score_files(model, axis).values():
                yield partial(_scores, Path(path))


def _validate(study: Study) -> Checks:
    validate = Validate(study)
    if "validate" in study.steps or validate.tuned:
        for task in validate.tasks:
            entry = validate.settings["tasks"][task]
            yield partial(_items, Path(entry["path"]), entry["reader"])
    for files in validate.imported.values():
        for path in files.values():
            yield partial(_item_scores, Path(path))


def _features(study: Study) -> Checks:
    features = Features(study)
    for corpus in dict.fromkeys(entry["corpus"] for entry in features.dictionaries.values()):
        if corpus != OWN:
            first, text = features.texts("", corpus, "train")[0], features.settings["corpora"][corpus]["text"]
            yield partial(check_corpus, Path(first), text, rows=ROWS_LOOKED_AT)
    for name, entry in features.bias_tests.items():
        yield partial(read_pairs, entry["format"], features.bias_files(name))


@contextmanager
def _left_to_jobs() -> Iterator[None]:
    """Suppress warnings about a file: the job that reads it gives them, with the consequences."""
    library = logging.getLogger("leakscope")
    level = library.level
    library.setLevel(logging.ERROR)
    try:
        yield
    finally:
        library.setLevel(level)


def _prompts(study: Study, prompt_set: str) -> Iterator[str]:
    entry = study.prompt_set(prompt_set)
    prompts, warnings = read_prompts(study, prompt_set)
    yield from warnings
    leads = {
        study.entries[model]["generation"]["template"].partition("{prompt}")[0].strip() for model in study.prompted
    }
    for lead in sorted(lead for lead in leads if len(lead) >= SHORTEST_LEAD):
        n_twice = int(prompts["prompt"].str.lstrip().str.startswith(lead).sum())
        if n_twice:
            begin = counted(n_twice, "prompt begins", "prompts begin")
            yield f"{entry['path']}: {begin} with {lead!r}, which generation.template says, too."


def _texts(study: Study, model: str, prompt_set: str) -> None:
    from leakscope.leak.imported_texts import check_texts

    sheet = study.generations_table(model, prompt_set)["sheet"]
    check_texts(Path(study.generations_file(model, prompt_set)), sheet, rows=ROWS_LOOKED_AT)


def _corpus(counts: dict[str, Any]) -> None:
    first = shard_files(counts["path"])[0]
    if not sum(1 for _ in islice(read_texts(first, counts["text"]), ROWS_LOOKED_AT)):
        raise InputError(f"{first}: got no text; allowed: a corpus of at least one.")


def _counts(path: Path, columns: dict[str, str]) -> None:
    from leakscope.ground.imported import check_counts

    check_counts(path, columns, rows=ROWS_LOOKED_AT)


def _prevalence(ground: Ground, axis: str) -> None:
    from leakscope.ground.imported import read_prevalence
    from leakscope.ground.naming import axis_naming

    how = ground.prevalence(axis)
    path = Path(ground.axes[axis]["prevalence"]["path"])
    if _is_small(path):
        read_prevalence(path, axis, axis_naming(how["naming"]), how["per"], how["source"])


def _scores(path: Path) -> None:
    from leakscope.ground.imported import check_scores

    if _is_small(path):
        check_scores(path)


def _items(path: Path, reader: str) -> None:
    from leakscope.validate.tasks.readers import check_items

    if _is_small(path):
        check_items(path, reader)


def _item_scores(path: Path) -> None:
    from leakscope.validate.scoring.imported_scores import check_scores

    if path.suffix.lower() != ".json" or _is_small(path):
        check_scores(path, rows=ROWS_LOOKED_AT)


def _is_small(path: Path) -> bool:
    return path.stat().st_size <= LARGEST_LOOKED_AT
