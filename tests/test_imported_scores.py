"""Scores of generator and validator that were computed elsewhere."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.validate.scoring.imported_scores import IMPORTED_COLUMNS, import_scores, log1mexp, log_odds


def entry(noun1: str, noun2: str, taxonomic: str, generator: Any, validator: Any) -> dict[str, Any]:
    return {
        "noun1": noun1,
        "noun2": noun2,
        "taxonomic": taxonomic,
        "generator-log-prob": generator,
        "discriminator-log-prob": validator,
        "generator-prompt": "not read",
    }


ENTRIES = [
    entry("larks", "bird", "yes", float(np.log(0.25)), float(np.log(0.8))),
    entry("larks", "tool", "No", float(np.log(0.5)), -1e-12),
    entry("rakes", "tool", "yes", -80.0, float(np.log(0.1))),
]


def save(path: Path, entries: Any) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_log_odds_are_those_of_the_probabilities(tmp_path: Path) -> None:
    table = import_scores(save(tmp_path / "s.json", ENTRIES))
    assert list(table) == IMPORTED_COLUMNS
    assert table["item_id"].tolist() == ["larks/bird", "larks/tool", "rakes/tool"]
    assert table["positive"].tolist() == [True, False, True]
    assert table["cluster"].tolist() == ["larks", "larks", "rakes"]
    assert table["l_g"].tolist() == pytest.approx([np.log(1 / 3), 0.0, -80.0], abs=1e-12)
    assert table["l_v"].tolist() == pytest.approx([np.log(4), -np.log(1e-12), np.log(1 / 9)], rel=1e-9)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_tables_give_the_same(tmp_path: Path, suffix: str) -> None:
    frame, path = pd.DataFrame(ENTRIES), tmp_path / f"s{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ENTRIES), encoding="utf-8")
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    pd.testing.assert_frame_equal(import_scores(path), import_scores(save(tmp_path / "s.json", ENTRIES)))


def test_log1mexp_is_exact_at_both_ends() -> None:
    # log(1 − e^x) by series: e^x → 0 gives −e^x; x → 0 gives log(−x) + x/2.
    x = np.array([-50.0, -1e-10])
    expected = [-np.exp(-50.0), np.log(1e-10) - 0.5e-10]
    np.testing.assert_allclose(log1mexp(x), expected, rtol=1e-14)


def test_log_odds_of_exact_fractions() -> None:
    for p in (Fraction(1, 1000), Fraction(1, 2), Fraction(999, 1000)):
        expected = np.log(float(p / (1 - p)))
        assert log_odds(np.array([np.log(float(p))]))[0] == pytest.approx(expected, abs=1e-12)


def test_log_odds_are_odd_and_rise() -> None:
    p = np.linspace(0.01, 0.99, 99)
    odds = log_odds(np.log(p))
    assert (np.diff(odds) > 0).all()
    np.testing.assert_allclose(odds, -odds[::-1], atol=1e-12)


@pytest.mark.parametrize(
    ("entries", "parts"),
    [
        ([*ENTRIES, entry("a", "b", "no", -1.0, 0.0)], ["item 4", "'discriminator-log-prob'", "below 0"]),
        ([*ENTRIES, entry("a", "b", "no", 0.2, -1.0)], ["item 4", "'generator-log-prob'", "0.2"]),
        ([*ENTRIES, entry("a", "b", "no", float("-inf"), -1.0)], ["item 4", "finite"]),
        ([*ENTRIES, entry("a", "b", "no", float("nan"), -1.0)], ["item 4", "'nan'"]),
        ([*ENTRIES, entry("a", "b", "no", None, -1.0)], ["item 4", "'None'"]),
        ([*ENTRIES, entry("a", "b", "perhaps", -1.0, -1.0)], ["item 4", "'taxonomic'", "'perhaps'"]),
        ([*ENTRIES, entry(" ", "b", "no", -1.0, -1.0)], ["item 4", "'question'"]),
        ([*ENTRIES, {**entry("a", "b", "no", -1.0, -1.0), "noun2": None}], ["item 4", "'noun2'", "null", "text"]),
        ([*ENTRIES, entry("Larks", "bird", "no", -1.0, -1.0)], ["item 4", "again"]),
        ([*ENTRIES, {"noun1": "a", "noun2": "b", "taxonomic": "no"}], ["item 4", "'generator-log-prob'"]),
        ([*ENTRIES, "a"], ["item 4", "'noun1'"]),
        ([], ["JSON list", "at least one"]),
        ({"a": 1}, ["JSON dict"]),
        (ENTRIES[:1], ["no negative"]),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, entries: Any, parts: list[str]) -> None:
    path = save(tmp_path / "s.json", entries)
    with pytest.raises(InputError) as caught:
        import_scores(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_damaged_json_and_a_missing_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("[{", encoding="utf-8")
    with pytest.raises(InputError, match="invalid JSON"):
        import_scores(tmp_path / "s.json")
    pd.DataFrame(ENTRIES).drop(columns="generator-log-prob").to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(InputError, match="no column 'generator-log-prob'"):
        import_scores(tmp_path / "s.csv")
    with pytest.raises(InputError, match="got"):
        import_scores(tmp_path / "none.json")
