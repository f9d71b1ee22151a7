"""Kinds of language model (causal, masked, encoder–decoder), and the transformers class that loads each."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

CAUSAL, MASKED, ENCODER_DECODER = "causal", "masked", "encoder-decoder"


def kind_of(config: PreTrainedConfig) -> str:
    """Return ``causal``, ``masked`` or ``encoder-decoder``; state-space models are causal ones.

    A checkpoint of a pre-training task counts as masked if transformers has a masked language model of its type.
    """
    # Imported here: names alone, but in a module that a job without such a model needs not.
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if getattr(config, "is_encoder_decoder", False):
        return ENCODER_DECODER
    names = getattr(config, "architectures", None) or []
    pre_trained = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    endings = ("ForMaskedLM", "ForPreTraining") if pre_trained else ("ForMaskedLM",)
    masked = any(name.endswith(endings) for name in names) and not getattr(config, "is_decoder", False)
    return MASKED if masked else CAUSAL


def loader_of(kind: str, config: PreTrainedConfig) -> Any:
    """Return the transformers class that loads a model of a kind.

    A model that also reads images is loaded whole; without images only its text part computes.
    """
    # Imported here: the import takes seconds, and a job with all texts stored does not need it.
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoModelForMaskedLM,
        AutoModelForSeq2SeqLM,
    )

    reads_pictures = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if kind == CAUSAL and reads_pictures and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForImageTextToText
    return {CAUSAL: AutoModelForCausalLM, MASKED: AutoModelForMaskedLM, ENCODER_DECODER: AutoModelForSeq2SeqLM}[kind]
