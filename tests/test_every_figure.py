"""What holds of figures of all steps: labels are text, letters have a font, a screen holds what the report shows."""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from pathlib import Path

import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from figure_tables import EVERY, Drawn
from leakscope.figures import fonts
from leakscope.figures.fitting import CATEGORIES, MODELS, Part, Tables, fitted
from leakscope.figures.style import LEAST_DPI, MAX_HEIGHT, PAGE_HEIGHT, PNG_HEIGHT, no_data, save_figure, style
from leakscope.files.names import TEXTS
from leakscope.files.tables import read_csv, write_csv

# Columns that hold words of the workflow's own alone.
OWN_WORDS = {
    "comparison", "intervention", "kind", "kind_a", "kind_b", "measure", "quartile", "statistic", "unit",
    "associated", "few", "given", "site", "x", "y", "chosen", "reached", "use_measured", "fit",
}  # fmt: skip
# Costs stand as text, several in a cell.
NAMED = (*(column for column in TEXTS if column != "chosen_at"), "unit")
# Words of the workflow's own in other columns.
KEPT = (
    "all", "positive", "negative", "train", "test", "random-test", "evaluation", "selection", "none", "several",
)  # fmt: skip
HOSTILE = "a$b$c $\\frac{ x_1^2 %s"
# What readers of tables, YAML and JavaScript take for numbers, dates, truth values or nothing; several such a column.
NUMBERS = (
    "007",
    "3.10",
    "1e5",
    "0x10",
    "1.0",
    "-1",
    "12",
    "2024-01-01",
    "10",
    "9",
    "0.50",
    "1_000",
    "+7",
    "00",
    "1e400",
)
NOTHINGS = (
    "NA",
    "null",
    "None",
    "nan",
    "True",
    "false",
    "NaN",
    "inf",
    "N/A",
    "<NA>",
    "NaT",
    "-Inf",
    "no",
    "n/a",
    "NULL",
)
# A letter for each printable character, but for those at which lines are broken.
CYRILLIC = {code: 0x3E0 + code for code in range(0x21, 0x7F) if chr(code) != "-"}


@pytest.fixture(params=EVERY, ids=str)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    return EVERY[request.param]


@pytest.fixture
def no_other_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No font but the one that ships with matplotlib."""
    monkeypatch.setattr(fonts, "FALLBACKS", ())
    yield from _forgotten()


def _forgotten() -> Iterator[None]:
    fonts._families.cache_clear()
    yield
    fonts._families.cache_clear()


def renamed(drawn: Drawn, name: Callable[[str], str]) -> dict[str, pd.DataFrame]:
    """Return the figure's tables with other names for all that a person names, the tables included where these are."""

    def other(value: object) -> object:
        return value if pd.isna(value) or value in KEPT else name(str(value))

    tables = {}
    for key, table in drawn.tables.items():
        changed = {column: table[column].map(other) for column in NAMED if column in table}
        tables[name(key) if is_named(drawn) else key] = table.assign(**changed)
    return tables


def is_named(drawn: Drawn) -> bool:
    """Whether the names of the tables are those of dictionaries or tasks."""
    return any(part.columns == () for part in drawn.parts)


