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
    """Additional files on the associations of a prompt set."""

    cues: Nullable[Text] = None
    """File of cues: prompts about a concept that elicit what a model knows of it (schemas/cues.schema.json). `null`:
    none; the links `knows` and `affirms` are then empty."""
    counts: Counts | None = None
    """Source of co-occurrence counts for models that are no organisms: their training corpus, or a similar one.
    Organisms use their own corpora. `null`: none; the link `count` is then empty."""
    use: Nullable[Text] = None
    """File of prompts that need the concept to be answered, which a mitigation must not break
    (schemas/use.schema.json). `null`: none; legitimate use of the concept is then not measured."""


class PatchingSection(Section):
    """Activation patching: residuals of one concept's prompt replace those of another's."""

    pairs: Positive = 300
    """Maximum number of prompt pairs, drawn evenly over templates and concepts."""
    heads: list[NotNegative] = []
    """Blocks (from 0) whose attention heads are also patched one at a time: those that move the concept's information
    according to `patching.csv`. Models with fewer blocks are skipped."""


class MitigatingSection(Section):
    """How mitigations are tuned, selected and measured."""

    costs: Several[PositiveNumber] = [1.0, 3.0]
    """Allowed increases of perplexity on neutral text, in percent; the best strength is selected for each."""
    kept: Share = 0.95
    """Share of the unmitigated model's correct answers to prompts that need the concept which a selected mitigation
    must keep."""
    shares: Distinct[Part] = [0.5]
    """Fractions of the strength at the highest cost that are also measured."""
    neutral: Text = "data/validate/neutral.txt"
    """Neutral texts, one per line, on which the cost is measured. Organisms use documents of their own corpus instead.
    """
    batch_size: Positive = 32
    """Prompts per forward pass."""
    seed: Nullable[NotNegative] = None
    """Seed of the split of templates, concepts and neutral texts into halves, and of training. Default: `seed`."""


class HarnessSection(Section):
    """Tasks of lm-eval (EleutherAI; install it first) that also measure the cost of mitigations."""

    tasks: Names = []
    """Names of tasks and groups, from `lm-eval ls tasks` or in `folder`. Every applicable mitigation is scored at its
    strength for the highest cost, and so is the unmitigated model."""
    folder: Nullable[Text] = None
    """Folder of your own tasks, in lm-eval's YAML format. `null`: none."""
    examples: Nullable[Positive] = None
    """Number of examples per task, from the first; `null`: all."""


class TraceSection(Section):
    """How single associations are traced from the training corpus to the generated text."""

    sets: Annotated[
        dict[PromptSetName, TracedSet], Field(title="a mapping of prompt sets to cues, counts and use")
    ] = {}
    """Prompt set → cues, counts and use. Other sets of the study are traced without them."""
    window: Nullable[Words] = 50
    """Co-occurrence window of concept and associate, in words; `null`: the whole document."""
    contexts: Positive = 5
    """Maximum number of corpus passages shown per associated pair."""
    features: Positive = 10
    """Maximum number of dictionary features ablated per concept group: those that it activates most."""
    patching: PatchingSection = PatchingSection()
    """Activation patching: residuals of one concept's prompt replace those of another's."""
    mitigations: Names = []
    """Names of `mitigations` to try on every model that runs here and is not mitigated, edited or randomised. A
    mitigation with a dictionary is tried only on the dictionary's model."""
    mitigating: MitigatingSection = MitigatingSection()
    """How mitigations are tuned, selected and measured."""
    lm_eval: HarnessSection = HarnessSection()
    """Tasks of lm-eval (EleutherAI; install it first) that also measure the cost of mitigations."""
    level: Nullable[Part] = None
    """Level of the confidence intervals, as a share. Default: `level`."""
