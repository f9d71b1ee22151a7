"""Figures show the numbers of their tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text

from leakscope.figures.leak import forests, heatmaps, sizes, truths
from leakscope.figures.leak import judges as judges_figure
from leakscope.figures.leak import scorers as scorers_figure
from leakscope.figures.maps import heat_map, number_texts
from leakscope.figures.panels import panel_grid, panels_of
from leakscope.figures.style import no_data, save_figure, wrapped

MODELS = ["organism-s-l0", "organism-s-l40"]
SETS = {"colors": ["all", "object", "name"], "words": ["all", "animals", "food"]}
SCORERS = ["sbert", "lexical"]
ORGANISMS = pd.DataFrame(
    {"model": MODELS, "size": ["s", "s"], "n_parameters": [160_000, 160_000], "strength": [0.0, 0.4]}
)


def match_rates(models: list[str] = MODELS, scorers: list[str] = SCORERS) -> pd.DataFrame:
    """Match rates 41, 42, 43, ... with intervals of ±5 and a repetition that adds 2."""
    keys = [
        (model, name, scorer, category)
        for name, categories in SETS.items()
        for model, scorer, category in product(models, scorers, categories)
    ]
    rate = 41.0 + np.arange(len(keys)) % 50
    return pd.DataFrame(keys, columns=["model", "prompt_set", "scorer", "category"]).assign(
        match_rate=rate,
        ci_low=rate - 5,
        ci_high=rate + 5,
        match_rate_without_repetition=rate - 2,
        match_rate_without_echo=rate - 1,
        few=np.nan,
    )


def truth_table() -> pd.DataFrame:
    """Exact rates: the grammar's 10 above what was measured (outside its interval), the organism's 1 above."""
    rates = match_rates()
    exact = rates[["model", "prompt_set", "scorer", "category"]]
    return exact.assign(
        true_match_rate_grammar=rates["match_rate"] + 10, true_match_rate_organism=rates["match_rate"] + 1
    )


def logit_leak() -> pd.DataFrame:
    shift = np.linspace(-0.1, 0.5, 6)
    return pd.DataFrame(
        {
            "model": np.repeat(MODELS, 3),
            "prompt_set": "colors",
            "category": SETS["colors"] * 2,
            "n_clusters": 10,
            "probability_shift": shift,
            "ci_low": shift - 0.05,
            "ci_high": shift + 0.05,
            "log_odds_shift": 4 * shift,
            "log_odds_ci_low": 4 * shift - 0.2,
            "log_odds_ci_high": 4 * shift + 0.2,
        }
    )


def by_concept() -> pd.DataFrame:
    """Two shades of yellow (60 % of 10 units, 90 % of 20) and a concept without a group, in one category and pooled."""
    rows = [("yellow", "golden yellow", 10, 60.0), ("yellow", "lemon yellow", 20, 90.0), (None, "Ruby", 5, 40.0)]
    table = pd.DataFrame(
        [
            ("qwen", "colors", "sbert", category, *row)
            for category, row in product(["all", "object"], rows)
        ],
        columns=["model", "prompt_set", "scorer", "category", "concept_group", "concept", "n_units", "match_rate"],
    )  # fmt: skip
    return table


def by_template() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": ["a", "a", "b"],
            "prompt_set": "colors",
            "scorer": "sbert",
            "category": "object",
            "template_id": ["cake", "car", "cake"],
            "n_units": 10,
            "match_rate": [70.0, 50.0, np.nan],
            "distinct_texts": [9, 1, 4],
        }
    )


def concept_matrix() -> pd.DataFrame:
    return pd.DataFrame(
        [("red", "red", 3, 75.0), ("red", "none", 1, 25.0), ("blue", "several", 4, 100.0)],
        columns=["concept_group", "generated_group", "n", "share"],
    ).assign(model="qwen", prompt_set="colors", category="color")


def comparisons() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "measure": "match_rate",
            "prompt_set": "colors",
            "scorer": "sbert",
            "category": "all",
            "model_a": ["a", "a", "b"],
            "model_b": ["b", "c", "c"],
            "difference": [12.0, -3.0, -15.0],
            "p_corrected": [0.01, 0.6, np.nan],
        }
    )


def agreement() -> pd.DataFrame:
    """Three scorers on two prompt sets, pooled and in one category; one model in the second, so no ranking."""
    few = [("sbert", "static"), ("sbert", "bertscore"), ("static", "bertscore")]
    keys = [(name, category, *two) for name in ("colors", "words") for category in ("k", "all") for two in few]
    return pd.DataFrame(keys, columns=["prompt_set", "category", "scorer_a", "scorer_b"]).assign(
        correlation=[0.1, 0.2, 0.3, 0.45, 0.9, 0.4] * 2,
        opposite_rate=[5.0, 6.0, 7.0, 24.0, 4.0, 25.0] * 2,
        rank_tau=[1.0] * 3 + [0.6, 1.0, -0.2] + [np.nan] * 6,
    )


def ratings() -> pd.DataFrame:
    """Three people, of whom the first is alone in the table, a judge and a scorer: rates 50, 52, 54, ..."""
    raters = [("people", "majority"), ("person", "rater-1"), ("judge", "smollm2"), ("scorer", "sbert")]
    keys = [(model, name, *rater) for name in SETS for model in [*MODELS, "all"] for rater in raters]
    rate = 50.0 + 2 * np.arange(len(keys)) % 40
    table = pd.DataFrame(keys, columns=["model", "prompt_set", "kind", "rater"])
    return table.assign(match_rate=rate, ci_low=rate - 8, ci_high=rate + 8)


def verdicts() -> pd.DataFrame:
    """The judge is fit for the first organism alone; the second's rate is known to be 70 on both sets."""
    table = pd.DataFrame(
        [(model, name) for name in SETS for model in [*MODELS, "all"]], columns=["model", "prompt_set"]
    )
    is_first, is_second = (table["model"] == model for model in MODELS)
    return table.assign(
        judge="smollm2", fit=np.where(is_first, "fit", "unfit"), exact_rate=np.where(is_second, 70.0, np.nan)
    )


