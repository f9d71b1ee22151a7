"""How many more texts a study asks of models that write more after controls without the clause."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leakscope.leak.prompts import count_controls, count_prompts
from leakscope.workflow.study import Study


def more_texts(study: Study) -> Iterator[str]:
    """Yield a line for each prompt set, and number of texts, after whose controls more texts are written than else.

    The share is of texts: with n after each of N prompts, of which C are controls with m texts,

        100 · (m − n) · C / (n · N)
    """
    for prompt_set in study.prompt_sets if study.generated else ():
        models: dict[tuple[int, int], list[str]] = {}
        for model in study.generated:
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


def _count(study: Study, prompt_set: str) -> tuple[int, int]:
    """Return how many prompts a set has, and how many of them are controls without the clause."""
    if prompt_set in study.templated:
        files = [Path(file) for file in study.template_files(prompt_set)]
        return count_prompts(files), count_controls(files)
    # It imports pandas, which a study without tables need not.
    from leakscope.leak.imported_prompts import import_prompts

    entry = study.prompt_set(prompt_set)
    prompts = import_prompts(Path(entry["path"]), prompt_set, entry.get("sheet"), entry["partners"]).prompts
    return len(prompts), int(prompts["control_id"].nunique())
