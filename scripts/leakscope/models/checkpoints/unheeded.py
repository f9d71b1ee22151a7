"""Generation settings of a model that leakscope does not use; reported once, where texts are generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

# Settings of a generation config that change texts and are not followed here, with the values that change nothing
# beside None. Followed are temperature and length as the study has them, top_p, top_k, min_p, repetition_penalty and
# the ends of texts.
UNHEEDED: dict[str, tuple[Any, ...]] = {
    "typical_p": (1,),
    "top_h": (),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "bad_words_ids": ([],),
    "sequence_bias": ({}, []),
    "force_words_ids": ([],),
    "constraints": ([],),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "stop_strings": ([], ""),
    "max_time": (),
    "exponential_decay_length_penalty": (),
    "num_beams": (1,),
    "penalty_alpha": (0,),
    "dola_layers": ([],),
    "guidance_scale": (1,),
    "token_healing": (False,),
    "watermarking_config": (),
}
LONGEST_VALUE = 60
PROBE = "leakscope"


def unheeded_settings(own: GenerationConfig | None) -> str:
    """Return the unused settings of a generation config that would change texts, with values; empty if none."""
    said = {name: getattr(own, name, None) for name in UNHEEDED}
    changing = {name: value for name, value in said.items() if value is not None and value not in UNHEEDED[name]}
    return ", ".join(f"{name}: {_brief(value)}" for name, value in changing.items())


def lacking_beginning(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, ids: Sequence[int]) -> str:
    """Return a warning if a chat template omits the beginning-of-text token; empty if it does not.

    A model trained with such a token writes differently without it. The tokenizer shows it by adding the token to plain
    text, or the model's config by naming one that is not the end of text.

    Args:
        tokenizer: the model's.
        config: of the model.
        ids: of the prompt.
    """
    token = tokenizer.bos_token_id
    if token is None or list(ids[:1]) == [token]:
        return ""
    shown = f"its beginning of text ({tokenizer.bos_token})"
    if list(tokenizer(PROBE)["input_ids"][:1]) == [token]:
        return f"its chat template does not write {shown}, which its tokenizer puts before plain text"
    if token not in (tokenizer.eos_token_id, tokenizer.pad_token_id) and token == _own_beginning(config):
        return f"neither its chat template nor its tokenizer writes {shown}, which its config.json names"
    return ""


def _own_beginning(config: PreTrainedConfig) -> Any:
    return getattr(config.get_text_config(), "bos_token_id", None)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
