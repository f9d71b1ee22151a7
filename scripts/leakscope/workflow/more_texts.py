"""How many more texts a study asks of models that write more after controls without the clause, and what those of
servers may cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leakscope.leak.prompts import count_controls, count_prompts
from leakscope.web.spending import Prices, estimate, estimated_tokens
from leakscope.workflow.study import Study

# Of a prompt, about, before there are any.
PROMPT_LENGTH = 60


def more_texts(study: Study) -> Iterator[str]:
    """Yield a line for each prompt set, and number of texts, after whose controls more texts are written than else.

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
    """Yield a line for each model behind a server whose prices are known: about what its texts may cost."""
    for model in study.served if {"leak", "trace"} & set(study.steps) else ():
        entry = study.entries[model]
        if entry["prices"] is None:
            continue
        asked = [one for name in study.prompt_sets for one in _asked(study, model, name)]
        expected = estimate(asked, entry["generation"]["max_new_tokens"], Prices(**entry["prices"]))
        most = "" if entry["max_cost"] is None else f" (max_cost: {entry['max_cost']:g})"
        yield f"{model}: {expected.in_words()}{most}; texts that are stored are not asked for again."


def _asked(study: Study, model: str, prompt_set: str) -> Iterator[tuple[int, int]]:
    """Yield about how many tokens each prompt has, and how many texts of it are wanted."""
    settings = study.generation(model, prompt_set)
    tokens = estimated_tokens((settings["system"] or "") + settings["template"] + "x" * PROMPT_LENGTH)
    few, many = settings["samples"], settings.get("control_samples", settings["samples"])
    n_prompts, n_controls = (study.n_prompts[prompt_set], 0) if few == many else _count(study, prompt_set)
    yield from [(tokens, few)] * (n_prompts - n_controls) + [(tokens, many)] * n_controls


def _count(study: Study, prompt_set: str) -> tuple[int, int]:
    """Return how many prompts a set has, and how many of them are controls without the clause."""
    if prompt_set in study.templated:
        files = [Path(file) for file in study.template_files(prompt_set)]
        return count_prompts(files), count_controls(files)
    # It imports pandas, which a study without tables need not.
    from leakscope.leak.imported_prompts import import_prompts

    entry = study.prompt_set(prompt_set)
    path, languages = Path(entry["path"]), study.languages(prompt_set)
    prompts = import_prompts(path, prompt_set, entry.get("sheet"), entry["partners"], languages).prompts
    return len(prompts), int(prompts["control_id"].nunique())
