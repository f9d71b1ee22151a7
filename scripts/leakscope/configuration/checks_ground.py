"""Checks of the axes beyond the schema: names refer to existing entries, and files exist and can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.configuration.steps import score_files, uses
from leakscope.counting.lexicons import ids_by_name, names_in, read_concepts, read_names
from leakscope.counting.normal_form import normalise
from leakscope.errors import InputError, counted, one_of
from leakscope.files.corpora import shard_files
from leakscope.files.finding import places
from leakscope.ground.templates import lead_in, read_sentence_templates, template_file
from leakscope.typed.wording import dotted

COUNTING = ("corpus", "organism", "infini_gram")
PAIRED = ("lexicons", "templates")


def ground_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of the axes of a complete configuration, which read lexicons, templates and names.

    Raises:
        InputError: there is no axis, or no model to compare.
    """
    if "ground" not in config["study"]["steps"]:
        return
    ground, models = config["ground"], _models(config)
    if not ground["axes"]:
        raise InputError(
            f"{dotted(('ground', 'axes'))}: got nothing; allowed: at least one axis, for the step ground. "
            "studies/conditions.yaml has one."
        )
    if not models:
        names = ", ".join(config["study"]["models"])
        raise InputError(
            f"{dotted(('study', 'models'))}: got {names}; allowed: at least one model for the step ground."
        )
    scoring = [name for name, entry in models.items() if entry["source"] != "scores"]
    for name, axis in ground["axes"].items():
        yield from _axis_checks(("ground", "axes", name), axis, config, scoring)
    for name, entry in models.items():
        if entry["source"] == "scores":
            yield partial(_check_scores, name, entry["path"], ground)
    for pair in ground["aligned_pairs"].items():
        yield partial(_check_pair, pair, models)
    if ground["score"] != "logprob" and len(scoring) < len(models):
        raise InputError(
            f"{dotted(('ground', 'score'))}: got {ground['score']!r}; allowed: logprob, for imported scores."
        )


def _check_pair(pair: tuple[str, str], models: Mapping[str, Any]) -> None:
    for model in pair:
        if model not in models:
            raise one_of(dotted(("ground", "aligned_pairs", pair[0])), model, models)


def _models(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    named = {name: config["models"][name] for name in config["study"]["models"]}
    return {name: entry for name, entry in named.items() if uses("ground", entry, config)}


def _axis_checks(
    where: tuple[str, ...], axis: Mapping[str, Any], config: Mapping[str, Any], scoring: list[str]
) -> Iterator[Callable[[], object]]:
    counts = axis["counts"]
    for key in PAIRED:
        if scoring or (key == "lexicons" and counts["source"] in COUNTING):
            yield partial(_check_given, (*where, key), axis[key], scoring)
    if axis["lexicons"] is not None:
        yield partial(_check_lexicons, axis["lexicons"])
        yield partial(_check_known, where, axis)
    if scoring and all(axis[key] is not None for key in PAIRED):
        yield partial(_check_sentences, axis, config["ground"])
    for path, here in _files(axis, where):
        yield partial(_check_file, path, here)
    if axis["names"] is not None and Path(axis["names"]).is_file():
        yield partial(read_names, Path(axis["names"]))
    if counts["source"] == "corpus":
        yield partial(shard_files, counts["path"])
    if counts["source"] == "organism":
        yield partial(_check_organism, (*where, "counts", "model"), counts["model"], config)


def _check_given(where: tuple[str, ...], value: object, scoring: list[str]) -> None:
    if value is None:
        allowed = f"a path, because {scoring[0]} scores sentences" if scoring else "two tables of terms to count"
        raise InputError(f"{dotted(where)}: got nothing; allowed: {allowed}.")


def _check_file(path: str, where: tuple[str, ...]) -> None:
    if not Path(path).is_file():
        raise InputError(f"{dotted(where)}: got {places(path)}; allowed: a file that exists.")


def _check_lexicons(paths: Mapping[str, str]) -> None:
    """Check that no term is both a subject and a group: each of its mentions would count as a pair."""
    subjects, groups = (
        {normalise(term): concept.id for concept in read_concepts(Path(paths[side])) for term in concept.terms}
        for side in ("subjects", "groups")
    )
    for term in groups:
        if term in subjects:
            raise InputError(
                f"{paths['groups']}: got {term!r} for {groups[term]!r}, which is also a term of {subjects[term]!r} in "
                f"{paths['subjects']}; allowed: terms of either a subject or a group."
            )


def _check_known(where: tuple[str, ...], axis: Mapping[str, Any]) -> None:
    """Check that excluded subjects and new names are in the lexicons."""
    known = {side: ids_by_name(Path(path)) for side, path in axis["lexicons"].items()}
    meant = [("exclude", name, "subjects") for name in axis["exclude"] if name not in axis["rename"]]
    meant += [("rename", name, "subjects") for name in axis["rename"].values()]
    meant += [("groups", name, "groups") for name in axis["groups"].values()]
    for key, name, side in meant:
        if normalise(name) not in known[side]:
            raise one_of(dotted((*where, key)), name, known[side].values())


def _files(axis: Mapping[str, Any], where: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every table of an axis, with its key."""
    counts = axis["counts"]
    if counts["source"] == "table":
        paths = counts["path"] if isinstance(counts["path"], dict) else {None: counts["path"]}
        for window, path in paths.items():
            yield path, (*where, "counts", "path", *([window] if window else []))
    if axis["prevalence"] is not None:
        yield axis["prevalence"]["path"], (*where, "prevalence", "path")
    if axis["names"] is not None:
        yield axis["names"], (*where, "names")


def _check_sentences(axis: Mapping[str, Any], ground: Mapping[str, Any]) -> None:
    for language in ground["languages"]:
        path = template_file(Path(axis["templates"]), language)
        templates = read_sentence_templates(path)
        lead_in(templates, ground["country"], path)
        if len(templates.templates) < ground["templates_used"]:
            given = counted(len(templates.templates), "template", "templates")
            raise InputError(
                f"{path}: got {given}; allowed: at least {ground['templates_used']}, "
                "or a smaller ground.templates_used."
            )
        for lexicon in axis["lexicons"].values():
            names_in(Path(lexicon), language)


def _check_organism(where: tuple[str, ...], model: str, config: Mapping[str, Any]) -> None:
    known = [name for name in config["study"]["models"] if config["models"][name]["source"] == "organism"]
    if model not in known:
        raise one_of(dotted(where), model, known)


def _check_scores(model: str, paths: Mapping[str, Any], ground: Mapping[str, Any]) -> None:
    where = ("models", model, "path")
    for axis in ground["axes"]:
        if axis not in paths:
            raise InputError(
                f"{dotted((*where, axis))}: got nothing; allowed: a file of scores for each axis "
                f"({', '.join(ground['axes'])}); there are files for {', '.join(sorted(paths))}."
            )
        for language, path in score_files(paths[axis], ground["languages"]).items():
            if language not in ground["languages"]:
                raise one_of(dotted((*where, axis)), language, ground["languages"])
            if not Path(path).is_file():
                raise InputError(f"{dotted((*where, axis))}: got {places(path)}; allowed: a file that exists.")
