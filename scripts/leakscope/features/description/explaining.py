"""Explanations of features, by labels made of tokens or sentences of a language model; all are scored.

Every feature has a status:

* ``dead``: the feature never fires; ``below the bar``: its dictionary is not interpreted;
* ``silent``: the feature fires in only one half of the held-out documents, or everywhere, so that an explanation from
  one half cannot be scored on the other;
* ``not asked``: the language model is asked only about features that fire more often;
* ``failed``: the server refuses the prompt; ``unparsable``: the answer is no explanation, or no list of numbers;
* ``explained``: the feature has an explanation and a score.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leakscope.features.description.accuracy import balanced_accuracy
from leakscope.features.description.detection import (
    detection_prompt,
    explanation_prompt,
    read_detection,
    read_explanation,
    shuffled,
)
from leakscope.web.endpoint import Endpoint

logger = logging.getLogger(__name__)

COLUMNS = ["feature", "explainer", "explanation", "status", "detection", "n_firing", "n_silent"]
EXPLAINED, BELOW, DEAD, SILENT = "explained", "below the bar", "dead", "silent"
UNPARSABLE, FAILED, NOT_ASKED = "unparsable", "failed", "not asked"
EXPLAINING, SCORING = "explaining", "scoring"
TEST = ("test_firing", "test_silent")


def explain_locally(
    firing: pd.DataFrame,
    token_counts: pd.DataFrame,
    tokens: pd.DataFrame,
    name: str,
    *,
    n_tokens: int,
    interpretable: bool,
) -> pd.DataFrame:
    """Return ``COLUMNS`` of every feature, explained by the tokens on which it is most active.

    The label consists of the ``n_tokens`` tokens with the largest activation mass × IDF on the explaining half.
    "The token is in the label" predicts whether the feature fires on a token of the scoring half; ``detection`` is the
    balanced accuracy of this prediction, exact from the counts. ``n_firing`` and ``n_silent`` count tokens.

    Args:
        firing: with ``feature`` and ``dead``.
        token_counts: ``feature, half, token_id, n_firing, mass``.
        tokens: ``token_id, token, half, n, n_documents``.
        name: of the explainer.
        n_tokens: of a label.
        interpretable: whether the dictionary is above the bar.
    """
    table = _begun(firing, name, interpretable)
    labels = token_labels(token_counts, tokens, n_tokens)
    scores = score_labels(labels, token_counts, tokens).reindex(table["feature"])
    texts = _label_texts(labels, tokens).reindex(table["feature"])
    usable = (texts.notna() & (scores["n_firing"] > 0) & (scores["n_silent"] > 0)).to_numpy()
    table.loc[table["status"].isna() & ~usable, "status"] = SILENT
    explained = table["status"].isna().to_numpy()
    table.loc[explained, "explanation"] = texts.to_numpy()[explained]
    for column in ("detection", "n_firing", "n_silent"):
        table.loc[explained, column] = scores[column].to_numpy()[explained]
    table.loc[explained, "status"] = EXPLAINED
    return _typed(table)


def token_labels(token_counts: pd.DataFrame, tokens: pd.DataFrame, n_tokens: int) -> pd.DataFrame:
    """Return ``feature, token_id``: of each feature that fires in the explaining half its first tokens, in their order.

    Tokens are ordered by mass × IDF, where IDF = ln((1 + D) / (1 + n_documents)) + 1, and D is the largest number of
    documents of any token: frequent tokens need more mass.
    """
    known = tokens.loc[tokens["half"] == EXPLAINING, ["token_id", "n_documents"]]
    counts = token_counts.loc[(token_counts["half"] == EXPLAINING) & (token_counts["mass"] > 0)]
    counts = counts[["feature", "token_id", "mass"]].merge(known, on="token_id")
    idf = np.log((1 + known["n_documents"].max()) / (1 + counts["n_documents"])) + 1
    order = np.lexsort((counts["token_id"], -(counts["mass"] * idf), counts["feature"]))
    ordered = counts.iloc[order]
    first = ordered.groupby("feature", sort=False).cumcount() < n_tokens
    return ordered.loc[first, ["feature", "token_id"]].reset_index(drop=True)


def score_labels(labels: pd.DataFrame, token_counts: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Return feature → ``detection, n_firing, n_silent`` of labels, on the scoring half.

    Args:
        labels: ``feature, token_id``.
        token_counts: as ``explain_locally`` takes them.
        tokens: as there.
    """
    known = tokens.loc[tokens["half"] == SCORING, ["token_id", "n"]]
    counts = token_counts.loc[token_counts["half"] == SCORING, ["feature", "token_id", "n_firing"]]
    named = labels.merge(known, on="token_id", how="left").merge(counts, on=["feature", "token_id"], how="left")
    detected = named.fillna({"n": 0, "n_firing": 0}).groupby("feature")[["n", "n_firing"]].sum()
    n_firing = counts.groupby("feature")["n_firing"].sum().reindex(detected.index, fill_value=0)
    n_silent = known["n"].sum() - n_firing
    with np.errstate(divide="ignore", invalid="ignore"):
        detection = (detected["n_firing"] / n_firing + 1 - (detected["n"] - detected["n_firing"]) / n_silent) / 2
    return pd.DataFrame({"detection": detection, "n_firing": n_firing, "n_silent": n_silent})


