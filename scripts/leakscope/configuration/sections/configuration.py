"""The whole configuration of a study, as it is written: each key of the top level, and what it holds.

``extends`` is resolved before; what stands for several things, and what depends on other keys or on files, is written
out after (``configuration.resolving``).
"""

from __future__ import annotations

from pydantic import Field

from leakscope.configuration.sections.features import FeaturesSection
from leakscope.configuration.sections.figures import FiguresSection
from leakscope.configuration.sections.generation import GenerationSection
from leakscope.configuration.sections.ground import GroundSection
from leakscope.configuration.sections.leak import LeakSection
from leakscope.configuration.sections.mitigations import Mitigation
from leakscope.configuration.sections.models import Model
from leakscope.configuration.sections.organisms import OrganismsSection
from leakscope.configuration.sections.plan import PlanSection
from leakscope.configuration.sections.prompt_sets import PromptSet
from leakscope.configuration.sections.rating import RatingSection
from leakscope.configuration.sections.scorers import Scorer
from leakscope.configuration.sections.study import StudySection
from leakscope.configuration.sections.trace import TraceSection
from leakscope.configuration.sections.validate import ValidateSection
from leakscope.typed.values import (
    MitigationName,
    Name,
    Names,
    NotNegative,
    Nullable,
    Part,
    Positive,
    PositiveNumber,
    PromptSetName,
    Section,
    Text,
)


class Configuration(Section):
    """The configuration of a leakscope study."""

    study: StudySection
    """What this study consists of: names chosen from the catalogues below."""
    models: dict[Name, Model] = {}
    """Catalogue of models by name. An entry with `extends: <name>` is a variant: it takes the keys of another entry and
    changes some."""
    prompt_sets: dict[PromptSetName, PromptSet] = {}
    """Catalogue of prompt sets by name."""
    scorers: dict[Name, Scorer] = {}
    """Catalogue of similarities between a concept and a text, by name."""
    generation: GenerationSection = GenerationSection()
    """How text is generated."""
    leak: LeakSection = LeakSection()
    """How match rates and Leak-Rates are computed."""
    plan: PlanSection = PlanSection()
    """What `make plan` asks for, and what it takes for granted while the study has no results: standard deviations and
    correlation of four models on prompts about colors, by SentenceBERT and by static embeddings (the published texts of
    Qwen2.5-0.5B and 3B; SmolLM2-135M-Instruct as chat and plain; root mean squares)."""
    rating: RatingSection = RatingSection()
    """The test of the match rate as judges and people take it: which of two texts belongs to which of two concepts?
    `make rate` writes the page for people."""
    ground: GroundSection = GroundSection()
    """How counts, models and prevalence are compared, and on which axes."""
    validate_: ValidateSection = Field(default=ValidateSection(), alias="validate")
    """How models are asked as generator and as validator, and how the gap between the two is closed."""
    features: FeaturesSection = FeaturesSection()
    """Which features of the residual stream carry an association, and what happens without them."""
    trace: TraceSection = TraceSection()
    """How single associations are followed from the corpus to the text."""
    mitigations: dict[MitigationName, Mitigation] = {}
    """Catalogue of ways to take a leak out of a model, by name; `trace.mitigations` chooses."""
    figures: FiguresSection = FiguresSection()
    """How figures look in print."""
    organisms: OrganismsSection = OrganismsSection()
    """How organisms are made."""
    level: Part = 0.95
    """Level of all confidence intervals, as a share; each step may have its own. Default: convention."""
    seed: NotNegative = 0
    """Seed of everything that is drawn at random and has none of its own. What a model's own entry calls `seed` decides
    its weights, and does not follow this one."""
    batch_size: Positive = 256
    """Texts that a model reads at once: speed and memory only. Each step may have its own."""
    store: Text = "results/store"
    """Folder of what was computed once: texts, scores and embeddings. May be shared by checkouts and by a group."""
    gpu_memory_gb: PositiveNumber = 80
    """Memory of one GPU, in GB: a larger model's jobs ask for several. Changes no result."""
    without: Names = []
    """Models of the study that are left out, with all that are made from them: those that failed, for instance, so that
    tables and figures of the others are made. `make run` does so by itself."""
    container: Nullable[Text] = None
    """Image in which jobs run with `--software-deployment-method apptainer`: one that holds the environments of envs/
    (see cluster.md). `null`: none. Changes no result."""
