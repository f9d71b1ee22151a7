"""The pairs of a prompt set, and three links from a model's exact probabilities: leak, knows, affirms."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from leakscope.trace.cues import AFFIRMS, KNOWS, NO, YES, tested

Floats = NDArray[np.float64]

PAIR = ["prompt_set", "slot", "concept_group", "associate"]
KEYS = PAIR[1:]


def list_pairs(prompts: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    """Return ``PAIR``, ``associated`` and ``n_prompts``: every concept group of a slot's test prompts × candidate.

    Slots and groups are in the order of prompts, associates in the order of candidates.

    Args:
        prompts: the prompts table of one set.
        candidates: ``slot, candidate, concept_group``.
    """
    tests = tested(prompts)
    groups = tests.groupby(PAIR[:3], sort=False).size().rename("n_prompts").reset_index()
    # By slot, so that each slot is a matrix with one row per group.
    order = {slot: place for place, slot in enumerate(dict.fromkeys(groups["slot"]))}
    groups = groups.sort_values("slot", key=lambda slots: slots.map(order), kind="stable")
    own = candidates.drop_duplicates(["slot", "candidate"]).rename(
        columns={"candidate": "associate", "concept_group": "of_group"}
    )
    pairs = groups.merge(own[["slot", "associate", "of_group"]], on="slot", how="left").dropna(subset=["associate"])
    pairs["associated"] = np.where(pairs["concept_group"] == pairs["of_group"], "yes", "no")
    return pairs[[*PAIR, "associated", "n_prompts"]].reset_index(drop=True)


def leaks(prompts: pd.DataFrame, scores: pd.DataFrame) -> pd.Series:
    """Return ``KEYS`` → mean of log p(a | test) − log p(a | control), in nats, over the test prompts of group and slot.

    p is renormalised over the slot, as for the logit leak. This subtracts one constant per prompt, which double
    centring removes anyway, so centred values do not depend on it.

    Args:
        prompts: the prompts table of one set.
        scores: ``prompt_id, slot, candidate, logprob`` of one model.
    """
    tests, found = tested(prompts), []
    for slot, table in _by_slot(scores).items():
        own = tests[(tests["slot"] == slot) & tests["prompt_id"].isin(table.index)]
        own = own[own["control_id"].isin(table.index)]
        law = table - logsumexp(table.to_numpy(), axis=1)[:, None]
        shift = law.loc[own["prompt_id"]].to_numpy() - law.loc[own["control_id"]].to_numpy()
        means = pd.DataFrame(shift, columns=table.columns).groupby(own["concept_group"].to_numpy(), sort=False).mean()
        found.append(_stacked(slot, means))
    return _joined(found)


def knowledge(cues: pd.DataFrame, scores: pd.DataFrame) -> pd.Series:
    """Return ``KEYS`` → log-odds of a among its slot's candidates after a cue about c, in nats, mean over wordings.

        log p(a) − log Σ_{a′ ≠ a} p(a′)

    Args:
        cues: as ``cues.build_cues`` returns them.
        scores: as ``cue_scores.score_cues`` returns them, of one model.
    """
    of_group = cues[cues["kind"] == KNOWS].set_index("prompt_id")["concept_group"]
    asked = scores[scores["prompt_id"].isin(of_group.index)]
    found = []
    for slot, table in _by_slot(asked).items():
        odds = pd.DataFrame(_log_odds(table.to_numpy()), index=table.index, columns=table.columns)
        found.append(_stacked(slot, odds.groupby(of_group.loc[table.index].to_numpy(), sort=False).mean()))
    return _joined(found)


def affirmed(cues: pd.DataFrame, scores: pd.DataFrame) -> pd.Series:
    """Return ``KEYS`` → log p(Yes) − log p(No) after a question about the pair, in nats, mean over wordings.

    Args:
        cues: as for ``knowledge``.
        scores: as for the argument before.
    """
    asked = cues[cues["kind"] == AFFIRMS]
    wide = scores[scores["prompt_id"].isin(asked["prompt_id"])].pivot(
        index="prompt_id", columns="candidate", values="logprob"
    )
    if wide.empty:
        return _joined([])
    odds = asked.set_index("prompt_id").join((wide[YES] - wide[NO]).rename("odds"), how="inner")
    return odds.groupby(KEYS, sort=False)["odds"].mean()


def _by_slot(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return slot → log-probabilities, prompts × candidates."""
    return {
        str(slot): part.pivot(index="prompt_id", columns="candidate", values="logprob")
        for slot, part in scores.groupby("slot", sort=False)
    }


def _log_odds(logprob: Floats) -> Floats:
    """Return log p_j − log Σ_{k ≠ j} p_k, (prompts, candidates); in log space, so that neither rounds to 0."""
    odds = np.full(logprob.shape, np.nan)
    if logprob.shape[1] > 1:
        for j in range(logprob.shape[1]):
            odds[:, j] = logprob[:, j] - logsumexp(np.delete(logprob, j, axis=1), axis=1)
    return odds


def _stacked(slot: str, means: pd.DataFrame) -> pd.Series:
    index = pd.MultiIndex.from_product([[slot], means.index, means.columns], names=KEYS)
    return pd.Series(means.to_numpy().ravel(), index=index)


def _joined(parts: list[pd.Series]) -> pd.Series:
    none = pd.Series(index=pd.MultiIndex.from_tuples([], names=KEYS), dtype=float)
    return pd.concat(parts) if parts else none
