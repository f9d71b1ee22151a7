"""Where a dictionary reads a model, and what its files are called; apart from what opens it, so as to plan with."""

from __future__ import annotations

import re

# What a folder of SAELens holds.
SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
# TransformerLens' names, those of its bridge, and a layer of a Hugging Face model, of which SAELens takes the output.
BEFORE = re.compile(r"blocks\.(\d+)\.(?:hook_resid_pre|hook_in)")
AFTER = re.compile(r"blocks\.(\d+)\.(?:hook_resid_post|hook_out)|(?:[A-Za-z_]+\.)*(?:layers|h)\.(\d+)")


def hook_layer(hook: str) -> int | None:
    """Return the layer whose input is the residual stream at a hook; None where that is not the stream between blocks.

    The residual stream after block L is that before block L + 1.
    """
    if before := BEFORE.fullmatch(hook):
        return int(before[1])
    if after := AFTER.fullmatch(hook):
        return int(after[1] or after[2]) + 1
    return None
