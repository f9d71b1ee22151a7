"""The section ``validate``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.typed.values import (
    NUMBER,
    Described,
    Flag,
    Name,
    NotNegative,
    NotNegativeNumber,
    Nullable,
    Part,
    Positive,
    PositiveNumber,
    Section,
    Several,
    Share,
    SomeNames,
    Split,
    TaskName,
    Text,
)


class TaskEntry(Described):
    """A task: items, and the prompt forms in which they are asked."""

    reader: Literal["items", "pairs", "swords", "lambada", "triviaqa"]
    """Format of the items: `items` (schemas/task_items.schema.json), `pairs` (columns `noun1, noun2, taxonomic`,
    optionally `distance`), or a data set as distributed by its authors. All but `items` may also be in RankAlign's file
    format (docs/validate.md)."""
    path: Text
    """File of items: question, candidate, and whether the candidate is right."""
    forms: Text
    """File of prompt forms (schemas/prompt_forms.schema.json). The first generator and first validator of the first
    style in use are the task's main form."""
    styles: Nullable[SomeNames] = None
    """Styles of forms to use; the first one gives the main form. `null`: all."""
    rank_among: Literal["task", "question"] = "task"
    """Candidates among which a right one is ranked: all of the `task` except other right ones of the same question, or
    those of its `question`."""
    lens_item: Nullable[Text] = None
    """Id of the item in the logit-lens figure; `null`: the first with a right candidate."""


class LoraSettings(Section):
    """LoRA settings for peft (Hu et al. 2021, arXiv 2106.09685)."""

    r: Positive = 16
    """Rank r."""
    alpha: PositiveNumber = 32.0
    """Scaling α: their output is multiplied by α/r."""
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
    """Dropout on their inputs in training."""
    target_modules: Nullable[SomeNames] = None
    """Names of the adapted layers; `null`: all linear layers except the last."""


class MethodEntry(Described):
    """A way to close the gap."""

    loss: Literal["supervised", "consistency", "dpo", "ranking"]
    """`supervised`: likelihood of right answers. `consistency`: likelihood of answers on which generator and validator
    agree, right or wrong (Li et al. 2023). `dpo`: preference for right over wrong answers. `ranking`: order the
    student's scores like the teacher's (RankAlign, arXiv 2504.11381)."""
    student: Literal["generator", "validator", "both"] = "both"
    """Which side is trained (by `ranking`, with the other as teacher); `both`: on the mean of the two losses."""
    delta: NotNegativeNumber = 1.0
    """`ranking`: minimum difference of teacher scores, in nats, for a pair to be used. RankAlign uses 5 for Gemma-2-2b.
    """
    beta: PositiveNumber = 0.1
    """`dpo`: strength of the penalty for departing from the base. Default: Rafailov et al. 2023 (arXiv 2305.18290)."""
    reference: Flag = True
    """`ranking`: whether a pair's score difference is taken relative to the base's. If `false`, two students that learn
    from each other swap orders, and the gap remains."""
    steps: Positive = 200
    """Optimiser steps."""
    batch_size: Positive = 48
    """Items, or pairs of items, per step, and as many neutral texts."""
    learning_rate: Nullable[PositiveNumber] = None
    """Peak learning rate (AdamW), with linear decay to 0; `null`: 0.001 if all weights are trained, else 0.0002."""
    warmup_share: Share = 0.1
    """Share of the steps used for learning-rate warm-up."""
    weight_decay: NotNegativeNumber = 0.0
    """Weight decay of AdamW."""
    keep: NotNegativeNumber = 1.0
    """Weight in the loss of the KL divergence from the base on neutral text (nats per token); 0: none."""
    parameters: Literal["auto", "lora", "full"] = "auto"
    """Trained parameters: `full`: all weights; `lora`: low-rank adapters; `auto`: `full` for organisms, else `lora`."""
    lora: LoraSettings = LoraSettings()
    """LoRA settings for peft (Hu et al. 2021, arXiv 2106.09685)."""
    checkpoint_steps: Positive = 50
    """Steps between checkpoints, from which an interrupted job resumes."""


class Combinations(Section):
    """Tuned models: one `<base>.<method>.<split>` per combination, listed after its base in `study.models`."""

    models: SomeNames
    """Base models: names of `models`."""
    methods: SomeNames
    """Training methods: names of `methods`."""
    splits: Several[Split] = ["random", "held_out", "disjoint"]
    """Splits of the task's items."""
    task: str
    """Name of `tasks` whose items are used for training."""
    seed: Nullable[NotNegative] = None
    """Seed of new weights and of the data order. Default: `seed`."""


class ValidateSection(Section):
    """Tasks on which models are queried as generator and as validator, and how the gap between the two is closed.
    `tasks` in a study's file replace those of config.yaml."""

    tasks: Annotated[dict[TaskName, TaskEntry], Field(title="a mapping of names to tasks")] = {}
    """Tasks by name."""
    test_share: Part = 0.3
    """Test share of a task's items (`random`), of its candidates (`held_out`), or of its questions and its candidates
    (`disjoint`)."""
    seed: Nullable[NotNegative] = None
    """Seed of splits, of few-shot examples, and of wrong answers for data sets without any. Default: `seed`."""
    level: Nullable[Part] = None
    """Level of the confidence intervals, as a share. Default: `level`."""
    batch_size: Nullable[Positive] = None
    """Prompts per forward pass. Default: `batch_size`."""
    layers: Flag = True
    """Whether to apply the logit lens to generator and validator at every layer."""
    completion_tokens: Positive = 8
    """Maximum length, in tokens, of the model's own completions that it is then asked to affirm."""
    neutral_text: Text = "data/validate/neutral.txt"
    """Neutral texts, one per line, on which the cost of closing the gap is measured. Organisms use documents of their
    own corpus instead."""
    methods: dict[Name, MethodEntry] = {}
    """Ways to close the gap, by name. An entry with a `loss` in a study's file replaces the entry of the same name."""
    tuned: Annotated[Combinations | None, Field(title="a mapping of models, methods, splits and task")] = None
    """Tuned models: one `<base>.<method>.<split>` per combination, listed after its base in `study.models`; `null`:
    only those of `models`."""
