"""The section ``features``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from leakscope.configuration.features import GREEDY, TAKING_AWAY
from leakscope.typed.values import (
    NUMBER,
    WHOLE,
    Address,
    CorpusName,
    Described,
    Edit,
    Flag,
    Labelled,
    Name,
    NotNegative,
    NotNegativeNumber,
    Nullable,
    Number,
    Part,
    Positions,
    Positive,
    PositiveNumber,
    Section,
    Several,
    Share,
    SomeNames,
    TaskName,
    Text,
    Variable,
    mistake,
)


class Corpus(Described):
    """Documents on which activations are computed."""

    path: Text
    """A .jsonl or .ndjson file, plain or compressed (.gz, .zst), .json.gz, .json.zst or .parquet; a folder of these or
    a pattern with `*`; a .txt file, one document per line; or a .csv or .tsv table."""
    text: Text = "text"
    """Key of the text in each line, or column of the table."""


class ReadDictionary(Labelled):
    """Keys of every dictionary."""

    model: str
    """Model whose residual stream the dictionary reads: an unedited model of the study, or any model with `source:
    randomised`."""
    corpus: str = "own"
    """Corpus of the activations: a name of `corpora`, or `own` for an organism's own corpus."""


class PublicDictionary(ReadDictionary):
    """Keys of every dictionary trained elsewhere."""

    centre: Nullable[Flag] = None
    """Whether residuals are mean-centred first, as for the earliest public dictionaries; `null`: as the dictionary's
    metadata says, else no."""


class DictionaryTrained(ReadDictionary):
    """A TopK sparse autoencoder trained by the workflow (Gao et al. 2024, arXiv 2406.04093) and saved in SAELens's
    format."""

    source: Literal["trained"]
    layer: NotNegative
    """Index (from 0) of the block whose input is read."""
    features: Annotated[int, Field(ge=2), WHOLE] = 512
    """Number of features."""
    k: Positive = 16
    """Active features per token."""
    steps: Positive = 1000
    """Optimiser steps."""
    batch_size: Positive = 1024
    """Tokens per step."""
    learning_rate: PositiveNumber = 0.001
    """Peak learning rate (Adam)."""
    seeds: Several[NotNegative] = [0]
    """Seeds of initial weights and data order; with several, each gives a dictionary `<name>.s<seed>`."""

    @model_validator(mode="after")
    def _has_k_features(self) -> DictionaryTrained:
        if self.k > self.features:
            raise mistake("k", f"got {self.k}", f"allowed: at most features, {self.features}.")
        return self


class DictionaryLocal(PublicDictionary):
    """A dictionary on this machine, in any SAELens architecture."""

    source: Literal["local"]
    path: Text
    """Folder in SAELens's format: cfg.json and sae_weights.safetensors."""
    layer: Nullable[NotNegative] = None
    """Index (from 0) of the block whose input is read; `null`: from the metadata. If both give it, they must agree."""


class DictionaryHub(PublicDictionary):
    """A dictionary on the Hugging Face hub; downloaded once, then used offline."""

    source: Literal["hub"]
    layer: NotNegative
    """Index (from 0) of the block whose input is read."""
    release: Text
    """A SAELens release such as `gpt2-small-res-jb`, or a hub repository; then `folder` selects the dictionary."""
    folder: Nullable[Text] = None
    """Folder of the dictionary in the repository; `null`: the release's dictionary for `layer`."""
    revision: Text = "main"
    """Branch, tag or commit; the download records the commit, which later steps use."""


class ContrastTemplates(Described):
    """Words of two sides, and texts that one of these words continues, from a file."""

    source: Literal["templates"]
    path: Text
    """File such as data/features/gender/contrast.yaml; its tables are in the same folder."""
    dictionaries: Nullable[SomeNames] = None
    """Names of the dictionaries to test on this contrast; with several `seeds`, `<name>.s<seed>`. `null`: all."""


class ContrastPromptSet(Described):
    """Prompts that mention a concept and their controls, from a prompt set of the study."""

    source: Literal["prompt_set"]
    prompt_set: str
    """A prompt set of `study.prompt_sets` with `source: templates`."""
    categories: Nullable[SomeNames] = None
    """Template categories to use; `null`: all."""
    items: Nullable[SomeNames] = None
    """Concepts to use; `null`: all."""
    dictionaries: Nullable[SomeNames] = None
    """Names of the dictionaries to test on this contrast; with several `seeds`, `<name>.s<seed>`. `null`: all."""


class ExplainerLocal(Described):
    """The tokens on which a feature fires most, weighted by their rarity; needs no language model."""

    kind: Literal["local"]
    tokens: Positive = 5
    """Tokens per explanation."""


