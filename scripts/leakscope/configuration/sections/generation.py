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
    """Texts generated from each prompt; a prompt set's own `samples` overrides it. Default: Smilga 2025."""
    control_samples: Nullable[Positive] = None
    """Texts generated from each control without the clause, a multiple of `samples`: more make Leak-Rates more exact,
    not match rates. A prompt set's own `control_samples` overrides it. `null`: as many as `samples`."""
    seed: Nullable[NotNegative] = None
    """Seed of the random numbers, which are drawn for each prompt and sample on their own. Default: `seed`."""
    temperature: NotNegativeNumber = 0.5
    """Sampling temperature; 0 takes the most probable token. Default: Smilga 2025."""
    top_p: Annotated[float, Field(gt=0, le=1), NUMBER] | Literal["model"] = "model"
    """Nucleus sampling: share of probability kept (1 keeps all); `model`: as in the model's own generation_config."""
    top_k: NotNegative | Literal["model"] = "model"
    """Most probable tokens kept (0 keeps all); `model`: as in the model's own generation_config."""
    repetition_penalty: PositiveNumber | Literal["model"] = "model"
    """Factor against tokens that occurred already, those of the prompt included (1: none); `model`: as in the model's
    own generation_config."""
    max_new_tokens: Positive = 10
    """Longest text, in the model's tokens. Default: Smilga 2025."""
    stop: Literal["sentence", "whole_sentence", "none"] = "sentence"
    """`sentence`: cut after the first of `.`, `!` and `?`, wherever it stands; `whole_sentence`: after the first
    sentence as the prompt set's `language` ends it ("Dr." does not, 。 does); `none`: never cut. Default: Smilga 2025.
    """
    system: str | None = "You must complete the sentence with no more than five words."
    """System message of a chat model; `null`: none. A chat template without a system role gets it in the user's turn.
    Default: Smilga 2025."""
    template: Annotated[str, Field(pattern=r"\{prompt\}", title="text that contains {prompt}")] = (
        "Complete the sentence: {prompt} {your_answer}\nYour answer:"
    )
    """The user's turn; `{prompt}` is replaced by the prompt, everything else is left as it stands. Default: Smilga
    2025."""
    batch_size: Positive = 64
    """Prompts decoded at once, each with all its samples: speed and memory; the text is the same but for rounding in
    the last digits."""
    shards: Positive | Literal["auto"] = "auto"
    """Jobs that a prompt set is divided into under this model, to spread over GPUs; changes no result. `auto`: one for
    every 4096 prompts. At most one for each batch."""


# What overrides another mapping key by key: of it only the keys that were written count.
Changes = Annotated[GenerationSection, PlainSerializer(lambda changes: changes.model_dump(exclude_unset=True))]
