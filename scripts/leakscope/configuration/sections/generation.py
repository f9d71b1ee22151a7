"""The section ``generation``: how text is generated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from leakscope.typed.values import (
    NUMBER,
    NotNegative,
    NotNegativeNumber,
    Nullable,
    Positive,
    PositiveNumber,
    Section,
)


class GenerationSection(Section):
    """How text is generated. A model's own `generation` overrides it key by key; the defaults are those of Smilga 2025
    (arXiv 2501.06638) where the paper states them."""

    samples: Positive = 5
    """Texts generated per prompt; a prompt set's own `samples` overrides it. Default: Smilga 2025."""
    control_samples: Nullable[Positive] = None
    """Texts generated per control without the clause, a multiple of `samples`; more of them make Leak-Rates (not match
    rates) more precise. A prompt set's own `control_samples` overrides it. `null`: as many as `samples`."""
    seed: Nullable[NotNegative] = None
    """Seed of the sampling; each prompt and sample has its own random stream. Default: `seed`."""
    temperature: NotNegativeNumber = 0.5
    """Sampling temperature; 0: greedy decoding. Default: Smilga 2025."""
    top_p: Annotated[float, Field(gt=0, le=1), NUMBER] | Literal["model"] = "model"
    """Nucleus sampling: share of probability kept (1 keeps all); `model`: as in the model's own generation_config."""
    top_k: NotNegative | Literal["model"] = "model"
    """Number of most probable tokens kept (0 keeps all); `model`: as in the model's own generation_config."""
    repetition_penalty: PositiveNumber | Literal["model"] = "model"
    """Penalty factor for tokens that already occurred, also in the prompt (1: none); `model`: as in the model's own
    generation_config."""
    max_new_tokens: Positive = 10
    """Maximum text length, in the model's tokens. Default: Smilga 2025."""
    stop: Literal["sentence", "whole_sentence", "none"] = "sentence"
    """`sentence`: cut after the first `.`, `!` or `?`; `whole_sentence`: cut after the first sentence by the rules of
    the prompt set's `language` ("Dr." ends none, 。 ends one); `none`: never cut. Default: Smilga 2025."""
    system: str | None = "You must complete the sentence with no more than five words."
    """System message of a chat model; `null`: none. With a chat template without a system role, it goes into the user's
    turn. Default: Smilga 2025."""
    template: Annotated[str, Field(pattern=r"\{prompt\}", title="text that contains {prompt}")] = (
        "Complete the sentence: {prompt} {your_answer}\nYour answer:"
    )
    """The user's turn; `{prompt}` is replaced by the prompt, all other text stays as written. Default: Smilga 2025."""
    batch_size: Positive = 64
    """Prompts decoded at once, each with all its samples: speed and memory only, except that rounding may change a text
    in rare cases."""
    shards: Positive | Literal["auto"] = "auto"
    """Jobs per model and prompt set, to spread over GPUs; changes no result. `auto`: one per 4096 prompts. At most one
    per batch."""


# Overrides another mapping key by key: only the keys written in it count.
Changes = Annotated[GenerationSection, PlainSerializer(lambda changes: changes.model_dump(exclude_unset=True))]