class ExplainerOpenai(Described):
    """A language model behind an OpenAI-compatible endpoint. Answers are cached."""

    kind: Literal["openai"]
    base_url: Address
    """Address of the endpoint, up to `/chat/completions`, without user, password or key."""
    model: Text
    """The model's name at the endpoint."""
    key_variable: Variable = "OPENAI_API_KEY"
    """Environment variable that holds the API key; if it is not set, requests carry no key."""
    temperature: NotNegativeNumber = 0
    """Sampling temperature."""
    max_tokens: Positive = 200
    """Maximum answer length, in tokens."""
    timeout: PositiveNumber = 60
    """Seconds to wait for a complete answer."""
    attempts: Positive = 6
    """Attempts per request before the job fails; answers received so far are kept."""
    concurrency: Positive = 4
    """Concurrent requests; changes no result."""
    features: Nullable[Positive] = 500
    """Features to explain, the most frequently firing first; `null`: all."""


Dictionary = Annotated[DictionaryTrained | DictionaryLocal | DictionaryHub, Field(discriminator="source")]
Contrast = Annotated[ContrastTemplates | ContrastPromptSet, Field(discriminator="source")]
Explainer = Annotated[ExplainerLocal | ExplainerOpenai, Field(discriminator="kind")]


class Steering(Described):
    """An edit of features, and prompts to continue under it."""

    dictionary: str
    """Name of `dictionaries`; with several seeds, `<name>.s<seed>`."""
    feature: Nullable[NotNegative] = Field(None, exclude=True)
    """Index of the feature to edit; alternatively `features`."""
    features: Nullable[Several[NotNegative]] = None
    """Indices of the features to edit together."""
    edit: Edit = "add"
    """Edit of each feature: `add` its maximum times `coefficient` along its direction; `ablate` it; `scale` its
    activation by `coefficient`; `clamp` it to `coefficient` times its maximum; `mean_clamp` it to its mean where it
    fires."""
    coefficient: Number = 5.0
    """Factor of the edit."""
    maximum: Nullable[PositiveNumber] = None
    """Maximum activation of the features; `null`: measured on held-out text, which must be long enough for the features
    to fire."""
    positions: Positions = "all"
    """Tokens to edit: `all`, those of the `prompt`, or those `generated`."""
    temperature: NotNegativeNumber = 1.0
    """Sampling temperature; 0: greedy decoding."""
    prompt: Nullable[Text] = Field(None, exclude=True)
    """Text to continue; alternatively `prompts`."""
    prompts: Nullable[Several[Text]] = None
    """Texts to continue."""
    samples: Positive = 5
    """Texts per prompt, with the edit and, from the same random numbers, without."""
    max_new_tokens: Positive = 30
    """Maximum text length, in the model's tokens."""
    seed: Nullable[NotNegative] = None
    """Seed of the random numbers. Default: `seed`."""
    chat: Flag = False
    """Whether prompts are formatted with the tokenizer's chat template."""

    @model_validator(mode="after")
    def _one_or_several(self) -> Steering:
        """Turn `feature` and `prompt` into the plural keys, the only ones read from here on."""
        for several, one in (("features", "feature"), ("prompts", "prompt")):
            single, many = getattr(self, one), getattr(self, several)
            if single is not None and many is not None:
                raise mistake(one, f"got {json.dumps(single)} together with {several}", "allowed: one of the two.")
            if single is None and many is None:
                raise mistake(one, "got nothing", f"allowed: {one} or {several}.")
            if many is None:
                # Frozen for everybody else.
                object.__setattr__(self, several, [single])
        return self


class Benchmark(Described):
    """A benchmark of sentence pairs for social bias."""

    format: Literal["winobias", "winogender", "stereoset", "crows_pairs"]
    """The data set, in its authors' columns."""
    path: Text
    """File of the data set (not shipped), or a folder of WinoBias's text files or Winogender's tables."""

    @model_validator(mode="before")
    @classmethod
    def _not_bbq(cls, keys: Any) -> Any:
        """Refuse BBQ with a message that says why."""
        name = keys.get("format") if isinstance(keys, Mapping) else None
        if isinstance(name, str) and name.casefold() == "bbq":
            allowed = "data sets of pairs of sentences: winobias, winogender, stereoset, crows_pairs."
            raise mistake("format", f"got {name!r}, whose questions have three answers each", f"allowed: {allowed}")
        return keys


class Tokens(Section):
    """Tokens whose activations are read, per model, layer and corpus."""

    train: Positive = 200000
    """Training tokens for dictionaries."""
    held_out: Positive = 50000
    """Tokens of other documents, to describe features."""


class Bar(Section):
    """Quality that a dictionary needs to be interpreted."""

    variance_unexplained: NotNegativeNumber = 0.4
    """Maximum share of the residuals' variance left unexplained."""
    dead_share: Share = 0.6
    """Maximum share of features that never fire."""
    cross_entropy_recovered: Annotated[float, Field(le=1), NUMBER] = 0.7
    """Minimum share of the layer's cross-entropy contribution that its reconstruction recovers."""


