"""The page of coverages is of the intervals and tests that there are, and says what is wrong with a row."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def coverage() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield import_module("coverage")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def said(coverage: Any, held: float, n_clusters: int = 10, **marks: bool) -> list[str]:
    """Return the row of 2,000 intervals of which this share holds the truth, 5."""
    low = np.where(np.arange(2000) < 2000 * held, 4.0, 5.5)
    row = coverage.Row("leak", "rate", "design", n_clusters, 5.0, low, low + 2, **marks)
    return list(coverage.interval_cells(row))


def test_a_row_says_what_is_wrong_with_it(coverage: Any) -> None:
    assert said(coverage, 0.95) == ["leak", "rate", "design", "5", "95.0", "", "2", ""]
    assert said(coverage, 0.92)[-1] == ""  # 2.6 errors of .61
    assert said(coverage, 0.91)[-1] == "low"
    assert said(coverage, 0.5, n_clusters=9)[-1] == "few"
    assert said(coverage, 0.5, compared=True)[-1] == "other"
    assert said(coverage, 0.99)[-1] == "high"
    assert said(coverage, 0.99, at_bound=True)[-1] == ""


def test_a_study_without_interval_does_not_hold_the_truth(coverage: Any) -> None:
    low = np.where(np.arange(2000) < 1000, 4.0, np.nan)
    cells = coverage.interval_cells(coverage.Row("leak", "rate", "design", 10, 5.0, low, low + 2))
    assert cells[4:] == ["50.0", "50.0", "2", "low"]


def test_a_test_that_rejects_too_often_or_too_rarely_is_wrong(coverage: Any) -> None:
    p_values = np.linspace(0, 1, 2001)[1:]
    uniform = coverage.TestRow("p", "nothing", 10, p_values, 0.05)
    assert coverage.test_cells(uniform) == ["p", "nothing", "10", "5.0", "5.0", ""]
    for changed in (p_values**2, np.sqrt(p_values)):
        assert coverage.test_cells(uniform._replace(p_values=changed))[-1] == "wrong"
        assert coverage.test_cells(uniform._replace(p_values=changed, attained=np.nan))[-2:] == ["", ""]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["leak", "ground", "validate", "features", "tests"])
def test_the_page_has_the_rows_that_there_are(coverage: Any, step: str) -> None:
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    written = [line[2:-2].split(" | ") for line in page.splitlines() if line.startswith("| ")]
    kind = coverage.test_cells if step == "tests" else coverage.interval_cells
    rows = [kind(row) for row in import_module(f"coverage_{step}").rows(np.random.default_rng(3), 40)]
    own = [cells for cells in written if (len(cells) == 6 if step == "tests" else cells[0] == step)]
    head = own[:2] if step == "tests" else []
    named = slice(0, 3)
    assert [cells[named] for cells in own[len(head) :]] == [cells[named] for cells in rows]
    assert not any(cells[-1] == "wrong" for cells in own)
