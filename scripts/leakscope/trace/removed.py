"""The link ``removed``: a pair's remaining leak in a mitigated model of the study."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from leakscope.trace.links import EMPTY_COLUMNS, Links
from leakscope.trace.pairs import KEYS

REMOVED = "removed"
REMOVED_COLUMNS = [REMOVED, f"{REMOVED}_centred", f"{REMOVED}_by"]
OF = {"leak": REMOVED, "leak_centred": f"{REMOVED}_centred"}


Removed = Mapping[str, Mapping[str, str]]  # model → prompt set → the mitigated model


def with_removed(links: pd.DataFrame, removed: Removed) -> Links:
    """Return the links of all models with ``REMOVED_COLUMNS``, and the models without this link with reasons.

    ``removed`` and ``removed_centred`` are the leak and the centred leak of the same pair in the mitigated model, whose
    name is ``removed_by``: over all templates, including those used to select or train the mitigation.

    Args:
        links: ``links.LINK_COLUMNS``.
        removed: see ``Removed``.
    """
    keys = ["model", "prompt_set", *KEYS]
    after = links[[*keys, *OF]].rename(columns={"model": f"{REMOVED}_by", **OF}).astype({f"{REMOVED}_by": object})
    names = [
        removed.get(model, {}).get(prompt_set)
        for model, prompt_set in zip(links["model"], links["prompt_set"], strict=True)
    ]
    table = links.assign(**{f"{REMOVED}_by": pd.Series(names, links.index, dtype=object)})
    table = table.merge(after, "left", [f"{REMOVED}_by", "prompt_set", *KEYS])
    views = links[["model", "prompt_set"]].drop_duplicates().itertuples(index=False, name=None)
    rows = [(*view, REMOVED, _why(view[0], removed)) for view in views if view[1] not in removed.get(view[0], {})]
    return Links(table[[*links.columns, *REMOVED_COLUMNS]], pd.DataFrame(rows, columns=EMPTY_COLUMNS))


def _why(model: str, removed: Removed) -> str:
    if any(model in by_set.values() for by_set in removed.values()):
        return "it is itself mitigated"
    return "the study has no model of it that was mitigated by this prompt set (source: mitigated)"
