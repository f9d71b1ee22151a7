"""Tables of all values of each feature of a dictionary, and of the dictionaries of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from leakscope.errors import InputError

SIDES = ("promoted", "suppressed")
ACTIVATING = 10
"""Tokens of a feature that are kept, by activation mass."""
FIRST_SELECTED = 20
"""Features of each method that ``selected.csv`` shows."""
OF_DICTIONARY = ["dictionary", "label", "model", "layer", "randomised", "seed"]
# For a page, not for a readable table.
NOT_IN_CSV = ["histogram"]


def feature_table(
    statistics: pd.DataFrame,
    firing: pd.DataFrame,
    promoted: pd.DataFrame,
    token_counts: pd.DataFrame,
    tokens: pd.DataFrame,
    explanations: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Return one row a feature, by number: ``feature``, all of ``statistics`` and ``firing``, and lists and labels.

    ``promoted`` and ``suppressed`` are the tokens whose logits a feature raises and lowers most, ``activating`` those
    on which it is most active, by activation mass over all held-out text. Of each explainer there are
    ``explanation_<name>, status_<name>, detection_<name>``.

    Args:
        statistics: of the logit weights.
        firing: on held-out text.
        promoted: ``feature, side, rank, token``.
        token_counts: ``feature, half, token_id, mass``.
        tokens: ``token_id, token``; may repeat.
        explanations: explainer → ``feature, explanation, status, detection``.

    Raises:
        InputError: two of the tables are of different features.
    """
    table = statistics.sort_values("feature", ignore_index=True)
    for name, other in {"firing": firing, **explanations}.items():
        if set(other["feature"]) != set(table["feature"]):
            raise InputError(
                f"features: got {len(other)} in {name} and {len(table)} in statistics; allowed: the same in both."
            )
    table = table.merge(firing, on="feature", validate="1:1")
    ordered = promoted.sort_values(["feature", "rank"])
    for side in SIDES:
        table[side] = _lists(ordered[ordered["side"] == side], table["feature"])
    table["activating"] = _lists(_activating(token_counts, tokens), table["feature"])
    for name, explained in explanations.items():
        columns = {column: f"{column}_{name}" for column in ("explanation", "status", "detection")}
        table = table.merge(explained[["feature", *columns]].rename(columns=columns), on="feature", validate="1:1")
    return table


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a feature table for a CSV: lists as JSON, and no histograms."""
    lists = {
        name: [json.dumps(list(cell), ensure_ascii=False) for cell in table[name]] for name in (*SIDES, "activating")
    }
    return table.drop(columns=NOT_IN_CSV).assign(**lists)


def described(dictionaries: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    """Return ``OF_DICTIONARY`` of the named dictionaries, in their order; ``label`` is the name where there is none.

    Args:
        dictionaries: name → ``label, model, layer, randomised, seed``, each of which may be missing.
        names: of those wanted.
    """
    rows = [
        {"dictionary": name, "label": dictionaries[name].get("label") or name}
        | {key: dictionaries[name].get(key) for key in OF_DICTIONARY[2:]}
        for name in names
    ]
    table = pd.DataFrame(rows, columns=OF_DICTIONARY)
    randomised = [bool(value) for value in table["randomised"].map(lambda value: value is not None and value)]
    return table.assign(randomised=randomised).astype({"layer": "Int64", "seed": "Int64"})


def quality_table(qualities: Mapping[str, Mapping[str, Any]], dictionaries: pd.DataFrame) -> pd.DataFrame:
    """Return ``OF_DICTIONARY`` and every number of each dictionary's quality; one inside another as ``outer_inner``.

    Args:
        qualities: dictionary → its quality.
        dictionaries: ``OF_DICTIONARY``, one row a dictionary.
    """
    flat = pd.json_normalize([dict(quality) for quality in qualities.values()], sep="_")
    kept = [name for name in flat if name not in OF_DICTIONARY and not flat[name].map(_is_nested).any()]
    return dictionaries.merge(flat[kept].assign(dictionary=list(qualities)), on="dictionary", validate="1:1")


def gathered(tables: Mapping[tuple[str, str], pd.DataFrame], dictionaries: pd.DataFrame) -> pd.DataFrame:
    """Return tables of dictionaries and contrasts below each other: ``dictionary, label, contrast``, and their own.

    Args:
        tables: (dictionary, contrast) → its table.
        dictionaries: ``OF_DICTIONARY``, one row a dictionary.
    """
    labels = dictionaries.set_index("dictionary")["label"]
    parts = [
        table.drop(columns=["dictionary", "contrast"], errors="ignore")
        .assign(dictionary=dictionary, label=labels[dictionary], contrast=contrast)
        for (dictionary, contrast), table in tables.items()
    ]  # fmt: skip
    if not parts:
        return pd.DataFrame(columns=["dictionary", "label", "contrast"])
    # Columns of an empty CSV have no type, and would take the others' with them.
    whole: pd.DataFrame = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    first = ["dictionary", "label", "contrast"]
    return whole.loc[:, [*first, *(name for name in whole.columns if name not in first)]]


def selected_features(
    selections: Mapping[tuple[str, str], pd.DataFrame],
    features: Mapping[str, pd.DataFrame],
    dictionaries: pd.DataFrame,
) -> pd.DataFrame:
    """Return the first features that each method selects, with what the explainers say of them.

    Args:
        selections: (dictionary, contrast) → ``method, rank, feature, score, sign``.
        features: dictionary → its feature table.
        dictionaries: ``OF_DICTIONARY``, one row a dictionary.
    """
    shown = {}
    for (dictionary, contrast), selection in selections.items():
        table = features[dictionary]
        said = [name for name in table if str(name).startswith(("explanation_", "detection_"))]
        first = selection[selection["rank"] <= FIRST_SELECTED].astype({"feature": "int64"})
        activating = table.assign(activating=[", ".join(repr(token) for token in cell) for cell in table["activating"]])
        shown[dictionary, contrast] = first.merge(
            activating[["feature", "firing_rate", "activating", *said]], on="feature", how="left", validate="m:1"
        )
    return gathered(shown, dictionaries)


def _activating(token_counts: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Return ``feature, token``: the tokens with most activation mass, most first."""
    mass = token_counts.groupby(["feature", "token_id"], as_index=False)["mass"].sum()
    ordered = mass[mass["mass"] > 0].sort_values(["feature", "mass", "token_id"], ascending=[True, False, True])
    first: pd.DataFrame = ordered[ordered.groupby("feature").cumcount() < ACTIVATING]
    texts = tokens.drop_duplicates("token_id").set_index("token_id")["token"]
    return first.assign(token=texts.reindex(first["token_id"]).to_numpy())


def _lists(rows: pd.DataFrame, features: pd.Series) -> list[list[str]]:
    """Return the tokens of each feature, in their order; none of a feature without a row. The rows are by feature."""
    starts, ends = (rows["feature"].searchsorted(features, side=side) for side in ("left", "right"))
    tokens = rows["token"].tolist()
    return [tokens[start:end] for start, end in zip(starts, ends, strict=True)]


def _is_nested(value: object) -> bool:
    return isinstance(value, list | dict)
