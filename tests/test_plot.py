"""One job draws all figures of a step, each from its own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from figure_tables import CONTEXT, OWN, STEPS
from figures import plot
from leakscope.errors import InputError
from leakscope.figures.fitting import Drawing
from leakscope.figures.look import Looks
from leakscope.figures.registry import FIGURES

# step → figure → its tables, where these are not one of the figure's own name
TABLES: dict[str, dict[str, list[str]]] = {
    "leak": {
        "repetition": ["match_rates"],
        "by_concept": ["match_rates_by_concept"],
        "by_template": ["match_rates_by_template"],
        "by_size": ["match_rates", "organisms"],
        "dose_response": ["match_rates", "organisms", "truth"],
        "truth": ["match_rates", "truth"],
        "judges": ["rating/ratings", "rating/judges"],
    },
    "ground": {
        "first_places": ["first_and_last"],
        "template_spread": ["rank_spread"],
        "tau_by_size": ["kendall_tau_by_quartile"],
        "tau_by_language": ["kendall_tau"],
        "aligned_pairs": ["aligned_pairs", "first_and_last"],
    },
    "validate": {
        "log_odds_density": ["paired"],
        "log_odds_by_layer": ["layers", "parting"],
        "lens_heatmap/a/kinds": ["lens/a/kinds"],
    },
    "features": {name: ["dictionaries/a.s0", "dictionaries/b"] for name in ("firing_density", "polysemanticity")},
    "trace": {
        "trace": ["links", "relations", "patching"],
        "patching": ["patching"],
        "frontier": ["mitigations"],
    },
}


def figures_of(step: str) -> dict[str, list[str]]:
    """Return figure → tables of a study that has all of them, in the order in which the step has its figures."""
    named = {name.split("/")[0]: name for name in TABLES[step]}
    return {named.get(kind, kind): TABLES[step].get(named.get(kind, kind), [kind]) for kind in FIGURES[step]}


def stand_in(step: str, figures: Mapping[str, Sequence[str]], folder: Path) -> SimpleNamespace:
    """Return what Snakemake would hand to the job; the tables are written to files, every other one as Parquet."""
    own = {f"dictionaries/{name}": table for name, table in OWN["features: firing_density"].items()}
    rows = STEPS[step] | own | {"lens/a/kinds": OWN["validate: lens_heatmap"]["kinds"]}
    names = list(dict.fromkeys(table for tables in figures.values() for table in tables))
    files = [written(rows[name], folder / f"{i}{'.parquet' if i % 2 else '.csv'}") for i, name in enumerate(names)]
    context = {"labels": {"a": "model a"}, "sizes": {"a": 10**6, "b": 10**9}, "matrix": ["color"]}
    known = {**CONTEXT._replace(**context)._asdict(), "look": Looks(size=8)._asdict()}
    return SimpleNamespace(
        threads=1,
        input=SimpleNamespace(tables=files),
        output=SimpleNamespace(**{end: [str(folder / f"{name}.{end}") for name in figures] for end in ("pdf", "png")}),
        params=SimpleNamespace(step=step, figures=figures, tables=names, context=known),
    )


def written(table: pd.DataFrame, path: Path) -> str:
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("step", FIGURES)
def test_every_figure_of_a_step_is_drawn_from_its_tables(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: dict[str, Figure] = {}
    monkeypatch.setattr(plot, "save_figure", lambda pages, pdf, png, short: saved.update({f"{pdf} {png}": pages[0]}))
    figures = figures_of(step)
    plot.main(stand_in(step, figures, tmp_path))
    assert list(saved) == [f"{tmp_path}/{name}.pdf {tmp_path}/{name}.png" for name in figures]
    assert [text.get_text() for fig in saved.values() for text in fig.texts if "no data" in text.get_text()] == []


def test_figures_are_written_under_their_names_in_order(tmp_path: Path) -> None:
    plot.main(stand_in("validate", {"lens_heatmap/a/kinds": ["lens/a/kinds"], "truth": ["truth"]}, tmp_path))
    for name in ("lens_heatmap/a/kinds", "truth"):
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("error", [InputError("no such column"), ValueError("a fault of ours")])
def test_a_figure_that_cannot_be_drawn_says_so_and_keeps_no_other_from_it(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Snakemake would delete the others with it."""
    draw, saved = plot.draw, dict[str, Figure]()

    def fail(step: str, name: str, *rest: Any) -> Drawing:
        if name == "repetition":
            raise error
        return draw(step, name, *rest)

    monkeypatch.setattr(plot, "draw", fail)
    monkeypatch.setattr(plot, "save_figure", lambda pages, pdf, png, short: saved.update({pdf.stem: pages[0]}))
    plot.main(stand_in("leak", {"repetition": ["match_rates"], "match_rates": ["match_rates"]}, tmp_path))
    assert list(saved) == ["repetition", "match_rates"]
    assert "repetition could not be drawn" in " ".join(text.get_text() for text in saved["repetition"].texts)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"repetition could not be drawn: {error}"
    ]


def test_figures_that_are_drawn_side_by_side_are_the_same(tmp_path: Path) -> None:
    figures = {name: tables for name, tables in figures_of("leak").items() if name in ("match_rates", "repetition")}
    written = []
    for n_processes in (1, 2):
        folder = tmp_path / str(n_processes)
        folder.mkdir()
        snakemake = stand_in("leak", figures, folder)
        snakemake.threads = n_processes
        plot.main(snakemake)
        written.append({path.name: path.read_bytes() for path in folder.glob("*.p[dn][fg]")})
    assert written[0].keys() == {f"{name}.{suffix}" for name in figures for suffix in ("pdf", "png")}
    assert written[0] == written[1]