def labels_of(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    """Return what there is of models as their own labels."""
    models = (str(model) for table in tables.values() if "model" in table for model in table["model"].dropna())
    return {model: model for model in models}


def test_labels_are_never_mathematics(drawn: Drawn) -> None:
    tables = renamed(drawn, lambda name: HOSTILE % name)
    fig = drawn.draw(tables, labels_of(tables) or {"m": HOSTILE % "m"})
    fig.set_layout_engine("none")  # the room that labels take does not matter here, and takes long to find
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        fig.savefig(io.BytesIO(), format="png", dpi=10)  # raises on a formula that is none
    texts = [text for text in fig.findobj(Text) if text.get_text()]
    assert texts
    assert not any(text.get_parse_math() for text in texts)


def test_columns_of_text_are_known_as_such() -> None:
    """Others are read as numbers where their cells look like some."""
    texts = {name for drawn in EVERY.values() for table in drawn.tables.values() for name in table.select_dtypes("str")}
    assert texts - {*TEXTS} == OWN_WORDS


@pytest.mark.parametrize("names", [NUMBERS, NOTHINGS], ids=["numbers", "nothings"])
def test_names_stay_text(drawn: Drawn, names: Sequence[str], tmp_path: Path) -> None:
    """A figure from files says the same of them as one from memory of names that cannot look like anything else."""
    given: dict[str, str] = {}

    def name(old: str) -> str:
        return given.setdefault(old, names[len(given)] if len(given) < len(names) else f"{names[0]} {len(given)}")

    tables = renamed(drawn, name)
    cyrillic = renamed(drawn, lambda old: name(old).translate(CYRILLIC))
    assert given
    back = {there: here for here, there in CYRILLIC.items()}
    expected = sorted(text.translate(back) for text in texts_of(drawn, cyrillic))
    assert texts_of(drawn, {key: from_csv(table, tmp_path) for key, table in tables.items()}) == expected


def texts_of(drawn: Drawn, tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return all that a figure of some tables says, sorted."""
    fig = drawn.draw(tables, labels_of(tables))
    return sorted(text.get_text() for text in fig.findobj(Text) if text.get_text())


def from_csv(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    write_csv(table, folder / "table.csv")
    return read_csv(folder / "table.csv")


def grown(drawn: Drawn, n: int) -> dict[str, pd.DataFrame]:
    """Return the figure's tables with ``n`` models (or, without any, of what goes last), copies of the first one."""
    if not drawn.parts:
        return drawn.tables
    columns = next((part.columns for part in drawn.parts if part.name == "models"), drawn.parts[-1].columns)
    if not columns:
        return {f"t{number:02d}": next(iter(drawn.tables.values())) for number in range(n)}
    return {name: copies(table, columns, n) for name, table in drawn.tables.items()}


def copies(table: pd.DataFrame, columns: Sequence[str], n: int) -> pd.DataFrame:
    """Return the rows of the first value of a column ``n`` times, under other names; of two columns, all pairs."""
    here = [column for column in columns if column in table]
    if not here:
        return table
    if len(here) == 2:
        pairs = pd.DataFrame(combinations([f"m{number:02d}" for number in range(n)], 2), columns=here)
        return table.drop(columns=here).iloc[:1].merge(pairs, how="cross")
    values = table[here[0]].dropna()
    first = table[table[here[0]].isna() | (table[here[0]] == values.iloc[0])].drop(columns=here)
    return first.merge(pd.DataFrame({here[0]: [f"m{number:02d}" for number in range(n)]}), how="cross")


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 8, 40])
def test_a_screen_holds_what_the_report_shows(drawn: Drawn, n: int) -> None:
    tables = grown(drawn, n)
    pages, short = drawn.fitted(tables, labels_of(tables))
    assert short.get_figheight() <= MAX_HEIGHT
    assert max(page.get_figheight() for page in pages) <= PAGE_HEIGHT
    if short is not pages[0]:
        assert " of " in short.get_supxlabel()


def heights(tables: Tables) -> Figure:
    """Return a figure of a quarter of an inch a row, and an inch beside."""
    return Figure(figsize=(5, 1 + 0.25 * sum(len(table) for table in tables.values())))


def lanes(n_categories: int, n_models: int) -> dict[str, pd.DataFrame]:
    categories = [*(f"c{number}" for number in range(n_categories - 1)), "all"]
    models = [f"m{number}" for number in range(n_models)]
    return {"rates": pd.DataFrame(product(categories, models), columns=["category", "model"])}


def test_a_low_figure_is_its_own_shorter_form() -> None:
    pages, short = fitted(heights, lanes(3, 7), [CATEGORIES, MODELS], {})
    assert pages == (short,)
    assert short.get_figheight() == 1 + 21 / 4


