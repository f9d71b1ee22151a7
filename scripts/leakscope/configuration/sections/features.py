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
    """Documents in which activations are read."""

    path: Text
    """Documents: a .jsonl or .ndjson file, plain or packed (.gz, .zst), .json.gz, .json.zst or .parquet, a folder of
    these or a pattern with `*`; a .txt file, one document a line; or a table, .csv or .tsv."""
    text: Text = "text"
    """Key of the text in each line, or column of the table."""


class ReadDictionary(Labelled):
    """What every dictionary has."""

    model: str
    """Model whose residual stream it reads: one of the study that is not edited, or any of source `randomised`."""
    corpus: str = "own"
    """Where activations are read for it: a name of `corpora`, or `own`, an organism's own corpus."""


class PublicDictionary(ReadDictionary):
    """What every dictionary has that others trained."""

    centre: Nullable[Flag] = None
    """Whether it reads residuals without their mean, as the first public dictionaries do; `null`: as its metadata says,
    else no."""


class DictionaryTrained(ReadDictionary):
    """A TopK dictionary that the workflow trains (Gao et al. 2024, arXiv 2406.04093), saved as SAELens saves it."""

    source: Literal["trained"]
    layer: NotNegative
    """Number of the block whose input is read, from 0."""
    features: Annotated[int, Field(ge=2), WHOLE] = 512
    """Number of features."""
    k: Positive = 16
    """So many features explain one token."""
    steps: Positive = 1000
    """Optimiser steps."""
    batch_size: Positive = 1024
    """Tokens in one step."""
    learning_rate: PositiveNumber = 0.001
    """Highest learning rate (Adam)."""
    seeds: Several[NotNegative] = [0]
    """Seeds of weights and order; where there are several, each gives a dictionary, `<name>.s<seed>`."""

    @model_validator(mode="after")
    def _has_k_features(self) -> DictionaryTrained:
        if self.k > self.features:
            raise mistake("k", f"got {self.k}", f"allowed: at most features, {self.features}.")
        return self


class DictionaryLocal(PublicDictionary):
    """A dictionary on this machine, of any kind that SAELens saves."""

    source: Literal["local"]
    path: Text
    """Folder as SAELens saves it: cfg.json and sae_weights.safetensors."""
    layer: Nullable[NotNegative] = None
    """Number of the block whose input is read, from 0; `null`: as its metadata says. If both say it, they must agree.
    """


class DictionaryHub(PublicDictionary):
    """A dictionary of the Hugging Face hub; fetched once, then used offline."""

    source: Literal["hub"]
    layer: NotNegative
    """Number of the block whose input is read, from 0."""
    release: Text
    """Name of a release, such as `gpt2-small-res-jb`, or of a repository on the hub; then `folder` says which of its
    dictionaries."""
    folder: Nullable[Text] = None
    """Folder of the dictionary in the repository; `null`: where the release has that of the layer."""
    revision: Text = "main"
    """Branch, tag or commit; fetching records the commit, and later steps use that."""


class ContrastTemplates(Described):
    """Words of two sides, and texts after which one of them is next, in a file."""

    source: Literal["templates"]
    path: Text
    """File such as data/features/gender/contrast.yaml, with its tables beside it."""
    dictionaries: Nullable[SomeNames] = None
    """Names of the dictionaries that are tried against it; of one with several `seeds`, `<name>.s<seed>`. `null`: all.
    """


class ContrastPromptSet(Described):
    """Prompts that mention a concept and their controls, made from a prompt set of the study."""

    source: Literal["prompt_set"]
    prompt_set: str
    """Prompt set of `study.prompt_sets` that is made from templates."""
    categories: Nullable[SomeNames] = None
    """Categories of its templates that are used; `null`: all."""
    items: Nullable[SomeNames] = None
    """Concepts that are used; `null`: all."""
    dictionaries: Nullable[SomeNames] = None
    """Names of the dictionaries that are tried against it; of one with several `seeds`, `<name>.s<seed>`. `null`: all.
    """


class ExplainerLocal(Described):
    """The tokens at which a feature fires most, weighted by how rare they are; asks nobody."""

    kind: Literal["local"]
    tokens: Positive = 5
    """So many tokens make an explanation."""


