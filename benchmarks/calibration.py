"""Hold a study of organisms against its exact truth: ``python benchmarks/calibration.py results/organisms``.

Prints and judges these things, and exits with 1 if one fails:

* the organisms' own true rates lie in the measured intervals in at least 93 % of cells (model × prompt set × scorer ×
  category), for match rates and for Leak-Rates, and are known to a tenth of the interval;
* the mean error over organisms, measured − true, is not told apart from 0, and a bias of 2 points would be (where
  organisms have seeds of their own for their texts);
* the grammar's match rates and the measured ones, pooled over prompts and scorers, have a Spearman correlation of at
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
RATES = ["match_rate", "true_match_rate_grammar", "true_match_rate_organism"]
BIAS = 2  # percentage points, to be seen
SEEN = 1.7  # times half an interval's width: what is so large is told from 0 nine times out of ten
LEAKS_BY_ITSELF = 0.5  # percentage points from 50


def load(results: Path) -> pd.DataFrame:
    """Return one row a cell: measured rate with interval, both exact rates, strength."""
    rates, truth = read_csv(results / "match_rates.csv"), read_csv(results / "truth.csv")
    organisms = read_csv(results / "organisms.csv")[["model", "strength"]]
    return rates.merge(truth, on=KEYS).merge(organisms, on="model")


def pooled(results: Path) -> pd.DataFrame:
    """Return the row of each measure that pools all organisms, prompt sets and scorers."""
    table = read_csv(results / "calibration.csv")
    return table[table["prompt_set"].eq("all") & table["scorer"].eq("all") & table["category"].eq("all")]


def judge_errors(row: pd.Series) -> list[tuple[str, bool]]:
    """Return what is said of a measure's errors, and whether it holds."""
    measure, low, high, inside = (row[name] for name in ("measure", "ci_low", "ci_high", "inside"))
    judged = [
        (f"{measure}: true rate in {100 * inside:.1f} % of {row['n_intervals']} intervals (93)", inside >= 0.93),
        (
            f"{measure}: standard error of the true rate at most {100 * row['largest_error_share']:.1f} % of an "
            "interval (10)",
            row["largest_error_share"] < 0.1,
        ),
    ]
    if row["n_seeds"] < 2:  # their texts share random numbers, so their errors are not independent
        return judged
    counts = f"{row['n_organisms']} organisms, {row['n_seeds']} seeds of texts"
    return [
        *judged,
        (f"{measure}: mean error {row['mean_error']:+.2f} ({low:+.2f} to {high:+.2f}), {counts} (0)", low <= 0 <= high),
        (f"{measure}: a bias of {BIAS} points would be seen", SEEN * (high - low) < 2 * BIAS),
    ]


def spearman(cells: pd.DataFrame, by: list[str]) -> float:
    """Return the rank correlation of measured and grammar's rates, means over whatever ``by`` does not name."""
    means = cells.groupby(by)[RATES].mean()
    return float(stats.spearmanr(means["match_rate"], means["true_match_rate_grammar"]).statistic)


def unexplained_at_zero(cells: pd.DataFrame) -> tuple[int, int, int]:
    """Return how many cells of strength 0 leave out 50, how many of those do not leak by their exact rate, and all."""
    zero = cells[cells["strength"] == 0]
    differ = zero[(zero["ci_low"] > 50) | (zero["ci_high"] < 50)]
    own = (differ["true_match_rate_organism"] - 50).abs()
    return len(differ), int((own < LEAKS_BY_ITSELF).sum()), len(zero)


def main(results: Path) -> int:
    """Print the judgements; return 1 if one of them fails."""
    cells = load(results)
    parts = cells[cells["category"] != "all"]
    by_model, by_category = spearman(parts, ["model"]), spearman(parts, ["model", "prompt_set", "category"])
    differ, unexplained, n_zero = unexplained_at_zero(cells)
    allowed = int(stats.binom.ppf(0.95, n_zero, 0.05)) if n_zero else 0
    unexplained_text = f"{differ} of {n_zero} cells differ from 50, {unexplained} without an exact rate that says so"
    judged = [
        *(judgement for _, row in pooled(results).iterrows() for judgement in judge_errors(row)),
        (f"Spearman, grammar and measured, by model: {by_model:.3f} (0.9)", by_model >= 0.9),
        (f"Spearman, grammar and measured, by model and category: {by_category:.3f} (0.9)", by_category >= 0.9),
        (f"strength 0: {unexplained_text} (at most {allowed})", unexplained <= allowed),
    ]
    for line, fulfilled in judged:
        sys.stdout.write(f"{'ok  ' if fulfilled else 'FAIL'}  {line}\n")
    return 0 if all(fulfilled for _, fulfilled in judged) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/organisms")))