def test_what_matters_least_goes_first_and_what_pools_all_goes_last() -> None:
    rates_of: dict[Figure, pd.DataFrame] = {}

    def draw(tables: Tables) -> Figure:
        fig = heights(tables)
        rates_of[fig] = tables["rates"]
        return fig

    pages, short = fitted(draw, lanes(10, 4), [CATEGORIES, MODELS], {})
    # Nine inches beside three lines of a note: 1 + 7 categories, and the others.
    assert [rates_of[page]["category"].unique()[-1] for page in pages] == ["all", "c8"]
    assert [page.get_figheight() for page in pages] == pytest.approx([1 + 7 + 0.14, 1 + 3 + 0.14])
    assert pages[1].get_supxlabel() == "Page 2 of 2."
    # 6.16 inches beside three lines of a note: one and five times a fourth of four models.
    assert list(rates_of[short]["category"].unique()) == ["c0", "c1", "c2", "c3", "all"]
    assert rates_of[short]["model"].nunique() == 4
    note = short.get_supxlabel()
    assert note.replace("\n", " ") == "Shown: 5 of 10 categories; the PDF of this figure and its tables have all."
    assert short.get_figheight() == pytest.approx(6 + 0.14)


def test_where_one_of_the_least_is_too_much_less_of_the_next_is_drawn_in_the_order_of_the_labels() -> None:
    rates_of: dict[Figure, pd.DataFrame] = {}

    def draw(tables: Tables) -> Figure:
        fig = heights(tables)
        rates_of[fig] = tables["rates"]
        return fig

    _, short = fitted(draw, lanes(2, 40), [CATEGORIES, MODELS], {"m39": "the first", "m0": "the second"})
    assert set(rates_of[short]["category"]) == {"all"}
    models = set(rates_of[short]["model"])
    assert len(models) == 20
    assert {"m39", "m0", "m1"} <= models
    assert short.get_supxlabel().startswith("Shown: 1 of 2 categories, 20 of 40 models;")


def test_nothing_is_left_out_that_takes_no_place() -> None:
    def draw(tables: Tables) -> Figure:
        return Figure(figsize=(7, 1 + tables["rates"]["model"].nunique() / 4))

    pages, short = fitted(draw, lanes(9, 40), [CATEGORIES, MODELS], {})
    assert short.get_supxlabel().startswith("Shown: 20 of 40 models;")
    assert len(pages) == 2
    alone = fitted(lambda tables: Figure(figsize=(7, 9)), lanes(9, 4), [CATEGORIES, MODELS], {})
    assert alone.pages == (alone.short,)
    assert (alone.short.get_figheight(), alone.short.get_supxlabel()) == (9, "")