# How features are chosen.
Choice = Literal["pairs", "groups", "direct", "attribution", "greedy"]


class Effects(Section):
    """Edits to try on each contrast. Each gets the strength that reaches a given cost, and is compared with random
    features, a random direction and the difference in means."""

    methods: Several[Choice] = [
        "pairs",
        "groups",
        "direct",
        "attribution",
        "greedy",
    ]
    """How features are ranked: by activation differences over minimal `pairs` or between `groups` of items, by `direct`
    effect on the logits of the two sides' words, or by `attribution`. `greedy` adds one feature at a time from the best
    of the other methods, each time the one whose edit leaves the smallest gap."""
    sizes: Several[Positive] = [1, 2, 5, 10]
    """Numbers of features edited together."""
    edits: Several[Literal["add", "ablate", "clamp", "mean_clamp"]] = ["add", "ablate", "clamp", "mean_clamp"]
    """Edits, as in `steering`."""
    costs: Several[PositiveNumber] = [1, 3]
    """Allowed increases of perplexity on neutral text, in percent."""
    baseline_seeds: Several[NotNegative] = [0, 1, 2]
    """Seeds of the random features and directions."""
    neutral_texts: Annotated[int, Field(ge=2), WHOLE] = 400
    """Neutral texts on which costs are measured."""

    @model_validator(mode="after")
    def _greedy_can_choose(self) -> Effects:
        """Check that ``greedy`` has another method to take features from, and an edit it can optimise."""
        if GREEDY not in self.methods:
            return self
        if self.methods == [GREEDY]:
            found = f"got only '{GREEDY}', which starts from the features of another method"
            raise mistake("methods", found, f"allowed: '{GREEDY}' and at least one other.")
        if not set(TAKING_AWAY) & set(self.edits):
            raise mistake(
                "methods",
                f"got '{GREEDY}' with the edits {', '.join(self.edits)}",
                f"allowed: {' or '.join(TAKING_AWAY)} among the edits, or `methods` without '{GREEDY}'.",
            )
        return self


class FeaturesSection(Section):
    """Sparse features of the residual stream: which carry an association, and what editing them changes. `dictionaries`
    and `contrasts` in a study's file replace those of config.yaml."""

    corpora: Annotated[dict[CorpusName, Corpus], Field(title="a mapping of names to corpora")] = {}
    """Corpora on which activations are computed, by name."""
    dictionaries: Annotated[dict[Name, Dictionary], Field(title="a mapping of names to dictionaries")] = {}
    """Dictionaries of features, by name."""
    tokens: Tokens = Tokens()
    """Tokens whose activations are read, per model, layer and corpus."""
    context_length: Annotated[int, Field(ge=2), WHOLE] = 128
    """Tokens per sequence; longer documents are split."""
    shards: Positive = 2
    """Parallel jobs that compute activations."""
    batch_size: Nullable[Positive] = None
    """Texts per forward pass. Default: `batch_size`."""
    bar: Bar = Bar()
    """Quality that a dictionary needs to be interpreted."""
    contexts: Positive = 10
    """Contexts kept per feature: this many top-activating ones, as many over the whole range, and as many to test
    explanations."""
    promoted: Positive = 10
    """Tokens kept per feature whose logit it raises most, and as many that it lowers most."""
    page_features: Nullable[Positive] = None
    """Features on a dictionary's page, the most frequently firing first; `null`: all."""
    explainers: Annotated[dict[Name, Explainer], Field(title="a mapping of names to explainers")] = {
        "local": ExplainerLocal(kind="local")
    }
    """Explainers of features, by name; their explanations are always scored."""
    contrasts: Annotated[dict[TaskName, Contrast], Field(title="a mapping of names to contrasts")] = {}
    """Associations to look for in the features, by name."""
    effects: Effects = Effects()
    """Edits to try on each contrast. Each gets the strength that reaches a given cost, and is compared with random
    features, a random direction and the difference in means."""
    neutral_text: Text = "data/validate/neutral.txt"
    """Neutral texts, one per line, on which an edit's cost is measured. Organisms use documents of their own corpus
    instead."""
    steering: Annotated[dict[Name, Steering], Field(title="a mapping of names to steerings")] = {}
    """Texts to generate with and without edited features, by name."""
    benchmarks: Annotated[dict[Name, Benchmark], Field(title="a mapping of names to benchmarks")] = {}
    """Bias benchmarks on which every model of the study is scored, by name."""
    level: Nullable[Part] = None
    """Level of the confidence intervals over items, as a share. Default: `level`."""
    seed: Nullable[NotNegative] = None
    """Seed of samples and splits. Default: `seed`."""
