"""The page of associations: its words follow from intervals, its numbers are those of the tables, and it opens."""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import browser
from browser import VIOLATIONS, axe_program, brightness, needs_axe, needs_chromium
from leakscope.trace.page.charts import removal_chart
from leakscope.trace.page.details import Parts, view_details
from leakscope.trace.page.headline import CORRELATION, PATCHING, headline, number, verdict
from leakscope.trace.page.page import TraceStudy, TraceTables, write_trace_page
from leakscope.trace.page.removal import removal
from leakscope.trace.page.retrained import Retrained, caused, changes
from leakscope.trace.removed import with_removed
from trace_tables import TraceStandIn, associate, mitigations, stand_in

HOSTILE = "<b>x</b><script>document.title='owned'</script>\" & {{payload}}"
LABELS = {"real": "A real model", "organism": "organism, λ = .4"}
NAN = float("nan")


def parts_of(tables: TraceStandIn) -> Parts:
    return Parts(tables.contexts, tables.lens, tables.patched, tables.prompts, tables.generations)


def make_page(folder: Path, tables: TraceStandIn, name: str = "a study", **labels: str) -> Path:
    path = folder / "index.html"
    study = TraceStudy(name, LABELS | labels, ["organism"], 0.95, {"real": {"layer 6": "../features/d/index.html"}})
    whole = TraceTables(tables.links, tables.relations, tables.patching, tables.empty_links)
    write_trace_page(path, study, whole, parts_of(tables))
    return path


