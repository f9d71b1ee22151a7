"""The counts of the step ``trace``; separate from ``trace``, since the step ``ground`` does the counting."""

from __future__ import annotations

from typing import Any

from leakscope.workflow.study import Study

# Separator between a prompt set and its corpus; no axis name contains it.
IN_CORPUS = "@"


def terms_file(study: Study, prompt_set: str, side: str) -> str:
    """Return the lexicon of a prompt set's ``concepts`` or ``associates``."""
    return f"results/{study.name}/trace/terms/{prompt_set}.{side}.csv"


def counted_as(study: Study, model: str, prompt_set: str) -> str | None:
    """Return the axis of ``ground`` in which a prompt set's pairs are counted for a model; None if they are not.

    An organism's pairs are counted in its training corpus, those of other models where the study says.
    """
    if study.is_organism(model):
        return f"{prompt_set}{IN_CORPUS}{study.corpus(study.foundation(model))}"
    return f"{prompt_set}{IN_CORPUS}study" if _counts(study, prompt_set) else None


def traced_axes(study: Study) -> dict[str, dict[str, Any]]:
    """Return axis → its entry as the step ``ground`` has them, for all that the step ``trace`` counts."""
    if "trace" not in study.steps:
        return {}
    axes = {}
    for prompt_set in study.templated:
        for model in study.answering:
            if (axis := counted_as(study, model, prompt_set)) is not None:
                organism = {"source": "organism", "model": study.foundation(model)}
                counts = organism if study.is_organism(model) else _counts(study, prompt_set)
                axes[axis] = _entry(study, prompt_set, counts)
    return axes


def _counts(study: Study, prompt_set: str) -> Any:
    return study.config["trace"]["sets"].get(prompt_set, {}).get("counts")


def _entry(study: Study, prompt_set: str, counts: Any) -> dict[str, Any]:
    lexicons = {
        "subjects": terms_file(study, prompt_set, "concepts"),
        "groups": terms_file(study, prompt_set, "associates"),
    }
    return {
        "lexicons": lexicons,
        "templates": None,
        "counts": counts,
        "prevalence": None,
        "names": None,
        "rename": {},
        "groups": {},
        "exclude": [],
    }