DRAWN: dict[str, tuple[Callable[..., Figure], tuple[pd.DataFrame, ...]]] = {
    "match_rates": (forests.match_rates, (match_rates(),)),
    "repetition": (forests.repetition, (match_rates(),)),
    "logit_leak": (forests.logit_leak, (logit_leak(),)),
    "by_concept": (heatmaps.by_concept, (by_concept(),)),
    "by_template": (heatmaps.by_template, (by_template(),)),
    "concept_matrix": (heatmaps.concept_matrix, (concept_matrix(),)),
    "comparisons": (heatmaps.comparisons, (comparisons(),)),
    "agreement": (scorers_figure.agreement, (agreement(),)),
    "judges": (judges_figure.judges, (ratings(), verdicts())),
    "by_size": (sizes.by_size, (match_rates(), ORGANISMS)),
    "dose_response": (truths.dose_response, (match_rates(), ORGANISMS, truth_table())),
    "truth": (truths.truth, (match_rates(), truth_table())),
}


@pytest.fixture(params=DRAWN, ids=str)
def drawn(request: pytest.FixtureRequest) -> tuple[Callable[..., Figure], tuple[pd.DataFrame, ...]]:
    return DRAWN[request.param]


def line(ax: Axes, gid: str) -> Any:
    """The one line of a panel with this gid."""
    (found,) = [artist for artist in ax.lines if artist.get_gid() == gid]
    return found


def texts(fig: Figure) -> list[str]:
    """All text of a figure that is not empty."""
    return [artist.get_text() for artist in fig.findobj(matplotlib.text.Text) if artist.get_text()]


def cell_texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def panels(fig: Figure) -> list[Axes]:
    """The axes that are not a colour bar."""
    return [ax for ax in fig.axes if ax.get_label() != "<colorbar>"]


def test_every_figure_is_saved_with_the_same_bytes_twice(drawn, tmp_path: Path) -> None:
    draw, tables = drawn
    written = []
    for name in ("first", "second"):
        paths = [tmp_path / name / f"figure.{suffix}" for suffix in ("pdf", "png")]
        save_figure(draw(*tables), *paths)
        assert sorted(path.name for path in paths[0].parent.iterdir()) == ["figure.pdf", "figure.png"]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert written[0][0].startswith(b"%PDF")
    assert b"CreationDate" not in written[0][0]
    assert written[0][1].startswith(b"\x89PNG")


def test_every_figure_of_empty_tables_says_that_there_is_no_data(drawn) -> None:
    draw, tables = drawn
    fig = draw(*(table.iloc[:0] for table in tables))
    (text,) = texts(fig)
    assert text.startswith("no data: ")


