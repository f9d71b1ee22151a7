"""The link ``removed``: what is left of a pair's leak in a model that the study mitigates."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from leakscope.trace.links import EMPTY_COLUMNS, Links
from leakscope.trace.pairs import KEYS

REMOVED = "removed"
REMOVED_COLUMNS = [REMOVED, f"{REMOVED}_centred", f"{REMOVED}_by"]
OF = {"leak": REMOVED, "leak_centred": f"{REMOVED}_centred"}


def with_removed(links: pd.DataFrame, removed: Mapping[str, str]) -> Links:
    """Return the links of all models with ``REMOVED_COLUMNS``, and which models have no such link and why.

    ``removed`` and ``removed_centred`` are the leak and the centred leak of the same pair in the mitigated model, whose
    name is ``removed_by``.

    Args:
        links: ``links.LINK_COLUMNS``.
        removed: model → the mitigated model of it.
    """
    keys = ["model", "prompt_set", *KEYS]
    after = links[[*keys, *OF]].rename(columns={"model": f"{REMOVED}_by", **OF}).astype({f"{REMOVED}_by": object})
    table = links.assign(**{f"{REMOVED}_by": links["model"].map(dict(removed)).astype(object)})
    table = table.merge(after, "left", [f"{REMOVED}_by", "prompt_set", *KEYS])
    views = links[["model", "prompt_set"]].drop_duplicates().itertuples(index=False, name=None)
    rows = [(*view, REMOVED, _why(view[0], removed)) for view in views if view[0] not in removed]
    return Links(table[[*links.columns, *REMOVED_COLUMNS]], pd.DataFrame(rows, columns=EMPTY_COLUMNS))


def _why(model: str, removed: Mapping[str, str]) -> str:
    if model in removed.values():
        return "it is itself mitigated"
    return "the study has no mitigated model of it (source: mitigated)"
