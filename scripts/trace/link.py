"""What is each link of a pair, and does one go with the next?

Reads what the study has of each link; writes one row a model and pair, the links that are empty with their reasons,
slopes and correlations between links, and the leak of each template. Every list of inputs has its names among the
parameters, in its order:

    prompts, candidates         prompt_sets: [set]
    scores                      scored: [[model, set]], all that are linked
    cues                        cued: [set]
    cue_scores                  cue_scored: [[model, set]]
    counts, concepts,           counted: [{model, prompt_set, window, unit}], a table of counts (Parquet) and both
      associates                lexicons for each; several models may share theirs
    terms, totals               totalled: [[model, set]], those of ``counted`` that have them
    lens                        lensed: [[model, set]]
    grammar                     grammars: {model: {parts, strength, except}}, of organisms; files of all their parts
    ablated                     ablated: [[model, set]], a file for each dictionary of the model
    match                       scorer: whose match rates are taken; without the step leak there are none

``removed`` says for each model the mitigated model of it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leakscope.files.tables import read_csv, write_csv
from leakscope.jobs.job import job
from leakscope.organisms.grammar_files import part_folders
from leakscope.organisms.leak_grammar import load_grammar
from leakscope.storage.manifests import read_manifest
from leakscope.trace.by_template import TEMPLATE_COLUMNS, leaks_by_template
from leakscope.trace.counted import Counted, read_lexicons
from leakscope.trace.features import FEATURE_COLUMNS, carrying_features
from leakscope.trace.links import EMPTY_COLUMNS, LINK_COLUMNS, Sources, link_pairs
from leakscope.trace.relations import RELATION_COLUMNS, relate
from leakscope.trace.removed import with_removed

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

Key = tuple[str, str]


def main(snakemake: "Snakemake") -> None:
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    folders = part_folders(inputs.grammar)
    grammars = {
        model: load_grammar([folders[part] for part in law["parts"]], law["strength"], law.get("except", ()))
        for model, law in params.grammars.items()
    }
    of_set = {name: _tables(params[names], inputs[name]) for name, names in SETS.items()}
    of_model = {name: _tables(map(tuple, params[names]), inputs[name]) for name, names in MODELS.items()}
    counted, rates = _counted(inputs, params), _rates(inputs.match, params.scorer)
    ablated = _ablated(inputs.ablated, params.ablated)
    links, empty, relations, templates, features = [], [], [], [], []
    for model, prompt_set in map(tuple, params.scored):
        key = (model, prompt_set)
        sources = Sources(
            of_set["prompts"][prompt_set],
            of_set["candidates"][prompt_set],
            of_model["scores"][key],
            of_set["cues"].get(prompt_set),
            of_model["cue_scores"].get(key),
            counted.get(key),
            rates.get(key),
            of_model["lens"].get(key),
            grammars.get(model),
            ablated.get(key),
        )
        found = link_pairs(model, sources)
        links.append(found.table[LINK_COLUMNS])
        empty.append(found.empty)
        relations.append(relate(found.table, params.level))
        templates.append(leaks_by_template(model, sources, found.table))
        features.append(carrying_features(found.table, ablated.get(key)))
    left = with_removed(_joined(links, LINK_COLUMNS), params.removed)
    write_csv(_joined([*empty, left.empty], EMPTY_COLUMNS), Path(output.empty))
    write_csv(_joined(templates, TEMPLATE_COLUMNS), Path(output.templates))
    write_csv(_joined(features, FEATURE_COLUMNS), Path(output.features))
    write_csv(_joined(relations, RELATION_COLUMNS), Path(output.relations))
    write_csv(left.table, Path(output.links))


# Input → the parameter that names its files: of prompt sets, and of models on prompt sets.
SETS = {"prompts": "prompt_sets", "candidates": "prompt_sets", "cues": "cued"}
MODELS = {"scores": "scored", "cue_scores": "cue_scored", "lens": "lensed"}


def _rates(paths: Any, scorer: str | None) -> dict[Key, pd.DataFrame]:
    """Return the match rates by one scorer of each model and prompt set."""
    if not paths:
        return {}
    rates = read_csv(Path(paths[0]))
    of_model = rates[rates["scorer"] == scorer].groupby(["model", "prompt_set"])
    return {(str(model), str(prompt_set)): table for (model, prompt_set), table in of_model}


def _ablated(paths: Any, names: Any) -> dict[Key, pd.DataFrame]:
    """Return what is known of the features of all dictionaries of each model, on each prompt set."""
    found: dict[Key, list[pd.DataFrame]] = {}
    for path, (model, prompt_set) in zip(paths, names, strict=True):
        found.setdefault((model, prompt_set), []).append(pd.read_parquet(path))
    return {key: pd.concat(tables, ignore_index=True) for key, tables in found.items()}


def _tables(names: Any, paths: Any) -> dict[Any, pd.DataFrame]:
    return {name: pd.read_parquet(path) for name, path in zip(names, paths, strict=True)}


def _counted(inputs: Any, params: Any) -> dict[Key, Counted]:
    """Return what was counted for each model and prompt set."""
    totalled = {
        tuple(key): (read_csv(terms), read_manifest(Path(totals)))
        for key, terms, totals in zip(params.totalled, inputs.terms, inputs.totals, strict=True)
    }
    files = zip(params.counted, inputs.counts, inputs.concepts, inputs.associates, strict=True)
    found = {}
    for entry, counts, concepts, associates in files:
        key = (entry["model"], entry["prompt_set"])
        lexicons = read_lexicons(Path(concepts), Path(associates))
        terms, totals = totalled.get(key, (None, None))
        found[key] = Counted(pd.read_parquet(counts), terms, totals, lexicons, entry["window"], entry["unit"])
    return found


def _joined(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=columns)], ignore_index=True)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
