"""Warns if samples with the same number depend on each other, e.g. if imported texts share a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd

FEWEST_POINTS = 5.0  # below, no reader would conclude anything else
ERRORS = 3.0


def shared_seed_warnings(pairs: pd.DataFrame) -> list[str]:
    """Return a warning for each model, prompt set and scorer whose Leak-Rates by position and over all pairs differ.

    If a test prompt's samples are independent of the control's, all orders are equally likely. Then the difference d of
    the two outcomes, summed over a prompt's pairs, has mean 0, and the sums S of two prompts are uncorrelated, even if
    they share a control. With N pairs in all:

        difference = 100 Σ S / N,   standard error = 100 √(Σ S²) / N

    The warning needs a difference of at least 5 points and more than 3 standard errors, hence at least ten prompts.

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them; the control without the clause counts.
    """
    rows = pairs[pairs["control_kind"] == "without"]
    rows = rows.assign(difference=rows["outcome"] - rows["outcome_all_pairs"])
    found = []
    for (model, prompt_set, scorer), mine in rows.groupby(["model", "prompt_set", "scorer"], sort=False):
        sums = mine.groupby("prompt_id", sort=False)["difference"].sum().to_numpy()
        points = 100 * abs(sums.sum()) / len(mine)
        if points >= FEWEST_POINTS and abs(sums.sum()) > ERRORS * np.sqrt((sums**2).sum()):
            by_position, over_all = 100 * mine[["outcome", "outcome_all_pairs"]].mean()
            found.append(
                f"model {model}, {prompt_set}, {scorer}: the Leak-Rate is {by_position:.1f} by position and "
                f"{over_all:.1f} over all pairs (estimators.csv): samples of one number depend on each other, as where "
                "they share a seed; the second is nearer to the truth."
            )
    return found