def test_a_row_of_panels_is_filled() -> None:
    def draw(tables: Tables) -> Figure:
        return Figure(figsize=(7, 2.5 * -(-tables["rates"]["model"].nunique() // 2)))

    _, short = fitted(draw, lanes(1, 8), [MODELS], {})
    assert short.get_supxlabel().startswith("Shown: 4 of 8 models;")


def test_two_models_stay_where_models_are_compared() -> None:
    pairs = pd.DataFrame({"model_a": ["m0", "m0", "m1"], "model_b": ["m1", "m2", "m2"]})

    def draw(tables: Tables) -> Figure:
        return Figure(figsize=(7, 8 + len(tables["pairs"])))

    _, short = fitted(draw, {"pairs": pairs}, [Part("models", ("model_a", "model_b"))], {})
    assert short.get_figheight() == pytest.approx(8 + 1 + 0.14)
    assert short.get_supxlabel().startswith("Shown: 2 of 3 models;")


def test_rows_that_name_no_model_stay_and_seeds_of_a_family_go_together() -> None:
    table = pd.DataFrame({"dictionary": ["a.s0", "a.s1", "b", None]})
    part = Part("dictionaries", ("dictionary",), {"a.s0": "a", "a.s1": "a"})
    assert part.values({"t": table}, {"b": "", "a": ""}) == ["b", "a"]
    assert part.kept({"t": table}, ["a"])["t"]["dictionary"].fillna("").tolist() == ["a.s0", "a.s1", ""]


@pytest.mark.parametrize("height", [0.5, 3.16, 5.0, MAX_HEIGHT, 12.0])
def test_no_png_is_higher_than_the_report_shows(height: float, tmp_path: Path) -> None:
    save_figure(Figure(figsize=(1, height)), tmp_path / "x.pdf", tmp_path / "x.png")
    wide, high = struct.unpack(">II", (tmp_path / "x.png").read_bytes()[16:24])
    assert high == pytest.approx(min(200 * height, 632), abs=1)
    assert high <= PNG_HEIGHT
    assert wide >= LEAST_DPI or height > MAX_HEIGHT


def test_the_png_shows_the_shorter_form_and_the_pdf_all_pages(tmp_path: Path) -> None:
    pages, short = [Figure(figsize=(2, 9)), Figure(figsize=(2, 4))], Figure(figsize=(2, 3))
    save_figure(pages, tmp_path / "x.pdf", tmp_path / "x.png", short)
    assert struct.unpack(">II", (tmp_path / "x.png").read_bytes()[16:24]) == (400, 600)
    assert re.findall(rb"/MediaBox \[ ?0 0 144 (\d+) ?\]", (tmp_path / "x.pdf").read_bytes()) == [b"648", b"288"]


def test_letters_without_a_font_are_one_line_of_the_log(
    no_other_fonts: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(no_data("中文 हि"), tmp_path / "by_concept.pdf", tmp_path / "by_concept.png")
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith("by_concept.pdf: no installed font has the letters of CJK, DEVANAGARI (中文ह")
    assert "fonts-noto-cjk" in line


def test_an_installed_font_draws_what_the_main_one_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_font(tmp_path / "small.ttf", "Small Sans", "中")
    font_manager.fontManager.addfont(tmp_path / "small.ttf")
    monkeypatch.setattr(fonts, "FALLBACKS", ("Not Installed Sans", "Small Sans"))
    for _ in _forgotten():
        assert fonts.families() == ("DejaVu Sans", "Small Sans")
        assert ord("中") in fonts.drawable()
        save_figure(no_data("中 a"), tmp_path / "x.pdf", tmp_path / "x.png")
    # Libraries may tell what they do, where another test has asked all loggers to.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_one_font_draws_what_it_has_all_letters_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "families", lambda: ("DejaVu Sans", "Small Sans"))
    table = pd.DataFrame(
        {"model": ["a", "b"], "tokens": [["x", "−1"], None], "label": ["a", float("nan")], "rate": [1.0, 2.0]}
    )
    labels = {"a": "Größe", "b": "α"}
    assert fonts.families_of([{"t": table}, labels, None, 3]) == ("DejaVu Sans",)
    assert fonts.families_of([{"t": table}, {**labels, "b": "中"}]) == ("DejaVu Sans", "Small Sans")
    assert fonts.families_of([table.assign(tokens=[["x"], ["中"]])]) == ("DejaVu Sans", "Small Sans")


def write_font(path: Path, family: str, letter: str) -> None:
    """Write a font of one letter, a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    font = FontBuilder(1000)
    font.setupGlyphOrder([".notdef", "letter"])
    font.setupCharacterMap({ord(letter): "letter"})
    font.setupGlyf({".notdef": square, "letter": square})
    font.setupHorizontalMetrics({".notdef": (800, 0), "letter": (800, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


def test_other_warnings_stay() -> None:
    with pytest.warns(UserWarning, match="collapsed"), fonts.one_line_of_missing_letters("x"):
        warnings.warn("axes collapsed", UserWarning, stacklevel=1)


@pytest.mark.skipif(
    not {"Noto Sans CJK SC", "Noto Sans Hebrew"} <= set(font_manager.get_font_names()),
    reason="needs fonts-noto-cjk and fonts-noto-core, and matplotlib's list of fonts made after them",
)
def test_labels_in_hebrew_and_chinese_lack_no_letter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(no_data("דגם $2$ 模型"), tmp_path / "x.pdf", tmp_path / "x.png")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