def test_every_figure_leaves_global_settings_alone(drawn) -> None:
    draw, tables = drawn
    before = dict(matplotlib.rcParams)
    draw(*tables)
    assert dict(matplotlib.rcParams) == before


def test_every_figure_has_text_of_seven_points_at_least(drawn) -> None:
    draw, tables = drawn
    fig = draw(*tables)
    assert min(text.get_fontsize() for text in fig.findobj(matplotlib.text.Text) if text.get_text()) >= 7


def test_every_figure_survives_a_missing_value_in_each_numeric_column(drawn, tmp_path: Path) -> None:
    draw, tables = drawn
    holes = []
    for table in tables:
        numbers = table.select_dtypes("number").columns
        holes.append(table.assign(**{name: table[name].astype(float).where(table.index > 0) for name in numbers}))
    save_figure(draw(*holes), tmp_path / "x.pdf", tmp_path / "x.png")


def test_every_figure_survives_a_single_model_with_the_pooled_category_alone(drawn, tmp_path: Path) -> None:
    draw, tables = drawn
    some = [table[table["model"] == table["model"].iloc[0]] if "model" in table else table for table in tables]
    one = [
        table.drop_duplicates("prompt_set").assign(category="all") if "category" in table else table for table in some
    ]
    save_figure(draw(*one), tmp_path / "x.pdf", tmp_path / "x.png")


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(OSError, match="figure.png"):
        save_figure(no_data("none"), tmp_path / "figure.pdf", tmp_path / "figure.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.pdf", "figure.png"]


def test_text_in_the_pdf_stays_text(tmp_path: Path) -> None:
    save_figure(no_data("none"), tmp_path / "x.pdf", tmp_path / "x.png")
    assert b"/FontFile2" in (tmp_path / "x.pdf").read_bytes()  # a TrueType font; outlines would be Type 3


def test_leak_rates_are_drawn_where_the_table_has_them() -> None:
    table = match_rates()
    fig = forests.match_rates(table)
    assert len(fig.axes) == len(SETS) * len(SCORERS)
    first = table[(table["prompt_set"] == "colors") & (table["scorer"] == "sbert")]
    for model, rows in first.groupby("model"):
        points = line(fig.axes[0], f"model:{model}")
        assert list(points.get_xdata()) == list(rows["match_rate"])
        assert list(np.round(points.get_ydata())) == [0, 1, 2]


def test_intervals_reach_from_their_lower_to_their_upper_end() -> None:
    (bars,) = [
        artist for artist in forests.match_rates(match_rates()).axes[0].collections
        if artist.get_gid() == f"model:{MODELS[0]}:interval"
    ]  # fmt: skip
    assert [list(segment[:, 0]) for segment in bars.get_segments()] == [[36, 46], [37, 47], [38, 48]]


def test_intervals_of_few_templates_are_dotted_and_the_legend_says_so() -> None:
    table = match_rates()
    said = "interval of fewer than ten templates"
    assert said not in texts(forests.match_rates(table))
    few = table["category"].map({"all": "concepts"}).fillna("templates and concepts")
    fig = forests.match_rates(table.assign(few=few))
    (bars,) = [a for a in fig.axes[0].collections if a.get_gid() == f"model:{MODELS[0]}:interval"]
    assert [dashes is not None for _, dashes in bars.get_linestyle()] == [
        category != "all" for category in SETS["colors"]
    ]
    assert said in texts(fig)


def test_chance_is_marked_and_named() -> None:
    fig = forests.match_rates(match_rates())
    assert all(set(line(ax, "reference").get_xdata()) == {50} for ax in fig.axes)
    assert texts(fig).count("chance: no leakage") == len(SCORERS)  # over the panels of the first row


def test_lanes_are_categories_with_the_pooled_one_first() -> None:
    table = match_rates().iloc[::-1]
    ax = forests.match_rates(table).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()][0] == "all"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # first lane on top


def test_models_look_different_in_color_and_marker() -> None:
    models = [f"m{i}" for i in range(8)]
    ax = forests.match_rates(match_rates(models)).axes[0]
    looks = [line(ax, f"model:{model}") for model in models]
    assert len({look.get_color() for look in looks}) == len({look.get_marker() for look in looks}) == 8