def explain_by_endpoint(
    firing: pd.DataFrame,
    contexts: pd.DataFrame,
    endpoint: Endpoint,
    name: str,
    *,
    n_features: int | None,
    interpretable: bool,
    seed: int,
) -> pd.DataFrame:
    """Return ``COLUMNS`` of every feature, explained by a language model from contexts.

    The model is asked twice per feature: for an explanation, from the contexts ``top`` and ``quantile``; then, given
    the explanation, in which of the contexts ``test_firing`` and ``test_silent`` the feature fires. ``n_firing`` and
    ``n_silent`` count contexts.

    Args:
        firing: with ``feature, firing_rate, dead``.
        contexts: ``feature, kind, rank, tokens, activations``.
        endpoint: of the language model.
        name: of the explainer.
        n_features: number of most frequently firing features to ask about; None: all.
        interpretable: whether the dictionary is above the bar; if not, nothing is asked.
        seed: of the order of contexts in the test.

    Raises:
        InputError: as ``Endpoint.ask``.
    """
    table = _begun(firing, name, interpretable)
    kinds = contexts.groupby(["feature", "kind"]).size().unstack(fill_value=0)
    kinds = kinds.reindex(index=table["feature"], columns=["top", *TEST], fill_value=0)
    table.loc[table["status"].isna() & (kinds == 0).any(axis=1).to_numpy(), "status"] = SILENT
    rates = firing.set_index("feature")["firing_rate"]
    left = sorted(table.loc[table["status"].isna(), "feature"], key=lambda feature: (-rates[feature], feature))
    table.loc[table["status"].isna(), "status"] = NOT_ASKED
    answers = _asked(contexts, left[:n_features], endpoint, seed)
    for row, feature in enumerate(table["feature"]):
        for column, value in answers.get(feature, {}).items():
            table.loc[row, column] = value
    return _typed(table)


def _asked(
    contexts: pd.DataFrame, features: list[int], endpoint: Endpoint, seed: int
) -> dict[int, dict[str, str | float]]:
    """Return, for each of the features, the cells of its row."""
    shown = contexts[contexts["feature"].isin(features)].sort_values(["feature", "kind", "rank"])
    by_kind = dict(list(shown.groupby(["feature", "kind"])))
    none = contexts.iloc[:0]
    prompts = {
        feature: explanation_prompt(by_kind[feature, "top"], by_kind.get((feature, "quantile"), none))
        for feature in features
    }
    answers = endpoint.ask(list(prompts.values())) if prompts else {}
    rows: dict[int, dict[str, Any]] = {}
    tests: dict[int, Any] = {}
    for feature, prompt in prompts.items():
        answer = answers[prompt]
        explanation = None if answer is None else read_explanation(answer)
        rows[feature] = {"status": FAILED if answer is None else UNPARSABLE, "explanation": explanation}
        if explanation is not None:
            texts, fires = shuffled(by_kind[feature, TEST[0]], by_kind[feature, TEST[1]], seed, feature)
            tests[feature] = (detection_prompt(explanation, texts), fires)
    answers = endpoint.ask([prompt for prompt, _ in tests.values()]) if tests else {}
    for feature, (prompt, fires) in tests.items():
        rows[feature] |= _detected(answers[prompt], fires)
    return rows


def _detected(answer: str | None, fires: list[bool]) -> dict[str, str | float]:
    said = None if answer is None else read_detection(answer, len(fires))
    if said is None:
        return {"status": FAILED if answer is None else UNPARSABLE}
    n_firing = sum(fires)
    return {
        "status": EXPLAINED,
        "detection": balanced_accuracy(said, fires),
        "n_firing": n_firing,
        "n_silent": len(fires) - n_firing,
    }


def count_statuses(table: pd.DataFrame) -> Mapping[str, int]:
    """Return and log the number of features with each status."""
    counts = table["status"].value_counts().sort_index()
    logger.info("%s: %s", table["explainer"].iloc[0], ", ".join(f"{n} {status}" for status, n in counts.items()))
    return {str(status): int(n) for status, n in counts.items()}


def _begun(firing: pd.DataFrame, name: str, interpretable: bool) -> pd.DataFrame:
    """Return the table with the statuses that are known before anything is looked at; None for the others."""
    alive = None if interpretable else BELOW
    status = pd.Series([DEAD if dead else alive for dead in firing["dead"]], dtype="object")
    empty = {"explanation": None, "status": status, "detection": np.nan, "n_firing": np.nan, "n_silent": np.nan}
    table = pd.DataFrame({"feature": firing["feature"].to_numpy(), "explainer": name}).assign(**empty)
    return table.astype({"explanation": "object"})[COLUMNS]


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    text = {"explainer": "object", "explanation": "object", "status": "object"}
    return table.astype({**text, "detection": "float64", "n_firing": "Int64", "n_silent": "Int64"})


def _label_texts(labels: pd.DataFrame, tokens: pd.DataFrame) -> pd.Series:
    """Return feature → its readable label: each text once, without spaces around it."""
    texts = tokens.drop_duplicates("token_id").set_index("token_id")["token"]
    shown = texts.map(lambda token: token.strip() or repr(token)).reindex(labels["token_id"]).to_numpy()
    distinct = labels.assign(text=shown).drop_duplicates(["feature", "text"])
    return distinct.groupby("feature")["text"].agg(", ".join)
