"""Every kind of mitigation, by its name in the catalogue."""

from __future__ import annotations

from contextlib import nullcontext

from leakscope.trace.removal.clauses import attention_variants, decoding_variants, prompt_variants
from leakscope.trace.removal.columns import NONE
from leakscope.trace.removal.steering import feature_variants, steering_variants
from leakscope.trace.removal.tuning import tuning_variants
from leakscope.trace.removal.variants import Kind, Setting, Variant


def unchanged(setting: Setting) -> list[Variant]:
    """Return the unchanged model."""
    manifest = dict(setting.manifest)
    return [Variant("", 0.0, lambda _: nullcontext(setting.model), lambda _: manifest, setting.prompting)]


KINDS: dict[str, Kind] = {
    NONE: unchanged,
    "prompt": prompt_variants,
    "decoding": decoding_variants,
    "attention": attention_variants,
    "steering": steering_variants,
    "features": feature_variants,
    "tuning": tuning_variants,
}
