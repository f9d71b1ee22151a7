"""Which features of a dictionary carry a leak: the one of each association, and all that were ablated of a concept."""

from __future__ import annotations

import pandas as pd

from leakscope.trace.pairs import KEYS

FEATURE_COLUMNS = [
    "model", "prompt_set", "dictionary", "layer", "concept_group", "feature", "activation", "activation_control",
    "shift", "effect", "share", "n_pairs",
]  # fmt: skip
OF_GROUP = ["model", "prompt_set", "dictionary", "layer", "concept_group", "feature"]


def named_features(ablated: pd.DataFrame | None) -> pd.DataFrame:
    """Return ``KEYS`` → ``feature`` (``<dictionary>/<number>``) and ``feature_effect``: what takes most off the leak.

    Of all dictionaries of a model, the feature whose ablation lowers the pair's logit leak most, and by how much, in
    logits, below 0; pairs of which no feature does are left out.

    Args:
        ablated: ``layers.columns.ABLATED_COLUMNS`` of one model and prompt set; None where it has no dictionary.
    """
    if ablated is None or ablated.empty:
        return pd.DataFrame(columns=[*KEYS, "feature", "feature_effect"]).set_index(KEYS)
    lowering = ablated[ablated["effect"] < 0]
    most = lowering.loc[lowering.groupby(KEYS, sort=False)["effect"].idxmin()]
    names = most["dictionary"] + "/" + most["feature"].astype(str)
    return most.assign(feature=names, feature_effect=most["effect"]).set_index(KEYS)[["feature", "feature_effect"]]


def carrying_features(links: pd.DataFrame, ablated: pd.DataFrame | None) -> pd.DataFrame:
    """Return ``FEATURE_COLUMNS``: a row a concept group and ablated feature, those that carry most first.

    ``shift`` and ``effect`` are means over the group's associated pairs, in logits, ``activation`` and that of controls
    over its slots; ``share`` is −effect / shift, the part of the leak that goes with the feature, empty where there is
    no leak.

    Args:
        links: as ``links.link_pairs`` returns them, of one model and prompt set.
        ablated: of the same; None where the model has no dictionary.
    """
    if ablated is None or ablated.empty:
        return pd.DataFrame(columns=FEATURE_COLUMNS)
    own = ablated.merge(links.loc[links["associated"] == "yes", KEYS], on=KEYS)
    means = own.groupby(OF_GROUP, sort=False)[["activation", "activation_control", "shift", "effect"]].mean()
    table = means.assign(n_pairs=own.groupby(OF_GROUP, sort=False).size()).reset_index()
    table["share"] = (-table["effect"] / table["shift"]).where(table["shift"] > 0)
    groups = {group: place for place, group in enumerate(dict.fromkeys(links["concept_group"]))}
    order = table.assign(place=table["concept_group"].map(groups)).sort_values(
        ["dictionary", "place", "effect"], kind="stable"
    )
    return order[FEATURE_COLUMNS].reset_index(drop=True)