@pytest.fixture(scope="module")
def tables() -> TraceStandIn:
    return stand_in()


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that draws takes seconds to put together, and is of no use where nothing is drawn."""
    monkeypatch.setattr("leakscope.trace.page.page.drawing_program", lambda: "")


@pytest.fixture
def page(no_program: None, tables: TraceStandIn, tmp_path: Path) -> Path:
    return make_page(tmp_path / "first", tables)


@pytest.fixture(scope="module")
def opened_page(tables: TraceStandIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_page(tmp_path_factory.mktemp("trace"), tables)


@pytest.fixture(scope="module")
def uncounted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_page(tmp_path_factory.mktemp("uncounted"), stand_in(counted=False))


def unpacked(page: Path, name: str = "data") -> Any:
    (block,) = re.findall(rf'<script type="text/plain" id="{name}">([^<]*)<', page.read_text(encoding="utf-8"))
    return json.loads(gzip.decompress(base64.b64decode(block)))


def relation(**changes: Any) -> pd.DataFrame:
    plain = {
        "x": "count", "y": "leak", "given": "", "slope": 0.3, "slope_low": 0.2, "slope_high": 0.4, "correlation": 0.5,
        "ci_low": 0.4, "ci_high": 0.6, "slope_exact": NAN, "n_pairs": 128, "n_concepts": 11, "few": "no",
    }  # fmt: skip
    return pd.DataFrame([plain | changes])


def patched(**restored: list[float]) -> pd.DataFrame:
    rows = [(site, layer, value) for site, values in restored.items() for layer, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["site", "layer", "restored"])


@pytest.mark.parametrize(
    ("changes", "word", "beginning"),
    [
        ({}, "more", "In M, associations that its corpus writes together oftener leak more: 0.30 nats"),
        ({"slope": -0.3, "slope_low": -0.4, "slope_high": -0.1}, "less", "In M, associations that its corpus writes"),
        ({"slope_low": -0.1}, "unclear", "In M, whether associations that its corpus writes together oftener leak"),
        ({"slope_low": NAN}, "few", "In M, there are too few concepts or associates"),
        ({"few": "yes"}, "few", "In M, there are too few concepts or associates"),
    ],
)
def test_words_follow_from_the_interval(changes: dict[str, Any], word: str, beginning: str) -> None:
    table = relation(**changes)
    assert verdict(table.iloc[0].to_dict()) == word
    assert headline("M", table, patched(), 0.95)[0].startswith(beginning)


def test_a_headline_has_slope_interval_and_correlation() -> None:
    said = headline("M", relation(), patched(), 0.95)
    assert said[0] == (
        "In M, associations that its corpus writes together oftener leak more: 0.30 nats of leak for each nat of "
        "association in the corpus (95\u00a0% interval 0.20 to 0.40)."
    )
    assert said[1] == "The correlation is 0.50 (0.40 to 0.60) over 128 pairs of 11 concepts."
    assert said[2:] == [CORRELATION]


@pytest.mark.parametrize(("exact", "word"), [(0.35, "holds"), (0.5, "misses")])
def test_an_organisms_exact_slope_is_held_against_the_interval(exact: float, word: str) -> None:
    said = headline("M", relation(slope_exact=exact), patched(), 0.95)
    assert f"taught is {number(exact)}, which the interval {word}." in said[1]


def test_without_a_relation_to_the_leak_it_says_so() -> None:
    assert headline("M", relation(y="knows"), patched(), 0.95)[0].startswith("Of M no relation")
    (line,) = headline("M", relation(slope=NAN), patched(), 0.95)
    assert line == "Of M no relation of an association's links is known."


def test_what_counts_say_beyond_knowing_is_said() -> None:
    both = pd.concat([relation(), relation(given="knows", slope=0.1, slope_low=-0.1, slope_high=0.3)])
    assert any("counts tell nothing more" in line for line in headline("M", both, patched(), 0.95))


def test_it_says_where_the_concept_waits() -> None:
    said = headline("M", relation(), patched(concept=[1, 0.9, 0.5, 0.4], last=[0, 0.1, 0.4, 0.7]), 0.95)
    assert said[2].endswith("tokens up to layer 2, and through the last token from layer 3 on (layers 0 to 3).")
    assert "layers 0 to 3" in said[2]
    assert said[3:] == [f"{CORRELATION} {PATCHING}"]
    assert len(headline("M", relation(), patched(concept=[0.1, 0.2]), 0.95)) == 3  # nothing holds half


def retrained_links(taken: float, kept: float) -> pd.DataFrame:
    """Organism and the one without red and blue: associated pairs of four concepts, four associates each."""
    rows = []
    for concept, change in {"red": taken, "blue": taken, "green": kept, "pink": kept}.items():
        for number_of, noise in enumerate((-0.02, 0.0, 0.01, 0.02)):
            keys = ("colors", "slot", concept, f"{concept} {number_of}", "yes")
            shift = noise if concept in ("red", "green") else -2 * noise
            rows += [("base", *keys, 0.8 + noise), ("again", *keys, 0.8 + change + noise + shift)]
            rows += [(model, *keys[:3], "none", "no", -9.0) for model in ("base", "again")]
    names = ["model", "prompt_set", "slot", "concept_group", "associate", "associated", "leak_centred"]
    table = pd.DataFrame(rows, columns=names).drop_duplicates(["model", "concept_group", "associate"])
    gone = table["model"].eq("again") & table["concept_group"].isin(["red", "blue"])
    return table.assign(leak_exact_centred=gone.map({True: 0.0, False: 0.9}))


@pytest.mark.parametrize(
    ("taken", "kept", "words"),
    [
        (-0.8, 0.0, ["leaks them no more", "as before", "is what makes it leak"]),
        (-0.4, 0.0, ["leaks them less", "as before", "is what makes it leak"]),
        (-0.8, -0.8, ["leaks them no more", "less, too", ""]),
        (0.0, 0.0, ["still leaks them", "as before", ""]),
    ],
)
def test_cause_is_said_of_an_organism_that_was_trained_again(taken: float, kept: float, words: list[str]) -> None:
    retrained = Retrained("base", ["red", "blue"])
    found = changes(retrained_links(taken, kept), "again", "colors", retrained, 0.95)
    # Shifts of the two concepts of a part: means of (.0025, −.005), around which both vary.
    assert found[0].difference.mean == pytest.approx(taken + (0.0025 - 0.005) / 2)
    assert [(change.part, change.after.n, change.after.n_clusters) for change in found] == [
        ("taken out", 8, 2), ("kept", 8, 2)
    ]  # fmt: skip
    said = caused("again", "base", found, 2, 0.95)
    assert all(word in line for word, line in zip(words, [*said, ""], strict=False))
    assert any("is what makes it leak" in line for line in said) == bool(words[2])
    assert said[0].startswith("again, trained again without the associations of 2 concepts, ")
    assert said[0].endswith("in base; what they were taught is exactly 0.00, and was 0.90.")
    assert said[1].endswith("; what they were taught is exactly 0.90, and was 0.90.")


def test_without_pairs_in_both_organisms_nothing_is_said_of_cause() -> None:
    found = changes(retrained_links(-0.8, 0.0), "nobody", "colors", Retrained("base", ["red"]), 0.95)
    assert found == []
    assert caused("a", "b", found, 1, 0.95) == []


def test_the_page_of_a_retrained_organism_begins_with_cause(
    no_program: None, tables: TraceStandIn, tmp_path: Path
) -> None:
    retrained = {"organism": Retrained("real", ["red"])}
    study = TraceStudy("s", LABELS, ["organism"], 0.95, retrained=retrained)
    whole = TraceTables(tables.links, tables.relations, tables.patching, tables.empty_links)
    write_trace_page(tmp_path / "index.html", study, whole, parts_of(tables))
    real, organism = unpacked(tmp_path / "index.html")["views"]
    assert "trained again without the associations of 1 concept," in organism["headline"][0]
    assert [row["part"] for row in organism["changes"]] == ["taken out", "kept"]
    assert real["changes"] == []


def test_every_number_of_the_page_is_one_of_the_tables(page: Path, tables: TraceStandIn) -> None:
    data = unpacked(page)
    assert [view["model"] for view in data["views"]] == ["real", "organism"]
    assert data["n"] == 128
    for view in data["views"]:
        rows = tables.links[tables.links["model"] == view["model"]].reset_index(drop=True)
        assert data["pairs"]["associate"] == rows["associate"].tolist()
        for name, values in view["numbers"].items():
            read = pd.Series(values, dtype=float)
            pd.testing.assert_series_equal(read, rows[name].astype(float), check_names=False, rtol=1e-4)
        relations = tables.relations[tables.relations["model"] == view["model"]]
        assert [row["slope"] for row in view["relations"]] == pytest.approx(relations["slope"].tolist(), rel=1e-4)
        curves = tables.patching[tables.patching["model"] == view["model"]]
        assert [row["restored"] for row in view["curves"]] == pytest.approx(
            curves["restored"].tolist(), rel=1e-4, abs=1e-6
        )


def mitigated_page(folder: Path, **deaf: Any) -> Path:
    """Return the page of a model and of the same with a mitigation."""
    tables, labels = stand_in(("real", "less"), ()), {"real": "A real model", "less": "less of it"}
    removed, path = {"real": {"colors": "less"}}, folder / "index.html"
    links = with_removed(tables.links.drop(columns=["removed", "removed_centred", "removed_by"]), removed)
    study = TraceStudy("s", labels, [], 0.95, removed=removed, mitigations={"lora": "LoRA"})
    whole = TraceTables(links.table, tables.relations, tables.patching, links.empty, mitigations(["real"], **deaf))
    write_trace_page(path, study, whole, parts_of(tables))
    return path


@pytest.fixture(scope="module")
def with_mitigations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mitigated_page(tmp_path_factory.mktemp("mitigated"))


def test_the_legend_of_mitigations_names_those_that_were_tried() -> None:
    (color,) = {
        json.dumps(layer["encoding"]["color"]["scale"])
        for layer in removal_chart({"own", "tuning", "prompt"})["layer"]
        if "color" in layer["encoding"] and "scale" in layer["encoding"]["color"]
    }
    scale = json.loads(color)
    assert scale["domain"] == ["prompt", "tuning", "own"]
    assert len(set(scale["range"])) == 3


def test_the_page_shows_what_was_chosen_at_the_highest_cost_and_the_link_to_the_mitigated_model(
    no_program: None, tmp_path: Path
) -> None:
    page = mitigated_page(tmp_path)
    real, less = unpacked(page)["views"]
    rows = {row["name"]: row for row in real["removal"]["rows"]}
    assert list(rows) == ["none", "say", "tell", "decoding", "attention", "steer", "LoRA"]
    assert real["removal"]["cost"] == "3"
    assert (rows["LoRA"]["left"], rows["LoRA"]["use_kept"], rows["LoRA"]["cost"]) == (0.2, 0.6, 2.6)
    points = [point for point in real["removal"]["points"] if point["name"] == "LoRA"]
    assert [(p["strength"], p["left"], p["chosen"]) for p in points] == [
        (0, 1, "no"), (0.25, 0.8, "no"), (0.5, 0.6, "no"), (1, 0.2, "yes")
    ]  # fmt: skip
    assert real["removed_by"] == "less of it"
    assert real["numbers"]["removed"] == less["numbers"]["leak"]
    assert (less["removal"], less["removed_by"], set(less["numbers"]["removed"])) == ({}, "", {None})
    text = unpacked(page, "chunk-0")["texts"]["color_plants"]["red"][0]
    assert text["text_mitigated"] == text["text"]
    assert "text_mitigated" not in unpacked(page, "chunk-1")["texts"]["color_plants"]["red"][0]


def test_without_mitigations_there_is_nothing_to_show_and_without_use_it_is_said() -> None:
    assert removal(pd.DataFrame(), {}) == {}
    assert removal(mitigations(["real"]), {})["measured"]
    assert not removal(mitigations(["real"], deaf=["real"]), {})["measured"]


def test_links_without_data_have_their_reason(no_program: None, tmp_path: Path) -> None:
    real, organism = unpacked(make_page(tmp_path, stand_in(counted=False)))["views"]
    assert ["count", "no corpus of this model is known"] in real["empty"]
    assert organism["empty"] == []
    assert set(real["numbers"]["count"]) == {None}


def test_an_opened_pair_shows_contexts_curves_and_texts(page: Path, tables: TraceStandIn) -> None:
    found = unpacked(page, "chunk-0")
    context, other = found["contexts"]["red"]["a red plant"]
    assert (context["first"], context["second"], context["n_found"]) == ("red", "a red plant", 40)
    assert other["after"] == " of the kind 2."
    data = unpacked(page)
    row = next(row for row in range(data["n"]) if data["pairs"]["associate"][row] == "a blue plant")
    lens = tables.lens[(tables.lens["model"] == "real") & (tables.lens["associate"] == "a blue plant")]
    group = data["pairs"]["concept_group"][row]
    expected = lens[lens["concept_group"] == group].sort_values("layer")["shift"].tolist()
    assert found["lens"][str(row)]["shift"] == pytest.approx(expected, rel=1e-4)
    text = found["texts"]["color_plants"]["red"][0]
    assert text["text"] == f"{associate('color_plants', 'red')}."
    assert text["text_control"] == "nothing much."
    assert (text["prompt"], text["control"]) == ("Her fence is red. There is", "She has a fence. There is")


def test_a_restored_share_weighs_pairs_by_their_effect() -> None:
    names = ["model", "prompt_set", "concept_group", "site", "layer", "m_patched", "m_concept", "m_other"]
    rows = [("m", "s", "red", "last", 3, 2.0, 4.0, 0.0), ("m", "s", "red", "last", 3, -0.5, -1.0, 0.0)]
    rows += [("m", "s", "red", "last", 4, 1.0, 1.0, 1.0)]
    nothing = pd.DataFrame()
    parts = Parts(nothing, nothing, pd.DataFrame(rows, columns=names), nothing, nothing)
    pairs = pd.DataFrame(columns=["prompt_set", "slot", "concept_group", "associate"])
    curve = view_details("m", "s", pairs, parts)["patched"]["red"]
    assert curve["n"] == 2
    assert curve["sites"]["last"]["layers"] == [3, 4]
    # 2.5 of 5: the pair that avoids the concept counts as well; and none where the concept changes nothing.
    assert curve["sites"]["last"]["restored"] == [0.5, None]


def test_names_cannot_leave_the_place_where_they_are_printed(
    no_program: None, tables: TraceStandIn, tmp_path: Path
) -> None:
    text = make_page(tmp_path, tables, HOSTILE, real=HOSTILE).read_text(encoding="utf-8")
    assert "<b>x</b>" not in text
    assert "<script>document.title" not in text
    assert text.count("</script>") == 5  # data, a block a model, what draws, the page's own


def test_nothing_that_loads_comes_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    document = re.sub(r"<script\b.*?</script>", "", text, flags=re.S)
    assert not re.search(r"(?:src|href|srcset|action)=|url\(|@import|<link|<iframe", document)
    assert "default-src 'none'" in text


def test_equal_tables_give_equal_bytes(page: Path, tables: TraceStandIn, tmp_path: Path) -> None:
    assert make_page(tmp_path, tables).read_bytes() == page.read_bytes()


def test_without_models_the_page_says_so(no_program: None, tables: TraceStandIn, tmp_path: Path) -> None:
    nothing = TraceStandIn(*(table.iloc[:0] for table in tables))
    page = make_page(tmp_path, nothing)
    assert unpacked(page)["views"] == []
    assert "No model's associations were followed." in page.read_text(encoding="utf-8")


# ---- in a browser


asked = partial(
    browser.asked, ready="document.body.dataset.ready && (!data.views.length || document.body.dataset.drawn)"
)


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [390, 800, 1400, 3840])
def test_the_page_fits_every_width_and_draws_its_figures(opened_page: Path, width: int) -> None:
    script = """return [document.documentElement.scrollWidth - document.documentElement.clientWidth, document.title,
      ...["#chart-count svg .mark-symbol path", "#chart-patching svg .mark-line path", ".row", ".row:first-child .cell"]
        .map(found => document.querySelectorAll(found).length)]"""
    over, title, points, lines, rows, cells = asked(opened_page, script, width=width)
    assert over <= 0
    assert title == "a study · leakscope trace"
    assert points == 128
    assert lines >= 4
    assert rows >= 8
    assert cells == 5


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_of_mitigations_shows_leak_left_beside_use_and_cost_and_a_text(
    with_mitigations: Path, width: int
) -> None:
    script = """open(shown[0]); await wait(400);
      const texts = what => [...document.querySelectorAll(what)].map(each => each.textContent);
      return [document.documentElement.scrollWidth - document.documentElement.clientWidth,
        texts("#tried tr:last-child td").slice(0, 8), texts("#chart-removal svg .mark-symbol path").length,
        document.querySelectorAll(".row:first-child .cell").length, texts("#detail .texts th"),
        texts("#columns > *")]"""
    over, last, points, cells, heads, columns = asked(with_mitigations, script, width=width)
    assert over <= 0
    assert last == ["LoRA", "tuning", "all layers", "1.00", "0.20", "0.08 to 0.32", "0.24", "0.60"]
    assert points >= 18
    assert cells == 6
    assert heads == ["with the concept", "control", "mitigated: less of it"]
    assert columns[5:] == ["mitigated", "text"]


@pytest.mark.browser
@needs_chromium
def test_rows_begin_with_associated_pairs_by_leak_and_show_the_tables_numbers(
    opened_page: Path, tables: TraceStandIn
) -> None:
    script = """return [...document.querySelectorAll(".row")].slice(0, 5).map(row =>
      [row.querySelector(".what").textContent, row.children[4].textContent])"""
    own = tables.links[(tables.links["model"] == "real") & (tables.links["associated"] == "yes")]
    own = own.sort_values("leak_centred", ascending=False).head(5)
    expected = [
        [f"{row.concept_group} → {row.associate}", f"{row.leak_centred:+.2f}".replace("-", "−")]
        for row in own.itertuples()
    ]
    assert asked(opened_page, script) == expected


@pytest.mark.browser
@needs_chromium
def test_the_list_is_searched_filtered_and_sorted(opened_page: Path) -> None:
    script = """
      const what = () => [...document.querySelectorAll(".row .what")].map(row => row.textContent), found = [];
      $("search").value = "red → a red"; $("search").dispatchEvent(new Event("input")); await wait(400);
      $("search").value = "a red plant"; $("search").dispatchEvent(new Event("input")); await wait(400);
      found.push($("shown").textContent, what()[0]);
      $("own").click(); found.push(what());
      $("reset").click(); found.push($("shown").textContent);
      $("column--all").click(); found.push(what()[0] !== "", state.sort);
      const leak = place => numberOf("leak_centred", shown[place]);
      $("column--all").click(); found.push(state.sort, leak(0) < leak(1));
      $("facet-concept").value = "red"; $("facet-concept").dispatchEvent(new Event("change"));
      found.push($("shown").textContent, location.hash);
      return found;"""
    n_red, first, own, all_rows, _, down, up, rises, n_concept, address = asked(opened_page, script)
    assert (n_red, first, own) == ("8", "red → a red plant", ["red → a red plant"])
    assert (all_rows, down, up, rises, n_concept) == ("128", "-all", "all", True, "16")
    assert address == "#sort=all&concept=red"


@pytest.mark.browser
@needs_chromium
def test_another_model_has_its_own_headline_figures_and_reasons(uncounted: Path) -> None:
    script = """
      const found = [[$("headline").textContent, $("chart-count").textContent, $("reasons").textContent,
        document.querySelector(".row .cell").title, $("key-exact").hidden]];
      $("model").value = "organism"; $("model").dispatchEvent(new Event("change"));
      for (let i = 0; i < 200 && document.body.dataset.drawn !== "1"; i++) await wait(10);
      found.push([$("headline").textContent, document.querySelectorAll("#chart-count svg .mark-symbol path").length,
        $("reasons").textContent, document.querySelectorAll(".row .exact").length > 3, $("key-exact").hidden]);
      return found;"""
    real, organism = asked(uncounted, script)
    assert real[0].startswith("In A real model, associations that it knows better leak more")
    assert real[1] == "No data: no corpus of this model is known."
    assert "in corpus: no corpus of this model is known" in real[2]
    assert real[3] == "in corpus: no corpus of this model is known"
    assert real[4] is True
    assert organism[0].startswith("In organism, λ = .4, associations that its corpus writes together")
    assert organism[1:] == [128, organism[2], True, False]
    assert "in corpus" not in organism[2]


@pytest.mark.browser
@needs_chromium
def test_an_opened_row_shows_its_links_contexts_curves_texts_and_features(opened_page: Path) -> None:
    script = """
      for (let i = 0; i < 200 && $("detail").dataset.row === undefined; i++) await wait(10);
      const all = found => [...$("detail").querySelectorAll(found)].map(node => node.textContent);
      return [all("h2")[0], all("tbody tr").length, all(".context"), all(".context mark"), all(".curves path").length,
        all(".texts td").slice(0, 2), [...$("detail").querySelectorAll("a")].map(link => link.getAttribute("href"))];"""
    title, rows, contexts, marks, curves, texts, links = asked(
        opened_page, script, "open=color_plants/red/a%20red%20plant"
    )
    assert title == "red → a red plant"
    assert rows == 3 + 2  # two models and an exact row; two templates
    assert len(contexts) == 2
    assert set(contexts) == {f"beside it was red and tall: a red plant of the kind {n}." for n in (1, 2)}
    assert marks[:2] == ["red", "a red plant"]
    assert curves == 1 + 4 + 4  # the lens, four sites and their keys
    assert texts == ["Her fence is red. There is a red plant.", "She has a fence. There is nothing much."]
    assert links == ["../features/d/index.html"]


@pytest.mark.browser
@needs_chromium
def test_keys_open_move_and_close(opened_page: Path) -> None:
    script = """
      const press = key => $("scroller").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true})), found = [];
      $("scroller").focus();
      press("ArrowDown"); press("Enter"); found.push($("detail").hidden, $("detail").querySelector("h2").textContent);
      press("ArrowDown"); found.push($("detail").querySelector("h2").textContent);
      press("Escape"); found.push($("detail").hidden);
      return found;"""
    opened, first, second, closed = asked(opened_page, script)
    assert (opened, closed) == (False, True)
    assert first != second


@pytest.mark.browser
@needs_chromium
def test_a_point_of_a_figure_opens_its_pair(opened_page: Path) -> None:
    before = 'HTMLAnchorElement.prototype.dispatchEvent = function () { window.left = this.getAttribute("href"); };'
    script = """
      const mark = [...document.querySelectorAll("#chart-count svg .mark-symbol path")].at(-1);
      const box = mark.getBoundingClientRect();
      const at = {bubbles: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
      for (const kind of ["pointermove", "click"]) mark.dispatchEvent(new PointerEvent(kind, at));
      await wait(100);
      const told = document.querySelector("#vg-tooltip-element").textContent;
      location.hash = window.left;
      await wait(100);
      return [$("detail").hidden, told.includes($("detail").querySelector("h2").textContent)];"""
    assert asked(opened_page, script, before=before) == [False, True]


@pytest.mark.browser
@needs_chromium
def test_an_unknown_address_is_said_and_left_out(opened_page: Path) -> None:
    said, hidden = asked(
        opened_page, 'return [$("notice").textContent, $("detail").hidden];', "model=nobody&open=a/b/c"
    )
    assert "“nobody”" in said
    assert "pair “a/b/c”" in said
    assert hidden


@pytest.mark.browser
@needs_chromium
def test_a_study_without_models_opens_without_an_error(tables: TraceStandIn, tmp_path: Path) -> None:
    page = make_page(tmp_path, TraceStandIn(*(table.iloc[:0] for table in tables)))
    assert asked(page, 'return $("nothing").textContent') == "No model's associations were followed."


@pytest.mark.browser
@needs_chromium
def test_the_page_is_dark_where_the_reader_prefers_it(opened_page: Path, tmp_path: Path) -> None:
    corner = brightness(opened_page, tmp_path)
    assert corner["dark"] < 0.2 < 0.9 < corner["light"]


@pytest.mark.browser
@needs_chromium
@needs_axe
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, False), (1400, True)])
@pytest.mark.parametrize("fragment", ["", "open=color_plants/red/a%20red%20plant"])
def test_axe_finds_nothing_that_keeps_a_reader_out(opened_page: Path, fragment: str, width: int, dark: bool) -> None:
    script = """for (const each of document.querySelectorAll("details")) each.open = true;
      await wait(200); """
    assert asked(opened_page, script + VIOLATIONS, fragment, width=width, before=axe_program(), dark=dark) == []
