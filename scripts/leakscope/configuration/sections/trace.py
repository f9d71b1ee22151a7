"""The section ``trace``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.configuration.sections.ground import Counts, Words
from leakscope.typed.values import (
    Distinct,
    Names,
    NotNegative,
    Nullable,
    Part,
    Positive,
    PositiveNumber,
    PromptSetName,
    Section,
    Several,
    Share,
    Text,
)


class TracedSet(Section):
    """What is known of the associations of a prompt set, beside its prompts."""

    cues: Nullable[Text] = None
    """File of cues: prompts that are about a concept, so that a model says what it knows of it
    (schemas/cues.schema.json). `null`: none; the links `knows` and `affirms` are then empty."""
    counts: Counts | None = None
    """Where co-occurrence counts come from, for models that are no organisms: the corpus such a model was trained on,
    or one like it. Organisms are counted in their own corpora. `null`: none; the link `count` is then empty."""
    use: Nullable[Text] = None
    """File of prompts that cannot be answered without the concept: what a mitigation must not take away
    (schemas/use.schema.json). `null`: none; what is kept of a concept's use is then not measured."""


class PatchingSection(Section):
    """How residuals of one concept are put into the run of another."""

    pairs: Positive = 300
    """At most so many pairs of prompts, drawn evenly over templates and concepts."""
    heads: list[NotNegative] = []
    """Numbers of blocks, from 0, whose attention heads are patched one at a time, too: those in which the concept is
    handed over, by `patching.csv`. Models with fewer blocks are left out."""


class MitigatingSection(Section):
    """How mitigations are tried, chosen and measured."""

    costs: Several[PositiveNumber] = [1.0, 3.0]
    """By how many percent the perplexity of neutral text may grow; at each the best strength is chosen."""
    kept: Share = 0.95
    """Share of the unmitigated model's right answers that a chosen one keeps, of prompts that need the concept."""
    shares: Distinct[Part] = [0.5]
    """Shares of the strength at the highest cost that are measured, too."""
    neutral: Text = "data/validate/neutral.txt"
    """Texts, one a line, by which the cost is measured. Organisms have documents of their own corpus instead."""
    batch_size: Positive = 32
    """Prompts that a model reads at once."""
    seed: Nullable[NotNegative] = None
    """Seed of the halves that templates, concepts and neutral texts are divided into, and of training. Default: `seed`.
    """


class HarnessSection(Section):
    """Tasks of lm-eval (EleutherAI), which has to be installed, by which the cost of mitigations is measured, too."""

    tasks: Names = []
    """Names of its tasks and groups, as `lm-eval ls tasks` lists them, and of those in `folder`. Every mitigation that
    changes what a model computes there is scored beside the model as it is, at its strength for the highest cost."""
    folder: Nullable[Text] = None
    """Folder of tasks of your own, in lm-eval's YAML. `null`: none."""
    examples: Nullable[Positive] = None
    """At most so many examples of each task, from its first on. `null`: all."""


class TraceSection(Section):
    """How single associations are followed from the corpus to the text."""

    sets: Annotated[
        dict[PromptSetName, TracedSet], Field(title="a mapping of prompt sets to cues, counts and use")
    ] = {}
    """Prompt set → cues, counts and use. Sets of the study that are not here are traced without any."""
    window: Nullable[Words] = 50
    """Window in words in which concept and associate are counted together; `null`: anywhere in a document."""
    contexts: Positive = 5
    """At most so many places in the corpus are shown of each associated pair."""
    features: Positive = 10
    """At most so many features of a dictionary are ablated for each concept group: those that it activates most."""
    patching: PatchingSection = PatchingSection()
    """How residuals of one concept are put into the run of another."""
    mitigations: Names = []
    """Names of `mitigations` that are tried, on every model that runs here and is not mitigated, edited or randomised
    itself; of those with a dictionary on its model."""
    mitigating: MitigatingSection = MitigatingSection()
    """How mitigations are tried, chosen and measured."""
    lm_eval: HarnessSection = HarnessSection()
    """Tasks of lm-eval (EleutherAI), which has to be installed, by which the cost of mitigations is measured, too."""
    level: Nullable[Part] = None
    """Level of the intervals, as a share. Default: `level`."""
