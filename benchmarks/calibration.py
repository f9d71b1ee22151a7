"""Hold a study of organisms against its exact truth: ``python benchmarks/calibration.py results/organisms``.

Prints and judges three things, and exits with 1 if one fails:

* each organism's own exact rate lies in the measured interval in at least 90 % of cells (model × prompt set × scorer ×
  category);
* the grammar's exact rates and the measured ones, pooled over prompts and scorers, have a Spearman correlation of at
  least 0.9, by model and by model and category;
* at strength 0, cells whose interval leaves out 50 are no more than the level allows, or leak by their own exact rate.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from scipy import stats

from leakscope.files.tables import read_csv

KEYS = ["model", "prompt_set", "scorer", "category"]
RATES = ["leak_rate", "true_rate_grammar", "true_rate_organism"]
LEAKS_BY_ITSELF = 0.5  # percentage points from 50


def load(results: Path) -> pd.DataFrame:
    """Return one row a cell: measured rate with interval, both exact rates, strength."""
    rates, truth = read_csv(results / "leak_rates.csv"), read_csv(results / "truth.csv")
    organisms = read_csv(results / "organisms.csv")[["model", "strength"]]
    return rates.merge(truth, on=KEYS).merge(organisms, on="model")


def spearman(cells: pd.DataFrame, by: list[str]) -> float:
    """Return the rank correlation of measured and grammar's rates, means over whatever ``by`` does not name."""
    means = cells.groupby(by)[RATES].mean()
    return float(stats.spearmanr(means["leak_rate"], means["true_rate_grammar"]).statistic)


def unexplained_at_zero(cells: pd.DataFrame) -> tuple[int, int, int]:
    """Return how many cells of strength 0 leave out 50, how many of those do not leak by their exact rate, and all."""
    zero = cells[cells["strength"] == 0]
    differ = zero[(zero["ci_low"] > 50) | (zero["ci_high"] < 50)]
    own = (differ["true_rate_organism"] - 50).abs()
    return len(differ), int((own < LEAKS_BY_ITSELF).sum()), len(zero)


def main(results: Path) -> int:
    """Print the three judgements; return 1 if one of them fails."""
    cells = load(results)
    inside = cells["true_rate_organism"].between(cells["ci_low"], cells["ci_high"]).mean()
    parts = cells[cells["category"] != "all"]
    by_model, by_category = spearman(parts, ["model"]), spearman(parts, ["model", "prompt_set", "category"])
    differ, unexplained, n_zero = unexplained_at_zero(cells)
    allowed = int(stats.binom.ppf(0.95, n_zero, 0.05)) if n_zero else 0
    unexplained_text = f"{differ} of {n_zero} cells differ from 50, {unexplained} without an exact rate that says so"
    judged = [
        (f"organism's exact rate in the interval: {100 * inside:.1f} % of {len(cells)} cells (90)", inside >= 0.9),
        (f"Spearman, grammar and measured, by model: {by_model:.3f} (0.9)", by_model >= 0.9),
        (f"Spearman, grammar and measured, by model and category: {by_category:.3f} (0.9)", by_category >= 0.9),
        (f"strength 0: {unexplained_text} (at most {allowed})", unexplained <= allowed),
    ]
    for line, fulfilled in judged:
        sys.stdout.write(f"{'ok  ' if fulfilled else 'FAIL'}  {line}\n")
    return 0 if all(fulfilled for _, fulfilled in judged) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/organisms")))
