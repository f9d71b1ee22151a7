"""Models with a mitigation: which strength of it was chosen, and the manifest by which all steps open one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakscope.errors import InputError


def chosen_manifest(chosen: Mapping[str, Any], cost: float, where: str) -> dict[str, Any]:
    """Return the manifest of the model with what a mitigation was found to do best.

    Args:
        chosen: what a job that tried a mitigation wrote: ``model``, ``mitigation``, and ``chosen``, cost → what does
            best at it, with its ``manifest``, or null.
        cost: what it may cost, in percent of perplexity: one of those that it was tried for.
        where: the model is, for messages.

    Raises:
        InputError: nothing that was tried costs so little.
    """
    best = chosen["chosen"].get(f"{cost:g}")
    if best is None:
        raise InputError(
            f"{where}: got the mitigation {chosen['mitigation']}, which costs more than {cost:g} % of perplexity on "
            f"{chosen['model']} at every setting tried; allowed: a higher cost, or another mitigation."
        )
    return dict(best["manifest"])
