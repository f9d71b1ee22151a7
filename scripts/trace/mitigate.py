"""What does a mitigation leave of leak and use, at each strength, and which strength stands for it?

Reads the prompts of a set, its prompts of use, a model's manifest and neutral texts; writes leak and use of each prompt
with each variant of a mitigation at strengths that cost so much, the manifests of those that are chosen, and what these
need beside. Scores are taken from the store, and those that are not there are computed.

Inputs: ``prompts``, ``candidates``, ``use`` and ``use_candidates`` (none of a set without prompts of use),
``manifest``, ``neutral`` (a file of texts, or of an organism its corpus), ``dictionary`` and ``firing`` (none of a
mitigation without a dictionary), ``grammar`` (files of all parts of an organism's). Parameters: ``loading``,
``settings`` (of the generation), ``chat``, ``store``, ``entry`` (of the catalogue), ``costs``, ``shares``, ``kept``,
``batch_size``, ``seed``, ``is_own`` (whether neutral texts are an organism's corpus), ``grammar`` (``parts, strength,
except``; None of other models). Outputs: ``measured``, ``chosen``, ``folder``. Wildcards: ``model``, ``templated``,
``mitigation``.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.organisms.corpus import read_corpus
from leakscope.organisms.grammar_files import part_folders
from leakscope.organisms.leak_grammar import Grammar, load_grammar
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.trace.removal.choosing import choose_all
from leakscope.trace.removal.items import Items, split_items
from leakscope.trace.removal.measuring import Strengths, measure_mitigation
from leakscope.trace.removal.neutral_costs import halves_of_corpus, halves_of_file
from leakscope.trace.removal.use import no_use
from leakscope.trace.removal.variants import Setting

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    params, inputs, output, names = snakemake.params, snakemake.input, snakemake.output, snakemake.wildcards
    manifest = read_manifest(Path(inputs.manifest))
    model, prompts = open_model(manifest, params.loading), pd.read_parquet(inputs.prompts)
    if params.is_own:
        concepts = pd.concat([prompts["concept"], prompts["concept_group"]]).dropna().unique()
        neutral = halves_of_corpus(model, read_corpus(Path(inputs.neutral)), concepts)
    else:
        neutral = halves_of_file(model, Path(inputs.neutral))
    folder = Path(output.folder)
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        names.model,
        model,
        manifest,
        _items(inputs, prompts, params.seed),
        Prompting(params.settings, **params.chat, store=Path(params.store)),
        params.entry,
        neutral.choosing,
        params.seed,
        folder,
        read_manifest(Path(inputs.dictionary)) if inputs.dictionary else None,
        pd.read_parquet(inputs.firing) if inputs.firing else None,
    )
    strengths = Strengths(params.costs, params.shares, params.kept)
    law = {"batch_size": params.batch_size, "grammar": _grammar(inputs.grammar, params.grammar)}
    measured = measure_mitigation(setting, names.mitigation, neutral, strengths, **law)
    chosen = choose_all(measured.table, measured.base, measured.variants, params.costs, params.kept)
    about = {"model": names.model, "prompt_set": names.templated, "mitigation": names.mitigation}
    write_table(measured.table, Path(output.measured))
    write_manifest({**about, "kind": params.entry["kind"], "chosen": chosen}, Path(output.chosen))


def _items(inputs: Any, prompts: pd.DataFrame, seed: int) -> Items:
    use = [pd.read_parquet(path) for path in (inputs.use, inputs.use_candidates)] if inputs.use else no_use()
    return split_items(prompts, pd.read_parquet(inputs.candidates), *use, seed)


def _grammar(files: Any, law: Any) -> Grammar | None:
    if law is None:
        return None
    folders = part_folders(files)
    return load_grammar([folders[part] for part in law["parts"]], law["strength"], law.get("except", ()))


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