class ExplainerOpenai(Described):
    """A language model behind an OpenAI-compatible endpoint. What was asked once is kept."""

    kind: Literal["openai"]
    base_url: Address
    """Address of the endpoint, up to `/chat/completions`; without a user, password or key."""
    model: Text
    """What the endpoint calls the model."""
    key_variable: Variable = "OPENAI_API_KEY"
    """Environment variable that holds the key; none is needed where it is not set."""
    temperature: NotNegativeNumber = 0
    """Sampling temperature."""
    max_tokens: Positive = 200
    """Longest answer, in its tokens."""
    timeout: PositiveNumber = 60
    """Seconds to wait for the whole of an answer."""
    attempts: Positive = 6
    """So many times an answer is asked for before the job ends; what was answered is kept."""
    concurrency: Positive = 4
    """Requests at once; changes no result."""
    features: Nullable[Positive] = 500
    """So many features are explained, those that fire most often; `null`: all."""


Dictionary = Annotated[DictionaryTrained | DictionaryLocal | DictionaryHub, Field(discriminator="source")]
Contrast = Annotated[ContrastTemplates | ContrastPromptSet, Field(discriminator="source")]
Explainer = Annotated[ExplainerLocal | ExplainerOpenai, Field(discriminator="kind")]


class Steering(Described):
    """An edit of features, and prompts that are continued with it."""

    dictionary: str
    """Name of `dictionaries`; one of several seeds with its seed, `<name>.s<seed>`."""
    feature: Nullable[NotNegative] = Field(None, exclude=True)
    """Number of the feature that is edited; or `features`."""
    features: Nullable[Several[NotNegative]] = None
    """Numbers of features that are edited together."""
    edit: Edit = "add"
    """What is done to them: `add` its maximum times `coefficient` along its direction; `ablate` it; `scale` its
    activation by `coefficient`; `clamp` it to `coefficient` times its maximum; `mean_clamp` it to its mean, where it
    fires."""
    coefficient: Number = 5.0
    """How much of it."""
    maximum: Nullable[PositiveNumber] = None
    """What counts as the maximum of the features; `null`: that on held-out text, which has to be large enough for them
    to fire."""
    positions: Positions = "all"
    """Where: at `all` tokens, those of the `prompt`, or those that are `generated`."""
    temperature: NotNegativeNumber = 1.0
    """Sampling temperature; 0 takes the most probable token."""
    prompt: Nullable[Text] = Field(None, exclude=True)
    """Text to be continued; or `prompts`."""
    prompts: Nullable[Several[Text]] = None
    """Several of them."""
    samples: Positive = 5
    """Texts from each prompt, with the edit and, by the same random numbers, without."""
    max_new_tokens: Positive = 30
    """Longest text, in the model's tokens."""
    seed: Nullable[NotNegative] = None
    """Seed of the random numbers. Default: `seed`."""
    chat: Flag = False
    """Whether prompts go through the tokenizer's chat template."""

    @model_validator(mode="after")
    def _one_or_several(self) -> Steering:
        """Let a steering say in one way what it edits and what is continued: the plural keys are read from here on."""
        for several, one in (("features", "feature"), ("prompts", "prompt")):
            single, many = getattr(self, one), getattr(self, several)
            if single is not None and many is not None:
                raise mistake(one, f"got {json.dumps(single)} beside {several}", "allowed: one of the two.")
            if single is None and many is None:
                raise mistake(one, "got nothing", f"allowed: {one} or {several}.")
            if many is None:
                # Frozen for everybody else.
                object.__setattr__(self, several, [single])
        return self


class Benchmark(Described):
    """A data set of pairs for gender bias."""

    format: Literal["winobias", "winogender", "stereoset", "crows_pairs"]
    """What its columns mean: those of the data sets as their authors distribute them."""
    path: Text
    """File of the data set, which you bring, or a folder of WinoBias's text files or Winogender's tables."""

    @model_validator(mode="before")
    @classmethod
    def _not_bbq(cls, keys: Any) -> Any:
        """Say why a data set that people know is not among those that are read."""
        name = keys.get("format") if isinstance(keys, Mapping) else None
        if isinstance(name, str) and name.casefold() == "bbq":
            allowed = "data sets of pairs of sentences: winobias, winogender, stereoset, crows_pairs."
            raise mistake("format", f"got {name!r}, whose questions have three answers each", f"allowed: {allowed}")
        return keys


class Tokens(Section):
    """Tokens whose activations are read, of each model, layer and corpus."""

    train: Positive = 200000
    """To train dictionaries."""
    held_out: Positive = 50000
    """To describe features, of other documents."""


class Bar(Section):
    """What a dictionary must reach to be interpreted."""

    variance_unexplained: NotNegativeNumber = 0.4
    """At most this share of the residuals' variance is left unexplained."""
    dead_share: Share = 0.6
    """At most this share of features never fires."""
    cross_entropy_recovered: Annotated[float, Field(le=1), NUMBER] = 0.7
    """At least this share of what the layer is worth to the model, in cross-entropy, is kept by its reconstruction."""


