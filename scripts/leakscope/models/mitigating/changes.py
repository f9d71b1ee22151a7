"""Manifests of mitigated models, by which all steps open them like any other model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakscope.models.editing import edited_models
from leakscope.models.mitigating.installing import (
    ATTENTION,
    DECODING,
    EDITS,
    PROMPT,
    check_kind,
    has_features,
    install,
)
from leakscope.models.opening import LanguageModel
from leakscope.storage.fingerprints import code_hash
from leakscope.storage.manifests import describe_changed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The code of these modules is part of a mitigated model's identity: changed code must not reuse stored texts.
CODE = {
    EDITS: tuple(f"editing/{name}" for name in edited_models.CODE),
    ATTENTION: ("mitigating/attention.py", "mitigating/places.py"),
    DECODING: ("mitigating/contrast.py", "mitigating/places.py"),
    PROMPT: (),
}


def describe_mitigated(
    change: Mapping[str, Any], base: Mapping[str, Any], dictionary: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the manifest of a model with a change.

    Args:
        change: as JSON (see ``installing``).
        base: manifest of the model.
        dictionary: manifest of the dictionary; None if the change has no features.

    Raises:
        InputError: the kind of change is unknown.
    """
    check_kind(change)
    code = code_hash([Path(__file__).parents[1] / name for name in CODE[change["kind"]]])
    return describe_changed(change, base, dictionary if has_features(change) else None, code)


@contextmanager
def mitigated(model: LanguageModel, manifest: Mapping[str, Any]) -> Iterator[LanguageModel]:
    """Yield a model with the change of a manifest, sharing the weights of ``model``.

    Its identity is that of the manifest's model. Weights are loaded when first needed; from then until the end of the
    context both models have the change.

    Args:
        model: the manifest's base, opened.
        manifest: from ``describe_mitigated``.
    """
    hashes = {key: manifest[key] for key in ("weights_sha256", "settings_sha256")}
    with ExitStack() as stack:

        def load() -> PreTrainedModel:
            stack.enter_context(install(model.model, manifest["change"], manifest["dictionary"]))
            return model.model

        yield LanguageModel(model.tokenizer, model.config, model.generation_config, {**model.identity, **hashes}, load)
