"""What a study's user brings, looked at before any job is planned, so that mistakes of all files are named at once.

Prompts are read whole: tables, templates, lexicons. Of texts and corpora the columns and the first rows are looked at;
the jobs that import them read the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from leakscope.errors import InputError, Mistakes
from leakscope.files.corpora import read_texts, shard_files
from leakscope.files.reading import MEGABYTE
from leakscope.workflow.study import Study

ROWS_LOOKED_AT = 1000
# Larger tables of texts are left to their jobs: reading them would take longer than planning.
LARGEST_LOOKED_AT = 10 * MEGABYTE
# What stands before the prompt in a template, from so many characters on, may stand in prompts by mistake as well.
SHORTEST_LEAD = 8


def look_into(study: Study) -> list[str]:
    """Return what a user should know of the files of a study.

    Raises:
        InputError: all mistakes that are found in them, one line each.
    """
    found, warnings = Mistakes(), list[str]()
    leaks = "leak" in study.steps
    for name in study.templated:
        with found.kept():
            study.n_prompts_of(name)
    for name in study.tabulated if leaks else ():
        with found.kept():
            warnings += _prompts(study, name)
    for model in study.imported if leaks else ():
        for name in study.prompt_sets:
            with found.kept():
                _texts(study, model, name)
    for entry in study.config["ground"]["axes"].values() if "ground" in study.steps else ():
        if entry["counts"]["source"] == "corpus":
            with found.kept():
                _corpus(entry["counts"])
    found.end()
    return warnings


def _prompts(study: Study, prompt_set: str) -> Iterator[str]:
    # It imports pandas, which a study without tables need not.
    from leakscope.leak.imported_prompts import import_prompts

    entry = study.prompt_set(prompt_set)
    prompts, warnings = import_prompts(Path(entry["path"]), prompt_set, entry.get("sheet"))
    yield from warnings
    leads = {
        study.entries[model]["generation"]["template"].partition("{prompt}")[0].strip() for model in study.generated
    }
    for lead in sorted(lead for lead in leads if len(lead) >= SHORTEST_LEAD):
        n_twice = int(prompts["prompt"].str.lstrip().str.startswith(lead).sum())
        if n_twice:
            yield f"{entry['path']}: {n_twice} prompts begin with {lead!r}, which generation.template says, too."


def _texts(study: Study, model: str, prompt_set: str) -> None:
    from leakscope.leak.imported_texts import check_texts

    path = Path(study.generations_file(model, prompt_set))
    if path.stat().st_size <= LARGEST_LOOKED_AT:
        check_texts(path, study.generations_table(model, prompt_set)["sheet"], rows=ROWS_LOOKED_AT)


def _corpus(counts: dict[str, Any]) -> None:
    first = shard_files(counts["path"])[0]
    if not sum(1 for _ in islice(read_texts(first, counts["text"]), ROWS_LOOKED_AT)):
        raise InputError(f"{first}: got no text; allowed: a corpus of at least one.")
