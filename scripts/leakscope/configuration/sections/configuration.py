"""The whole configuration of a study, as written: each top-level key and what it holds.

``extends`` is resolved before these classes check the keys; values that depend on other keys or on files are filled in
afterwards (``configuration.resolving``).
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
    """The study: its name, its steps, and its entries from the catalogues below."""
    models: dict[Name, Model] = {}
    """Catalogue of models by name. An entry with `extends: <name>` is a variant: it copies another entry and changes
    some keys."""
    prompt_sets: dict[PromptSetName, PromptSet] = {}
    """Catalogue of prompt sets by name."""
    scorers: dict[Name, Scorer] = {}
    """Catalogue of similarities between a concept and a text, by name."""
    generation: GenerationSection = GenerationSection()
    """How text is generated."""
    leak: LeakSection = LeakSection()
    """How match rates and Leak-Rates are computed."""
    plan: PlanSection = PlanSection()
    """Target power and effect size of `make plan`, and the standard deviations and correlation it assumes while the
    study has no results. Defaults: root mean squares over four models on prompts about colors, by SentenceBERT and
    static embeddings (published texts of Qwen2.5-0.5B and 3B; SmolLM2-135M-Instruct with and without chat template)."""
    rating: RatingSection = RatingSection()
    """The match-rate test for human raters and judge models: which of two texts belongs to which of two concepts? `make
    rate` writes the rating page."""
    ground: GroundSection = GroundSection()
    """How corpus counts, model scores and real-world prevalence are compared, and on which axes."""
    validate_: ValidateSection = Field(default=ValidateSection(), alias="validate")
    """How models are queried as generator and as validator, and how the gap between the two is closed."""
    features: FeaturesSection = FeaturesSection()
    """Which features of the residual stream carry an association, and what editing them changes."""
    trace: TraceSection = TraceSection()
    """How single associations are traced from the training corpus to the generated text."""
    mitigations: dict[MitigationName, Mitigation] = {}
    """Catalogue of mitigations, by name; `trace.mitigations` selects those to try."""
    figures: FiguresSection = FiguresSection()
    """Style, width and font of the figures."""
    organisms: OrganismsSection = OrganismsSection()
    """How organisms (small models with known associations) are trained."""
    level: Part = 0.95
    """Level of all confidence intervals, as a share; a step's own `level` overrides it."""
    seed: NotNegative = 0
    """Seed of all random draws without a `seed` of their own. The `seed` of a model's entry determines its weights and
    does not follow this key."""
    batch_size: Positive = 256
    """Texts per forward pass; affects only speed and memory. A step's own `batch_size` overrides it."""
    store: Text = "results/store"
    """Folder that caches texts, scores and embeddings. Several checkouts and users may share it."""
    gpu_memory_gb: PositiveNumber = 80
    """Memory of one GPU, in GB; jobs of larger models request several GPUs. Changes no result."""
    without: Names = []
    """Models to leave out, with all models made from them, for example those that failed: tables and figures then cover
    the others. `make run` sets it automatically."""
    container: Nullable[Text] = None
    """Container image for `--software-deployment-method apptainer`; it must hold the environments of envs/ (see
    cluster.md). `null`: none. Changes no result."""