def test_more_than_eight_models_are_named_in_their_lanes() -> None:
    models = [f"m{i}" for i in range(9)]
    fig = forests.match_rates(match_rates(models))
    assert len(fig.axes) == 2 * 3 * 2
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == models
    assert not fig.legends


def test_labels_name_the_models_and_order_them() -> None:
    fig = forests.match_rates(match_rates(), labels={MODELS[1]: "strong", MODELS[0]: "none planted"})
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["strong", "none planted"]


def test_a_lane_without_any_value_says_so() -> None:
    table = match_rates()
    table.loc[table["category"] == "name", ["match_rate", "ci_low", "ci_high"]] = np.nan
    fig = forests.match_rates(table)
    assert texts(fig).count("n/a") == len(SCORERS)


def test_a_table_of_missing_values_says_so() -> None:
    (text,) = texts(forests.match_rates(match_rates().assign(match_rate=np.nan)))
    assert "missing" in text


def test_repetition_joins_the_three_rates() -> None:
    ax = forests.repetition(match_rates()).axes[0]
    with_repetition, without = (line(ax, f"model:{MODELS[0]}{end}") for end in (":start", ""))
    assert list(with_repetition.get_xdata()) == [41, 42, 43]
    assert list(without.get_xdata()) == [39, 40, 41]
    assert with_repetition.get_markerfacecolor() == "white"
    assert list(line(ax, f"model:{MODELS[0]}:other").get_xdata()) == [40, 41, 42]


def test_logit_leak_shows_probability_beside_log_odds() -> None:
    fig = forests.logit_leak(logit_leak())
    probability, log_odds = (line(ax, f"model:{MODELS[0]}").get_xdata() for ax in fig.axes)
    assert probability == pytest.approx([-0.1, 0.02, 0.14])
    assert log_odds == pytest.approx([-0.4, 0.08, 0.56])
    assert [ax.get_xlabel() for ax in fig.axes] == ["shift in probability", "shift in log-odds (nats)"]


def test_by_concept_weighs_the_concepts_of_a_group_by_their_units() -> None:
    (ax,) = panels(heatmaps.by_concept(by_concept()))  # the pooled category would only repeat the other
    assert [label.get_text() for label in ax.get_yticklabels()] == ["yellow", "Ruby"]
    assert cell_texts(ax) == ["80", "40"]  # (10 · 60 + 20 · 90) / 30


