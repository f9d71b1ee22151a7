"""Every kind of mitigation, by its name in the catalogue.

Kinds are imported where they are asked for: some of them need libraries that take seconds.
"""

from __future__ import annotations

from contextlib import nullcontext

from leakscope.trace.removal.columns import NONE
from leakscope.trace.removal.variants import Kind, Setting, Variant


def unchanged(setting: Setting) -> list[Variant]:
    """Return the model as it is."""
    manifest = dict(setting.manifest)
    return [Variant("", 0.0, lambda _: nullcontext(setting.model), lambda _: manifest, setting.prompting)]


def _prompt(setting: Setting) -> list[Variant]:
    from leakscope.trace.removal.clauses import prompt_variants

    return prompt_variants(setting)


def _decoding(setting: Setting) -> list[Variant]:
    from leakscope.trace.removal.clauses import decoding_variants

    return decoding_variants(setting)


def _attention(setting: Setting) -> list[Variant]:
    from leakscope.trace.removal.clauses import attention_variants

    return attention_variants(setting)


def _steering(setting: Setting) -> list[Variant]:
    from leakscope.trace.removal.steering import steering_variants

    return steering_variants(setting)


def _features(setting: Setting) -> list[Variant]:
    from leakscope.trace.removal.steering import feature_variants

    return feature_variants(setting)


def _tuning(setting: Setting) -> list[Variant]:
    from leakscope.trace.removal.tuning import tuning_variants

    return tuning_variants(setting)


KINDS: dict[str, Kind] = {
    NONE: unchanged,
    "prompt": _prompt,
    "decoding": _decoding,
    "attention": _attention,
    "steering": _steering,
    "features": _features,
    "tuning": _tuning,
}
