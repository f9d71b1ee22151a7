"""Estimates before a run: additional texts for controls without the clause, and the cost of texts and log-probabilities
of servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leakscope.configuration.resolved import is_scored_by_server
from leakscope.counting.lexicons import names_in
from leakscope.files.row_counts import count_rows
from leakscope.leak.prompts import count_controls, count_prompts, count_scored
from leakscope.typed.reading import read_typed
from leakscope.validate.tasks.form_file import FormFile
from leakscope.web.spending import Prices, estimate, estimated_tokens
from leakscope.workflow.study import Study, read_prompts

# Approximate tokens of a prompt before prompts exist.
PROMPT_LENGTH = 60
# Of yes and no, of which a validator is asked for each.
SPELLINGS = 10


def more_texts(study: Study) -> Iterator[str]:
    """Yield a line per prompt set and number of texts whose controls get more texts than other prompts.

    The share is of texts: with n after each of N prompts, of which C are controls with m texts,

        100 · (m − n) · C / (n · N)
    """
    for prompt_set in study.prompt_sets if study.prompted else ():
        models: dict[tuple[int, int], list[str]] = {}
        for model in study.prompted:
            settings = study.generation(model, prompt_set)
            n = settings["samples"]
            models.setdefault((n, settings.get("control_samples", n)), []).append(model)
        n_prompts, n_controls = _count(study, prompt_set) if any(n != m for n, m in models) else (0, 0)
        for (n, m), names in models.items():
            if n != m and n_controls:
                share = 100 * (m - n) * n_controls / (n * n_prompts)
                of = f" of {', '.join(names)}" if len(models) > 1 else ""
                asked = f"{m} texts after each control without the clause instead of {n}"
                yield f"{prompt_set}: {asked}: {round(share, 1):g} % more texts{of}."


def costs(study: Study) -> Iterator[str]:
    """Yield the estimated cost of texts for each model behind a server with known prices."""
    for model in study.served if {"leak", "trace"} & set(study.steps) else ():
        entry = study.entries[model]
        if entry["prices"] is None:
            continue
        asked = [one for name in study.prompt_sets for one in _asked(study, model, name)]
        expected = estimate(asked, entry["generation"]["max_new_tokens"], Prices(**entry["prices"]))
        most = "" if entry["max_cost"] is None else f" (max_cost: {entry['max_cost']:g})"
        yield f"{model}: {expected.in_words()}{most}; texts that are stored are not asked for again."


def scoring_costs(study: Study) -> Iterator[str]:
    """Yield the estimated cost of log-probabilities for each such model that is asked for them."""
    counted = {"leak": _of_candidates, "ground": _of_sentences, "validate": _of_answers}
    for model in study.served:
        entry = study.entries[model]
        if entry["prices"] is None or not is_scored_by_server(entry):
            continue
        n = sum(count(study) for step, count in counted.items() if step in study.steps)
        expected = estimate([(estimated_tokens("x" * PROMPT_LENGTH), 1)] * n, 1, Prices(**entry["prices"]))
        yield f"{model}: log-probabilities take {expected.in_words()}; those that are stored are not asked for again."


def _of_candidates(study: Study) -> int:
    return sum(count_scored([Path(file) for file in study.template_files(name)]) for name in study.templated)


def _of_sentences(study: Study) -> int:
    """Return the number of sentences of all axes, each with and without its subject."""
    ground = study.config["ground"]
    named = [
        [len(names_in(Path(axis["lexicons"][side]), language)) for side in ("subjects", "groups")]
        for axis in ground["axes"].values()
        for language in ground["languages"]
    ]
    return sum(ground["templates_used"] * (n_subjects + 1) * n_groups for n_subjects, n_groups in named)


def _of_answers(study: Study) -> int:
    """Return the number of possible answers to all items of the tasks: candidates, and spellings of yes and no."""
    total = 0
    for task in study.config["validate"]["tasks"].values():
        forms = read_typed(Path(task["forms"]), FormFile)
        styles = [style for style in forms.styles if not style.chat and style.id in (task["styles"] or [style.id])]
        of_item = 2 * len(forms.generators) + SPELLINGS * len(forms.validators)
        total += count_rows(Path(task["path"])) * len(styles) * of_item
    return total


def _asked(study: Study, model: str, prompt_set: str) -> Iterator[tuple[int, int]]:
    """Yield approximate tokens and number of texts of each prompt."""
    settings = study.generation(model, prompt_set)
    tokens = estimated_tokens((settings["system"] or "") + settings["template"] + "x" * PROMPT_LENGTH)
    few, many = settings["samples"], settings.get("control_samples", settings["samples"])
    n_prompts, n_controls = (study.n_prompts[prompt_set], 0) if few == many else _count(study, prompt_set)
    yield from [(tokens, few)] * (n_prompts - n_controls) + [(tokens, many)] * n_controls


def _count(study: Study, prompt_set: str) -> tuple[int, int]:
    """Return the number of prompts of a set, and of its controls without the clause."""
    if prompt_set in study.templated:
        files = [Path(file) for file in study.template_files(prompt_set)]
        return count_prompts(files), count_controls(files)
    prompts = read_prompts(study, prompt_set).prompts
    return len(prompts), int(prompts["control_id"].nunique())
