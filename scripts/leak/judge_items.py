"""Which text does a judge give to which concept?

Reads sampled items and the wording of the question; takes answers from the store and asks the judge for the others;
writes a row for each item and order, with the outcome, and how often which answer was given.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from leakscope.files.tables import write_table
from leakscope.jobs.devices import claimed_devices
from leakscope.jobs.job import job
from leakscope.jobs.memory import keep_freed_memory
from leakscope.jobs.progress import say
from leakscope.leak.rating.judge_models import Judged, ask_server, choose
from leakscope.leak.rating.judge_prompts import JudgePrompts, read_judge_prompts
from leakscope.leak.rating.judging import ask_about, count_answers, with_outcomes
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.web.asking import LanguageServer
from leakscope.web.taking_turns import open_budget
from leakscope.web.writing import PATHS, Manner, Writer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake


def main(snakemake: "Snakemake") -> None:
    params, output = snakemake.params, snakemake.output
    torch.set_num_threads(snakemake.threads)
    keep_freed_memory()
    prompts = read_judge_prompts(Path(snakemake.input.prompts), params.judge["question"])
    asked = ask_about(pd.read_parquet(snakemake.input.sampled), prompts, both_orders=params.judge["both_orders"])
    judged = _served(snakemake, asked, prompts) if "server" in params.judge else _local(snakemake, asked, prompts)
    table = with_outcomes(asked, judged.answers)
    say(f"{snakemake.wildcards.judge}: asked {judged.summary['computed']:,} of {len(asked):,} questions")
    said = {key: params.judge[key] for key in ("model", "question", "both_orders")} | {"version": prompts.version}
    write_manifest({**said, "answers": count_answers(table), **judged.summary}, Path(output.summary))
    write_table(table, Path(output.judged))


def _local(snakemake: "Snakemake", asked: pd.DataFrame, prompts: JudgePrompts) -> Judged:
    judge = snakemake.params.judge
    model = open_model(read_manifest(Path(snakemake.input.manifest[0])), judge["loading"])
    settings = {"batch_size": judge["batch_size"]}
    prompting = Prompting(settings, **judge["chat"], store=Path(snakemake.params.store))
    return choose(model, asked["prompt"], prompts, judge["model"], prompting)


def _served(snakemake: "Snakemake", asked: pd.DataFrame, prompts: JudgePrompts) -> Judged:
    judge, patience, store = snakemake.params.judge, snakemake.params.patience, Path(snakemake.params.store)
    (base_url, name), manner = (judge["server"][key] for key in ("base_url", "model")), Manner(**judge["manner"])
    server = LanguageServer(base_url, PATHS[manner.api], name, **patience["requests"])
    with open_budget(judge["model"], patience, store) as budget:
        return ask_server(Writer(server, manner, budget, store, prompts=prompts.version), asked["prompt"], prompts)


if __name__ == "__main__":
    with job(snakemake.log[0]), claimed_devices(snakemake.resources.gpu):
        main(snakemake)
