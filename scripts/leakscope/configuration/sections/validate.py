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
    """A task: items, and the forms in which they are put."""

    reader: Literal["items", "pairs", "swords", "lambada", "triviaqa"]
    """Form of the file of items: `items` (schemas/task_items.schema.json), `pairs` (`noun1, noun2, taxonomic` and, if
    there, `distance`), or a data set as its authors distribute it; all but `items` also in the form of RankAlign's
    files (docs/validate.md)."""
    path: Text
    """File of items: each a question, a candidate, and whether the candidate is right."""
    forms: Text
    """File of prompt forms (schemas/prompt_forms.schema.json). Its first generator and first validator, in the first
    style that is used, are the task's main form."""
    styles: Nullable[SomeNames] = None
    """Styles of the forms that are used, the first one that of the main form; `null`: all."""
    rank_among: Literal["task", "question"] = "task"
    """Candidates that a right one is ranked among: all of the `task`, other right ones of the question left out, or
    those of its `question`."""
    lens_item: Nullable[Text] = None
    """Id of the item that the logit lens is drawn of; `null`: the first with a right candidate."""


class LoraSettings(Section):
    """Low-rank matrices (Hu et al. 2021, arXiv 2106.09685), by peft."""

    r: Positive = 16
    """Their rank."""
    alpha: PositiveNumber = 32.0
    """What they add is scaled by this, divided by the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
    """Share of their inputs left out in training."""
    target_modules: Nullable[SomeNames] = None
    """Names of the layers that get them; `null`: all linear ones but the last."""


class MethodEntry(Described):
    """A way to close the gap."""

    loss: Literal["supervised", "consistency", "dpo", "ranking"]
    """`supervised`: likelihood of right answers. `consistency`: the same, of the answers that generator and validator
    agree on, right or wrong (Li et al. 2023). `dpo`: preference of right over wrong answers. `ranking`: the
    student's scores in the order of the teacher's (RankAlign, arXiv 2504.11381)."""
    student: Literal["generator", "validator", "both"] = "both"
    """Which of the two learns, by `ranking` from the other; `both`: the mean of their losses."""
    delta: NotNegativeNumber = 1.0
    """`ranking`: pairs whose teacher scores differ by more than so many nats are learnt. RankAlign has 5 for
    Gemma-2-2b."""
    beta: PositiveNumber = 0.1
    """`dpo`: how strongly departing from the base counts. Default: Rafailov et al. 2023 (arXiv 2305.18290)."""
    reference: Flag = True
    """`ranking`: whether a pair's difference counts from that of the base on. If not, two students that learn from each
    other change places, and the gap stays."""
    steps: Positive = 200
    """Optimiser steps."""
    batch_size: Positive = 48
    """Items, or pairs of items, in one step, and as many neutral texts."""
    learning_rate: Nullable[PositiveNumber] = None
    """Highest learning rate (AdamW), from which it falls to 0 along a straight line; `null`: 0.001 where all weights
    are trained, else 0.0002."""
    warmup_share: Share = 0.1
    """Share of the steps over which the learning rate rises to its highest."""
    weight_decay: NotNegativeNumber = 0.0
    """Weight decay of AdamW."""
    keep: NotNegativeNumber = 1.0
    """Weight, beside the loss, of the divergence from the base on neutral text (nats per token); 0: none."""
    parameters: Literal["auto", "lora", "full"] = "auto"
    """What is trained: `full`: all weights; `lora`: small matrices beside them; `auto`: `full` for organisms, else
    `lora`."""
    lora: LoraSettings = LoraSettings()
    """Low-rank matrices (Hu et al. 2021, arXiv 2106.09685), by peft."""
    checkpoint_steps: Positive = 50
    """So many steps apart a training is saved, to go on from if the job is ended."""


class Combinations(Section):
    """Tuned models: each combination is one, `<base>.<method>.<split>`, after its base in `study.models`."""

    models: SomeNames
    """Their bases, names of `models`."""
    methods: SomeNames
    """Names of `methods`."""
    splits: Several[Split] = ["random", "held_out", "disjoint"]
    """Splits of the task's items."""
    task: str
    """Task of `tasks` whose items they are trained on."""
    seed: Nullable[NotNegative] = None
    """Seed of new weights and of the order of training. Default: `seed`."""


class ValidateSection(Section):
    """Which tasks models are asked as generator and as validator, and how the gap between the two is closed. A study
    that names tasks has these alone."""

    tasks: Annotated[dict[TaskName, TaskEntry], Field(title="a mapping of names to tasks")] = {}
    """Tasks by name."""
    test_share: Part = 0.3
    """Share of a task's items (`random`), candidates (`held_out`), or both questions and candidates (`disjoint`) that
    are for testing."""
    seed: Nullable[NotNegative] = None
    """Seed of splits, of examples before a prompt, and of wrong answers where a data set has none. Default: `seed`."""
    level: Nullable[Part] = None
    """Level of the intervals, as a share. Default: `level`."""
    batch_size: Nullable[Positive] = None
    """Prompts that a model reads at once. Default: `batch_size`."""
    layers: Flag = True
    """Whether generator and validator are followed across layers by the logit lens."""
    completion_tokens: Positive = 8
    """Longest completion of a model's own that it is asked to affirm, in its tokens."""
    neutral_text: Text = "data/validate/neutral.txt"
    """Texts, one a line, by which is measured what closing the gap costs. Organisms have documents of their own corpus
    instead."""
    methods: dict[Name, MethodEntry] = {}
    """Ways to close the gap, by name. An entry of a study's file that has a `loss` is complete."""
    tuned: Annotated[Combinations | None, Field(title="a mapping of models, methods, splits and task")] = None
    """Tuned models: each combination is one, `<base>.<method>.<split>`, after its base in `study.models`; `null`: none
    but those of `models`."""