# How features are chosen.
Choice = Literal["pairs", "groups", "direct", "attribution", "greedy"]


class Effects(Section):
    """Which edits against a contrast are tried. Each is given the strength at which it costs so much, beside features
    chosen at random, a random direction, and the difference in means."""

    methods: Several[Choice] = [
        "pairs",
        "groups",
        "direct",
        "attribution",
        "greedy",
    ]
    """How features are chosen: by their activations over minimal `pairs` or between `groups` of items, by their
    `direct` effect on the two sides' words, by `attribution`; or, `greedy`, one after another by what an edit with
    it leaves of the gap, from the best of the other methods."""
    sizes: Several[Positive] = [1, 2, 5, 10]
    """How many features are edited together."""
    edits: Several[Literal["add", "ablate", "clamp", "mean_clamp"]] = ["add", "ablate", "clamp", "mean_clamp"]
    """What is done to them, as in `steering`."""
    costs: Several[PositiveNumber] = [1, 3]
    """What an edit may cost, in percent of perplexity on neutral text."""
    baseline_seeds: Several[NotNegative] = [0, 1, 2]
    """Seeds of random features and directions."""
    neutral_texts: Annotated[int, Field(ge=2), WHOLE] = 400
    """Neutral texts by which costs are measured."""

    @model_validator(mode="after")
    def _greedy_can_choose(self) -> Effects:
        """Check that the method ``greedy`` has features to choose from, and an edit to choose them for."""
        if GREEDY not in self.methods:
            return self
        if self.methods == [GREEDY]:
            found = f"got '{GREEDY}' alone, which takes the best of the other methods"
            raise mistake("methods", found, "allowed: at least one beside it.")
        if not set(TAKING_AWAY) & set(self.edits):
            raise mistake(
                "methods",
                f"got '{GREEDY}', and edits are {', '.join(self.edits)}",
                f"allowed: {' or '.join(TAKING_AWAY)} among them, which it chooses for, or no '{GREEDY}'.",
            )
        return self


class FeaturesSection(Section):
    """Sparse features of the residual stream: which carry an association, and what happens without them. A study that
    names dictionaries, or contrasts, has these alone."""

    corpora: Annotated[dict[CorpusName, Corpus], Field(title="a mapping of names to corpora")] = {}
    """Corpora in which activations are read, by name."""
    dictionaries: Annotated[dict[Name, Dictionary], Field(title="a mapping of names to dictionaries")] = {}
    """Dictionaries of features, by name."""
    tokens: Tokens = Tokens()
    """Tokens whose activations are read, of each model, layer and corpus."""
    context_length: Annotated[int, Field(ge=2), WHOLE] = 128
    """Tokens that a model reads at once; longer documents are read in pieces."""
    shards: Positive = 2
    """Jobs that share the reading of activations."""
    batch_size: Nullable[Positive] = None
    """Texts that a model reads at once. Default: `batch_size`."""
    bar: Bar = Bar()
    """What a dictionary must reach to be interpreted."""
    contexts: Positive = 10
    """Contexts kept of a feature where it fires most, as many of all heights, and as many to test explanations by."""
    promoted: Positive = 10
    """Tokens kept of a feature that it makes more probable, and as many that it makes less."""
    page_features: Nullable[Positive] = None
    """Features shown in a dictionary's page, those that fire most often; `null`: all."""
    explainers: Annotated[dict[Name, Explainer], Field(title="a mapping of names to explainers")] = {
        "local": ExplainerLocal(kind="local")
    }
    """Who explains what features stand for, by name; explanations are always scored."""
    contrasts: Annotated[dict[TaskName, Contrast], Field(title="a mapping of names to contrasts")] = {}
    """Associations to look for, by name."""
    effects: Effects = Effects()
    """Which edits against a contrast are tried. Each is given the strength at which it costs so much, beside features
    chosen at random, a random direction, and the difference in means."""
    neutral_text: Text = "data/validate/neutral.txt"
    """Texts, one a line, by which is measured what an edit costs. Organisms have documents of their own corpus instead.
    """
    steering: Annotated[dict[Name, Steering], Field(title="a mapping of names to steerings")] = {}
    """What to write with features edited, and without, by name."""
    benchmarks: Annotated[dict[Name, Benchmark], Field(title="a mapping of names to benchmarks")] = {}
    """Data sets of bias that every model of the study is scored on, by name."""
    level: Nullable[Part] = None
    """Level of the intervals for other items, as a share. Default: `level`."""
    seed: Nullable[NotNegative] = None
    """Seed of samples and splits. Default: `seed`."""
