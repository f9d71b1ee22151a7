"""Figures of the step ``trace``: what is drawn are the numbers of the tables, whatever of them is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.trace.chain import trace
from leakscope.figures.trace.frontiers import frontier
from leakscope.figures.trace.sites import patching
from leakscope.figures.trace.slopes import relations
from trace_tables import mitigations, stand_in

LABELS = {"real": "A real model", "organism": "organism, λ = .4"}


def drawn(fig: Figure, gid: str) -> list[Line2D]:
    return [line for ax in fig.axes for line in ax.lines if line.get_gid() == gid]


def titles(fig: Figure) -> list[str]:
    return [ax.get_title(loc="left") for ax in fig.axes]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_chain_has_a_row_for_each_model_and_the_points_are_the_pairs() -> None:
    tables = stand_in()
    fig = trace(**tables.tables(), labels=LABELS)
    assert len(fig.axes) == 8
    assert [title for title in titles(fig) if title] == [
        "A real model\nwritten together", "known", "half of the leak is there", "patching restores",
        "organism, λ = .4",
    ]  # fmt: skip
    real = tables.links[tables.links["model"] == "real"]
    for link in ("count", "knows"):
        for name, associated in (("associated", "yes"), ("other", "no")):
            rows = real[real["associated"] == associated]
            line = drawn(fig, f"{link}:{name}")[0]
            np.testing.assert_allclose(line.get_xdata(), rows[f"{link}_centred"])
            np.testing.assert_allclose(line.get_ydata(), rows["leak_centred"])


def test_slopes_are_those_of_the_table_and_the_exact_one_stands_beside_an_organism() -> None:
    tables = stand_in()
    fig = trace(**tables.tables(), labels=LABELS)
    row = tables.relations[(tables.relations["x"] == "count") & (tables.relations["given"] == "")].iloc[0]
    line = drawn(fig, "count:slope")[0]
    (x0, x1), (y0, y1) = line.get_data()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(row["slope"])
    assert len(drawn(fig, "count:slope")) == 2
    (exact,) = drawn(fig, "count:slope_exact")
    assert exact.axes is fig.axes[4]


def test_layers_are_a_share_of_associated_pairs() -> None:
    tables = stand_in([], ["organism"])
    fig = trace(**tables.tables(), labels=LABELS)
    heights = [bar.get_height() for bar in fig.axes[2].patches]
    own = tables.links[tables.links["associated"] == "yes"]["layer_half"].dropna()
    assert sum(heights) == pytest.approx(1)
    assert heights[int(own.iloc[0])] == pytest.approx((own == own.iloc[0]).mean())


def test_a_link_that_no_model_has_takes_no_column_and_one_that_a_model_lacks_says_so() -> None:
    without = trace(**stand_in(["real"], [], counted=False).tables(), labels=LABELS)
    assert titles(without)[0] == "A real model\nknown"
    assert len(without.axes) == 3
    some = trace(**stand_in(counted=False).tables(), labels=LABELS)
    assert texts(some.axes[0]) == ["n/a"]
    assert drawn(some, "count:associated")[0].axes is some.axes[4]


def test_without_any_link_it_says_so() -> None:
    tables = stand_in(["real"], []).tables()
    empty = {name: table.iloc[:0] for name, table in tables.items()}
    assert "no data" in trace(**empty, labels={}).texts[0].get_text()
    assert "no data" in relations(empty["relations"], labels={}).texts[0].get_text()
    assert "no data" in patching(empty["patching"], labels={}).texts[0].get_text()


def test_patching_has_a_panel_a_model_and_a_curve_a_site() -> None:
    table = stand_in().patching
    fig = patching(table, labels=LABELS)
    assert titles(fig) == ["A real model", "organism, λ = .4"]
    for index, model in enumerate(LABELS):
        for site in ("concept", "between", "last", "all"):
            rows = table[(table["model"] == model) & (table["site"] == site)]
            np.testing.assert_allclose(drawn(fig, f"site:{site}")[index].get_ydata(), rows["restored"])


def test_relations_have_a_lane_a_model_and_exact_slopes_are_marked() -> None:
    table = stand_in().relations
    fig = relations(table, labels=LABELS)
    assert titles(fig) == ["leak by count", "leak by knowing", "knowing by count", "leak by affirming"]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == list(LABELS.values())
    first = table[(table["model"] == "real") & (table["x"] == "count") & (table["y"] == "leak")]
    for given in ("", "knows"):
        (value,) = first[first["given"] == given]["slope"]
        assert drawn(fig, f"slope:real:{given}")[0].get_xdata() == pytest.approx([value])
    (exact,) = drawn(fig, "exact:organism")
    assert exact.get_xdata() == pytest.approx([0.4])
    assert not drawn(fig, "exact:real")


def test_a_model_without_a_relation_has_an_empty_lane() -> None:
    fig = relations(stand_in(counted=False).relations, labels=LABELS)
    assert texts(fig.axes[0]) == ["n/a"]


def test_each_prompt_set_has_rows_of_its_own() -> None:
    tables = stand_in(["real"], []).tables()
    both = {name: pd.concat([table, table.assign(prompt_set="animals")]) for name, table in tables.items()}
    assert len(trace(**both, labels=LABELS).axes) == 8
    assert titles(patching(both["patching"], labels=LABELS)) == ["A real model · colors", "A real model · animals"]
    assert titles(relations(both["relations"], labels=LABELS))[4].startswith("animals\n")


def test_a_line_of_the_frontier_is_a_kinds_best_on_the_selection_split_at_values_of_the_other() -> None:
    table = mitigations(["real"])
    fig = frontier(table, labels=LABELS, kept=0.95)
    (line,) = drawn(fig, "line:attention")
    assert list(line.get_xdata()) == pytest.approx([1.0, 0.94, 0.88, 0.76])
    assert list(line.get_ydata()) == pytest.approx([1.0, 0.85, 0.7, 0.4])
    # Of two prompts the one that leaks less; prompts have no strength, and no line.
    (chosen,) = drawn(fig, "chosen:prompt")
    assert list(chosen.get_ydata()) == pytest.approx([0.85])
    assert drawn(fig, "line:prompt") == []
    # Another prompt is best on the selection split: that one is marked, wherever it stands on the other.
    first = (table["mitigation"] == "say") & (table["split"] == "selection")
    (other,) = drawn(
        frontier(table.assign(leak_absolute=table["leak_absolute"].mask(first, 0.1)), labels=LABELS, kept=0.95),
        "chosen:prompt",
    )
    assert list(other.get_ydata()) == pytest.approx([0.95])


def test_what_keeps_the_use_goes_before_what_leaks_least() -> None:
    table = mitigations(["real"])
    table["kind"] = table["kind"].replace({"tuning": "steering"})  # of two the one leaks least, and is deaf
    table.loc[table["mitigation"] == "steer", ["use_kept", "use"]] = [0.96, 0.96 * 0.8]
    (chosen,) = drawn(frontier(table, labels=LABELS, kept=0.95), "chosen:steering")
    assert list(chosen.get_ydata()) == pytest.approx([0.3])
    (other,) = drawn(frontier(table, labels=LABELS, kept=0.5), "chosen:steering")
    assert list(other.get_ydata()) == pytest.approx([0.2])


def test_the_frontier_marks_what_was_chosen_at_the_highest_cost() -> None:
    fig = frontier(mitigations(["real"]), labels=LABELS, kept=0.95)
    (chosen,) = drawn(fig, "chosen:tuning")
    assert (list(chosen.get_xdata()), list(chosen.get_ydata())) == ([pytest.approx(0.6)], [pytest.approx(0.2)])
    assert [text.get_text() for text in fig.legends[0].get_texts()][-1] == "chosen (+3 %)"


def test_the_frontier_says_whose_use_is_not_measured_and_draws_its_leak() -> None:
    fig = frontier(mitigations(["real", "organism"], deaf=["organism"]), labels=LABELS, kept=0.95)
    assert [[text for text in texts(ax) if "use" in text] for ax in fig.axes] == [[], ["use kept: not measured"]]
    assert len(drawn(fig, "line:attention")) == 1
    assert [list(line.get_ydata()) for line in drawn(fig, "chosen:attention")] == [[pytest.approx(0.4)]] * 2


def test_without_a_mitigation_the_frontier_says_so() -> None:
    table = mitigations(["real"])
    fig = frontier(table[table["kind"] == "none"], labels=LABELS, kept=0.95)
    assert "no mitigation was tried" in fig.texts[0].get_text()
