"""How often do 95 % intervals hold the truth, and how often do tests reject? In simulated studies.

    python benchmarks/coverage.py [--studies 2000] [--seed 0] [--steps leak ground validate features tests]
                                  [--write docs/coverage.md]

Prints a row a statistic and design (``coverage_<step>.py`` say what is simulated). Where there are ten clusters of each
kind, coverage and 2.6 Monte-Carlo errors must reach 93 %, and away from bounds coverage must not exceed 98.5 %; a test
must reject a true hypothesis as often as it says. The exit status is 1 where that fails. With fewer clusters coverage
is reported and not judged. A study without interval counts as one whose interval does not hold the truth.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from coverage_row import Row, TestRow

STEPS = ("leak", "ground", "validate", "features", "tests")
LOWEST, HIGHEST = 93.0, 98.5
ERRORS = 2.6  # Monte-Carlo errors: what a right interval falls below once in 200 rows
FEW = 10
LEVEL = 0.05
INTERVALS = ["step", "statistic", "design", "truth", "coverage", "no interval", "median width", ""]
TESTS = ["test", "what is true", "templates", "rejected", "should be", ""]
PAGE = """# Coverage

How often 95 % intervals hold the truth, and how often tests reject at .05, in percent of {studies} simulated studies
a row. `benchmarks/coverage.py` writes this page; its parts `benchmarks/coverage_*.py` say what is simulated. *low*:
coverage and 2.6 Monte-Carlo errors do not reach 93 %; *high*: above 98.5 %, away from bounds; *few*: fewer than ten
clusters of a kind, reported and not judged; *other*: an obvious alternative, which leakscope does not use. *no
interval*: percent of studies that get none, counted as not holding the truth.

## Intervals

{intervals}
## Tests

Where something is to be found, the share that is rejected is the power; what should be is empty.

{tests}"""


def error(share: float, n: int) -> float:
    """Return the Monte-Carlo error of a share of n studies, both in percent."""
    bounded = np.clip(share / 100, 0.5 / n, 1 - 0.5 / n)
    return 100 * float(np.sqrt(bounded * (1 - bounded) / n))


def interval_cells(row: Row) -> list[str]:
    """Return a row of the table of intervals; the last cell says what is wrong with it."""
    known = np.isfinite(row.low) & np.isfinite(row.high)
    coverage = 100 * float((known & (row.low <= row.truth) & (row.truth <= row.high)).mean())
    missing, width = 100 * float(1 - known.mean()), np.median((row.high - row.low)[known]) if known.any() else np.nan
    if row.compared:
        said = "other"
    elif row.n_clusters < FEW:
        said = "few"
    elif coverage + ERRORS * error(coverage, len(known)) < LOWEST:
        said = "low"
    else:
        said = "high" if coverage > HIGHEST and not row.at_bound else ""
    named = [row.step, row.statistic, row.design, f"{row.truth:.4g}"]
    return [*named, f"{coverage:.1f}", f"{missing:.1f}" if missing else "", f"{width:.3g}", said]


def test_cells(row: TestRow) -> list[str]:
    """Return a row of the table of tests; the last cell says what is wrong with it."""
    share, expected = 100 * float((row.p_values <= LEVEL).mean()), 100 * row.attained
    beyond = abs(share - expected) > ERRORS * error(expected, len(row.p_values)) if np.isfinite(expected) else False
    should = f"{expected:.1f}" if np.isfinite(expected) else ""
    return [row.test, row.truth, str(row.n_clusters), f"{share:.1f}", should, "wrong" if beyond else ""]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *rows])


def main() -> int:
    """Print the rows; return 1 if one that is judged is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--write", type=Path, help="the page that is written")
    arguments = parser.parse_args()
    found: dict[str, list[list[str]]] = {"intervals": [], "tests": []}
    for place, step in enumerate(STEPS):
        if step not in arguments.steps:
            continue
        rng = np.random.default_rng([arguments.seed, place])
        for row in import_module(f"coverage_{step}").rows(rng, arguments.studies):
            kind, cells = ("tests", test_cells(row)) if step == "tests" else ("intervals", interval_cells(row))
            found[kind].append(cells)
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
            sys.stdout.flush()
    if arguments.write:
        tables = {"intervals": table(INTERVALS, found["intervals"]), "tests": table(TESTS, found["tests"])}
        arguments.write.write_text(PAGE.format(studies=f"{arguments.studies:,}", **tables), encoding="utf-8")
    return int(any(cells[-1] not in ("", "few", "other") for rows in found.values() for cells in rows))


if __name__ == "__main__":
    sys.exit(main())