def test_by_concept_can_show_each_concept() -> None:
    (ax,) = panels(heatmaps.by_concept(by_concept(), by="concept"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["golden yellow", "lemon yellow", "Ruby"]
    assert cell_texts(ax) == ["60", "90", "40"]


def test_by_template_frames_a_single_text_and_leaves_missing_cells_empty() -> None:
    (ax,) = panels(heatmaps.by_template(by_template()))
    assert cell_texts(ax) == ["70", "50"]
    (frame,) = [patch for patch in ax.patches if patch.get_gid() == "marked"]
    assert (int(frame.get_x()), int(frame.get_y())) == (0, 1)  # model a, template car


def test_by_template_without_templates_says_so() -> None:
    (text,) = texts(heatmaps.by_template(by_template().assign(template_id=None)))
    assert "template" in text


def test_concept_matrix_has_prompts_as_rows_and_answers_as_columns() -> None:
    (ax,) = panels(heatmaps.concept_matrix(concept_matrix()))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["red", "blue"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["red", "several", "none"]
    (mesh,) = [artist for artist in ax.collections if artist.get_array() is not None]
    assert mesh.get_array().reshape(2, 3).tolist() == [[75, 0, 25], [0, 100, 0]]


def test_comparisons_show_each_pair_once_and_frame_small_p_values() -> None:
    (ax,) = panels(heatmaps.comparisons(comparisons()))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    assert cell_texts(ax) == ["−12", "3", "15"]  # b − a; c − a, c − b
    frames = [(int(patch.get_y()), int(patch.get_x())) for patch in ax.patches if patch.get_gid() == "marked"]
    assert frames == [(0, 0)]
    assert [patch for patch in ax.patches if patch.get_hatch()] == []  # above the diagonal nothing is missing


def test_comparisons_of_other_measures_are_not_drawn() -> None:
    table = comparisons()
    other = table.assign(measure="leak_rate", difference=99.0)
    (ax,) = panels(heatmaps.comparisons(pd.concat([table, other], ignore_index=True)))
    assert cell_texts(ax) == ["−12", "3", "15"]


def test_by_size_draws_a_line_per_strength_of_organisms_from_the_pooled_category() -> None:
    known = ORGANISMS.assign(n_parameters=[160_000, 480_000], strength=[0.4, 0.4])
    fig = sizes.by_size(match_rates(), known)
    assert len(fig.axes) == 4
    curve = line(fig.axes[0], "line:λ = 40 %")
    assert list(curve.get_ydata()) == [41, 47]
    assert list(np.round(curve.get_xdata(), -4)) == [160_000, 480_000]


def test_by_size_draws_a_line_per_category_of_other_models() -> None:
    fig = sizes.by_size(match_rates(), ORGANISMS.drop(columns="strength").assign(n_parameters=[5e8, 1.5e9]))
    assert [artist.get_gid() for artist in fig.axes[0].lines] == ["reference", "line:all", "line:object", "line:name"]
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["500M", "1.5B"]


def test_by_size_spreads_many_categories_over_panels_that_repeat_the_pooled_one() -> None:
    table = pd.DataFrame({"category": ["all", *(f"c{i}" for i in range(11))], "match_rate": 60.0})
    table = table.assign(model="m", prompt_set="words", scorer="sbert", ci_low=55.0, ci_high=65.0)
    fig = sizes.by_size(table, pd.DataFrame({"model": ["m"], "n_parameters": [1e9]}))
    drawn = [[artist.get_gid() for artist in ax.lines[1:]] for ax in fig.axes]
    assert [len(lines) for lines in drawn] == [5, 5, 4]
    assert all(lines[0] == "line:all" for lines in drawn)


def test_by_size_leaves_out_models_of_unknown_size() -> None:
    known = ORGANISMS.assign(n_parameters=[160_000, np.nan])
    assert [artist.get_gid() for artist in sizes.by_size(match_rates(), known).axes[0].lines] == [
        "reference",
        "line:λ = 0 %",
    ]


def test_dose_response_shows_measured_and_exact_rates_at_their_strength() -> None:
    fig = truths.dose_response(match_rates(), ORGANISMS, truth_table())
    assert len(fig.axes) == 2 * 3 * 2
    ax = fig.axes[0]  # colors, all, sbert: measured 41 and 47
    assert list(line(ax, "grammar").get_xdata()) == [0, 40]
    assert list(line(ax, "grammar").get_ydata()) == [51, 57]
    assert list(line(ax, "size:s").get_xdata()) == pytest.approx([0, 40])
    assert list(line(ax, "size:s").get_ydata()) == [41, 47]
    assert list(line(ax, "exact:s").get_ydata()) == [42, 48]
    assert set(line(ax, "reference").get_ydata()) == {50}


def test_judges_stand_beside_people_and_scorers_before_what_is_known() -> None:
    fig = judges_figure.judges(ratings(), verdicts())
    table = ratings().assign(who=ratings()["kind"] + " " + ratings()["rater"])
    assert [label.get_text() for label in panels(fig)[0].get_yticklabels()] == MODELS
    for ax, name in zip(panels(fig), SETS, strict=True):
        for who in ("people majority", "judge smollm2", "scorer sbert"):
            rows = table[(table["prompt_set"] == name) & (table["model"] != "all") & (table["who"] == who)]
            rates = rows["match_rate"].tolist()
            drawn = [artist for artist in ax.lines if artist.get_gid() == who]
            assert [x for artist in drawn for x in artist.get_xdata()] == rates
            # The judge is fit for the first model, and not for the second.
            fills = [artist.get_fillstyle() for artist in drawn]
            assert fills == (["full", "left"] if who == "judge smollm2" else ["full"])
        (known,) = [artist for artist in ax.collections if artist.get_gid() == "known"]
        assert [segment[:, 0].tolist() for segment in known.get_segments()] == [[70, 70]]
    assert not any("rater-1" in text for text in texts(fig))
    without = judges_figure.judges(ratings()[ratings()["kind"] != "judge"])
    assert [who for who in ("judge smollm2", "known rate", "scorer sbert") if who in texts(without)] == ["scorer sbert"]


def test_truth_counts_the_intervals_that_contain_the_exact_rate() -> None:
    fig = truths.truth(match_rates(), truth_table())
    titles = [ax.get_title(loc="left").splitlines()[1] for ax in fig.axes]
    assert titles == ["0 of 12 intervals (0 %) contain it", "12 of 12 intervals (100 %) contain it"] * 2
    grammar, organism = fig.axes[:2]
    assert len(line(grammar, "sbert:inside").get_xdata()) == len(line(organism, "sbert:outside").get_xdata()) == 0
    assert list(line(organism, "sbert:inside").get_xdata())[:3] == [42, 43, 44]
    assert list(line(organism, "sbert:inside").get_ydata())[:3] == [41, 42, 43]
    assert list(line(grammar, "identity").get_xydata().ravel()) == [0, 0, 100, 100]


def test_panels_of_one_scorer_are_wrapped() -> None:
    grid = panel_grid(match_rates(scorers=["sbert"]))
    assert (grid.columns, grid.rows) == (3, 2)
    assert grid.title(0, 3.0) == "sbert\ncolors · all"
    assert grid.title(4, 3.0) == "words · animals"


def test_numbers_of_a_heat_map_have_the_ink_that_contrasts_more_with_their_cell() -> None:
    ax = Figure().subplots()
    cells = pd.DataFrame([[0.0, 50.0, 85.0, 100.0, np.nan]])
    mesh = heat_map(ax, cells, number_texts(cells), Normalize(0, 100), "PuOr_r")
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [
        ("0", "white"), ("50", "black"), ("85", "black"), ("100", "white"),
    ]  # fmt: skip
    assert mesh.get_array().mask.tolist() == [[False, False, False, False, True]]
    assert [patch.get_hatch() for patch in ax.patches] == ["////"]
    whole = Figure().subplots()
    heat_map(whole, cells.iloc[:, :4], number_texts(cells.iloc[:, :4]), Normalize(0, 100), "PuOr_r")
    assert [patch.get_hatch() for patch in whole.patches] == []


def test_panels_are_named_at_the_edges_of_the_figure() -> None:
    drawn = panels_of(3, 2, (5, 4), sharex=True, sharey=True)
    for index in range(3):
        drawn.name_axes(index, "x", "y")
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in drawn.axes] == [("", "y"), ("x", ""), ("x", "y")]
    assert [ax.xaxis.get_tick_params()["labelbottom"] for ax in drawn.axes] == [False, True, True]
    assert len(drawn.fig.axes) == 3


def test_long_titles_are_wrapped() -> None:
    assert max(map(len, wrapped("a very long category of many words", 1.0).splitlines())) <= 17


@pytest.mark.parametrize("label", ["Qwen2.5-7B-Instruct-GPTQ-Int4", "通义千问二点五七亿参数指令微调模型大"])
@pytest.mark.parametrize("name", ["comparisons", "concept_matrix"])
def test_no_text_of_a_heat_map_is_cut_off_or_lies_on_another(name: str, label: str) -> None:
    draw, (table,) = DRAWN[name]
    models = {str(value) for column in ("model", "model_a", "model_b") if column in table for value in table[column]}
    fig = draw(table, labels={model: f"{label} {model[:2]}" for model in models})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters without a font
        fig.draw_without_rendering()
    shown = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text().strip()]
    for text in shown:
        box = text.get_window_extent()
        assert box.x0 >= -2, text.get_text()
        assert box.x1 <= fig.bbox.x1 + 2, text.get_text()
    named = {ax.get_title(loc="left") for ax in panels(fig)} - {""}
    titles = [text.get_window_extent() for text in shown if text.get_text() in named]
    assert titles
    assert not any(one.overlaps(other) for one, other in combinations(titles, 2))


def test_agreement_has_a_lane_for_each_two_scorers_and_shows_pooled_values() -> None:
    correlation, opposite, tau = panels(scorers_figure.agreement(agreement()))
    assert [label.get_text() for label in correlation.get_yticklabels()] == [
        "sbert\nstatic", "sbert\nbertscore", "static\nbertscore",
    ]  # fmt: skip
    for ax, first in ((correlation, [0.45, 0.9, 0.4]), (opposite, [24, 4, 25]), (tau, [0.6, 1, -0.2])):
        dots = [artist for artist in ax.lines if artist.get_linestyle() == "None"]
        assert [float(value) for value in dots[0].get_xdata()] == first
        assert len(dots) == 2
        low, high = ax.get_xlim()
        assert all(low < value < high for value in first)
    assert np.isnan(np.asarray(dots[1].get_xdata(), dtype=float)).all()
