"""The page of a dictionary: what its file holds, and what it shows in a browser."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.image import imread

from browser import needs_chromium, rendered_dom, screenshot
from leakscope.features.description import page as page_module
from leakscope.features.description.page import CHUNK, TEMPLATE, read_contexts, write_feature_page
from leakscope.files import writing
from leakscope.files.tables import write_table

HOSTILE = "<!--<script></script><img src=x onerror=\"document.title='owned'\">{{payload}}"
WORDS = ["the", " she", " he", " nurse", " doctor", "\n", " ", "\t", "\u202e", "\\", "\u2028", "𝛼", ""]
N_FEATURES = 2 * CHUNK + 50
NURSE, HOSTILE_FEATURE, DEAD, UNASKED = 3, 7, 9, CHUNK + 5
QUALITY = {
    "variance_unexplained": 0.1,
    "l0": 15.5,
    "dead_share": 0.002,
    "cross_entropy_recovered": 0.9,
    "bar": {"variance_unexplained": 0.4, "dead_share": 0.6, "cross_entropy_recovered": 0.7},
    "missed": [],
    "passes": True,
}
MANIFEST = {"model": "m", "layer": 1, "source": "trained", "n_features": N_FEATURES, "width": 8, "folder": "x"}


def make_table(n: int = N_FEATURES) -> pd.DataFrame:
    """Feature f has the maximum 1 + f, all fire equally often but one that is dead, and one lacks an explanation."""
    feature = np.arange(n)
    dead = feature == DEAD
    table = pd.DataFrame({"feature": feature, "dead": dead, "n_firing": np.where(dead, 0, 40)})
    for number, name in enumerate(page_module.NUMBERS):
        if name not in table:
            table[name] = 0.01 * (number + 1) + feature / 1000
    table["maximum"] = np.where(dead, 0.0, 1.0 + feature)
    table["firing_rate"] = np.where(dead, 0.0, 0.25)
    table.loc[dead, ["mean_active", "entropy_nats", "effective_tokens", "activation_kurtosis"]] = np.nan
    table["histogram"] = [[0] * 20 if is_dead else [21, *[1] * 19] for is_dead in dead]
    table["activating"] = [[] if f == DEAD else [" nurse"] if f == NURSE else ["the", f" only{f}"] for f in feature]
    table["explanation_local"] = [None if f in (DEAD, UNASKED) else f"label {f}" for f in feature]
    table["status_local"] = ["dead" if f == DEAD else "not asked" if f == UNASKED else "explained" for f in feature]
    table["detection_local"] = np.where(table["status_local"] == "explained", 0.5 + feature / 1000, np.nan)
    table["explanation_judge"] = ["Caring professions" if f == NURSE else None for f in feature]
    table["status_judge"] = ["explained" if f == NURSE else "not asked" for f in feature]
    table["detection_judge"] = [0.75 if f == NURSE else np.nan for f in feature]
    return table


def make_promoted(n: int = N_FEATURES) -> pd.DataFrame:
    """Every feature promotes " she" (2) and " he" (1), one of them a hostile token, and suppresses "the"."""
    rows = [
        row
        for f in range(n)
        for row in (
            (f, "suppressed", 1, "the", -0.5),
            (f, "promoted", 2, HOSTILE if f == HOSTILE_FEATURE else " he", 1.0),
            (f, "promoted", 1, " she", 2.0),
        )
    ]
    return pd.DataFrame(rows, columns=["feature", "side", "rank", "token", "weight"]).assign(token_id=0)


def make_contexts(n: int = N_FEATURES) -> pd.DataFrame:
    """Each feature has two top contexts and a quantile one, of which the table also holds one to test by."""
    rows = []
    for f in range(n):
        maximum = 1.0 + f
        if f == DEAD:
            continue
        rows += [
            (f, "test_firing", 1, 4, 4, maximum, ["secret"], [maximum], 0),
            (f, "quantile", 1, 3, 9, maximum / 2, WORDS, [0.0] * 4 + [maximum / 2] + [0.0] * 8, 4),
            (f, "top", 2, 2, 7, 0.7 * maximum, ["the", " nurse"], [0.001 * maximum, 0.7 * maximum], 1),
            (f, "top", 1, 1, 5, maximum, ["the", " nurse", HOSTILE], [0.0, maximum, 0.0], 1),
        ]
    return pd.DataFrame(rows, columns=page_module.CONTEXT_COLUMNS)


def write(path: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {
        "table": make_table(),
        "promoted": make_promoted(),
        "contexts": pa.Table.from_pandas(make_contexts().query("kind in ('top', 'quantile')"), preserve_index=False),
        "manifest": MANIFEST,
        "quality": QUALITY,
        "study": f"tiny {HOSTILE}",
        "dictionary": "d.s0",
        "pages": {"this": path.name, "other <b>": "../other/index.html"},
    }
    write_feature_page(path, **(arguments | changes))
    return path


def unpacked(page: Path, name: str) -> dict[str, Any]:
    found = re.search(rf'<script type="text/plain" id="{name}">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None, f"no block {name}"
    content: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return content


def decoded(text: str, vocabulary: list[str]) -> list[str]:
    """Undo the coding of tokens, in another way than the page does: by counting up the characters that may stand."""
    characters = [chr(c) for c in range(0x23, 0xF000) if c != 0x5C and not 0xD800 <= c < 0xE000]
    return [vocabulary[characters.index(character)] for character in text]


def element_text(dom: str, name: str) -> str:
    """Return the text of an element that holds nothing but text."""
    found = re.search(rf'id="{name}"[^>]*>([^<]*)<', dom)
    assert found is not None, f"no element {name}"
    return html.unescape(found[1])


def probed(page: Path, script: str, fragment: str = "", **window: int) -> Any:
    """Return what ``script`` returns in the page once its data is there; its errors and what it logs as errors, too."""
    probe = f"""<pre id="probe"></pre><script>
      const failures = [];
      window.addEventListener("error", event => failures.push(event.message));
      window.addEventListener("unhandledrejection", event => failures.push(String(event.reason)));
      console.error = (...texts) => failures.push(texts.join(" "));
      const opening = async number => {{
        while ($("detail").dataset.feature !== String(number)) await new Promise(done => setTimeout(done, 5));
      }};
      (async () => {{
        while (!document.body.dataset.ready) await new Promise(done => setTimeout(done, 5));
        let value = null;
        try {{ value = await (async () => {{ {script} }})(); }} catch (error) {{ failures.push(String(error)); }}
        $("probe").textContent = JSON.stringify([value, failures]);
      }})();</script></body>"""
    copy = page.with_name("probed.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    found = re.search(r'<pre id="probe">(.*?)</pre>', rendered_dom(copy, fragment, **window), re.DOTALL)
    assert found is not None
    assert found[1], "the page was never ready, or the script never ended"
    value, failures = json.loads(html.unescape(found[1]))
    assert failures == []
    return value


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("features") / "results" / "index.html")


@pytest.fixture(scope="module")
def linked(page: Path) -> str:
    """The document of the page, opened at a feature with every kind of token."""
    return rendered_dom(page, f"feature={HOSTILE_FEATURE}")


def test_contexts_that_test_explanations_stay_out(tmp_path: Path) -> None:
    write_table(make_contexts(), tmp_path / "contexts.parquet")
    contexts = read_contexts(tmp_path / "contexts.parquet")
    assert set(contexts["kind"].to_pylist()) == {"top", "quantile"}
    assert len(contexts) == 3 * (N_FEATURES - 1)
    assert unpacked(write(tmp_path / "read.html", contexts=contexts), "chunk-0") == unpacked(
        write(tmp_path / "made.html"), "chunk-0"
    )


def test_a_feature_is_found_in_its_own_chunk(page: Path) -> None:
    head, chunk = unpacked(page, "data"), unpacked(page, f"chunk-{UNASKED // CHUNK}")
    place = UNASKED % CHUNK
    maximum = 1.0 + UNASKED
    assert head["chunk"] == CHUNK
    assert {name: len(values) for name, values in chunk.items()} == dict.fromkeys(chunk, CHUNK)
    assert chunk["kind"][place] == [0, 0, 1]  # top contexts by rank, then those along the range
    assert chunk["activation"][place] == [maximum, pytest.approx(0.7 * maximum, rel=1e-3), maximum / 2]
    assert (chunk["document"][place], chunk["position"][place]) == ([1, 2, 3], [5, 7, 9])
    assert chunk["peak"][place] == [1, 1, 4]
    words = [decoded(text, head["vocabulary"]) for text in chunk["tokens"][place]]
    assert words == [["the", " nurse", HOSTILE], ["the", " nurse"], WORDS]
    # Thirty-fifths of the maximum, rounded up: the least activation is not 0.
    assert chunk["levels"][place] == ["0z0", "1p", "0000i00000000"]
    assert chunk["histogram"][place] == [21, *[1] * 19]
    assert decoded(head["promoted"][UNASKED], head["vocabulary"]) == [" she", " he"]
    assert chunk["promoted_weights"][place] == [2.0, 1.0]
    assert decoded(chunk["suppressed"][place], head["vocabulary"]) == ["the"]
    assert chunk["suppressed_weights"][place] == [-0.5]
    assert decoded(head["activating"][UNASKED], head["vocabulary"]) == ["the", f" only{UNASKED}"]


def test_a_dead_feature_has_no_contexts_and_no_numbers(page: Path) -> None:
    head, chunk = unpacked(page, "data"), unpacked(page, "chunk-0")
    assert head["dead"][DEAD] == 1
    assert head["numbers"]["effective_tokens"][DEAD] is None
    assert (chunk["tokens"][DEAD], chunk["levels"][DEAD], head["activating"][DEAD]) == ([], [], "")
    assert head["explainers"][0]["explanation"][DEAD] is None


def test_a_dictionary_of_dead_features_has_a_page(tmp_path: Path) -> None:
    nothing = pa.Table.from_pandas(make_contexts(), preserve_index=False).slice(0, 0)
    table = make_table(N_FEATURES).iloc[[DEAD]]
    page = write(tmp_path / "page.html", table=table, contexts=nothing)
    assert unpacked(page, "data")["features"] == [DEAD]
    assert unpacked(page, "chunk-0")["tokens"] == [[]]


def test_any_vocabulary_survives_its_coding(tmp_path: Path) -> None:
    """More tokens than there are characters before the backslash, and than before the surrogates."""
    words = [f"t{i}" for i in range(60_000)]
    table = make_table(1).assign(activating=[words])
    head = unpacked(write(tmp_path / "page.html", table=table), "data")
    assert sorted(decoded(head["activating"][0][i], head["vocabulary"])[0] for i in (0, 100, 59_999)) == [
        "t0",
        "t100",
        "t59999",
    ]
    assert len(head["activating"][0]) == 60_000
    assert len(set(head["activating"][0])) == 60_000


def test_frequent_tokens_are_coded_short(page: Path) -> None:
    vocabulary = unpacked(page, "data")["vocabulary"]
    # "the": suppressed once by each, four times in texts, and activating; " nurse" three times.
    assert vocabulary[:2] == ["the", " nurse"]
    assert len(vocabulary) == len(set(vocabulary))


def test_a_limit_keeps_the_features_that_fire_most_often(tmp_path: Path) -> None:
    table = make_table()
    table.loc[[5, 300], "firing_rate"] = 0.5
    page = write(tmp_path / "page.html", table=table, limit=2)
    head = unpacked(page, "data")
    assert (head["features"], head["n"], head["total"]) == ([5, 300], 2, N_FEATURES)
    assert unpacked(page, "chunk-0")["activation"][1][0] == 301.0
    assert "chunk-1" not in page.read_text()


def test_the_page_asks_for_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # Name spaces of SVG are names, not addresses.
    assert not re.search(r"https?:", text.replace("http://www.w3.org/2000/svg", ""))
    assert not re.search(r"<(link|iframe|img)\b|<script[^>]+src|@import|url\(|\beval\(|new Function|innerHTML", text)
    assert "default-src 'none'" in text


def test_a_token_cannot_end_the_element_that_holds_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2 + 3  # the table's, three chunks', the program's own
    assert "onerror" not in text.replace(html.escape(HOSTILE), "")
    assert text.count("<!--") == TEMPLATE.read_text(encoding="utf-8").count("<!--")


def test_the_same_tables_give_the_same_bytes(page: Path, tmp_path: Path) -> None:
    contexts = make_contexts().query("kind in ('top', 'quantile')").sample(frac=1, random_state=0)
    again = write(tmp_path / page.name, contexts=pa.Table.from_pandas(contexts, preserve_index=False))
    assert again.read_bytes() == page.read_bytes()


def test_a_failed_write_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writing.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(path)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "old"


@pytest.mark.browser
@needs_chromium
def test_the_page_opens_with_every_feature_and_few_in_the_document(page: Path) -> None:
    dom = rendered_dom(page)
    assert (element_text(dom, "shown"), element_text(dom, "total")) == ("450", "450")
    assert 0 < dom.count('role="option"') < 60
    assert "✓ The dictionary passes the bar" in dom
    assert re.search(r'<p class="notice" id="below"[^>]* hidden', dom)
    assert '<option value="../other/index.html">other &lt;b&gt;</option>' in dom


@pytest.mark.browser
@needs_chromium
def test_an_address_filters_sorts_and_opens(page: Path) -> None:
    script = """
      const seen = [];
      for (const address of ARGUMENTS) {
        const changed = new Promise(done => window.addEventListener("hashchange", done, {once: true}));
        location.hash = address;
        await changed;
        seen.push([$("shown").textContent, shown.length ? data.features[shown[0]] : null, $("notice").hidden]);
      }
      return seen;
    """
    cases = {
        "q=LABEL+44": ["11", 44, True],  # 44 and 440 to 449
        "q=+only17": ["11", 17, True],  # an activating token: 17, 170 to 179
        "q=44": ["14", 44, True],  # 144, 244 and 344, too
        "q=%239": ["1", DEAD, True],  # a number, where nothing else of the feature says it
        "q=onerror": ["1", HOSTILE_FEATURE, True],  # a promoted token
        "q=caring": ["1", NURSE, True],  # what any explainer says
        "q=zzz": ["0", None, True],
        "state=dead": ["1", DEAD, True],
        "state=alive": ["1", UNASKED, True],
        "state=alive,dead": ["2", DEAD, True],
        "explainer=judge&state=interpreted": ["1", NURSE, True],
        "sort=detection": ["450", 449, True],
        "sort=-detection": ["450", 0, True],
        "sort=-maximum": ["450", DEAD, True],
        "sort=explanation": ["450", 0, True],
        "explainer=judge&sort=-detection": ["450", NURSE, True],  # those without a score come last either way
        "explainer=nobody": ["450", 0, False],
        "feature=4500": ["450", 0, False],
    }
    assert probed(page, script.replace("ARGUMENTS", json.dumps(list(cases)))) == list(cases.values())


@pytest.mark.browser
@needs_chromium
def test_a_deep_link_shows_one_feature_in_full(linked: str) -> None:
    panel = linked[linked.index('<aside id="detail"') : linked.index("</main>")]
    assert f'data-feature="{HOSTILE_FEATURE}"' in panel
    assert f"<h2>Feature {HOSTILE_FEATURE}</h2>" in panel
    assert "label 7" in panel
    assert "by local: explained" in panel
    assert "0.51" in panel  # detection .507
    assert panel.count("<rect") == 20
    assert "<title>0 to 0.400: 21</title>" in panel
    assert panel.count('class="context"') == 3
    assert re.search(r'"token peak" data-level="35" title="about 8, 100 %[^>]* style="--share: 1.000;">nurse<', panel)
    assert re.search(r'"token" data-level="1" title="about 0.229, 3 %[^>]* style="--share: 0.174;">the<', panel)
    assert panel.count("−0.500") == 1


@pytest.mark.browser
@needs_chromium
def test_what_is_written_runs_as_its_script(linked: str) -> None:
    panel = linked[linked.index('<aside id="detail"') : linked.index("</main>")]
    assert panel.count('<p dir="auto">') == 3  # its contexts
    assert '<p class="text" dir="auto">label 7</p>' in panel
    assert '<div class="line what" dir="auto">label 7' in linked


@pytest.mark.browser
@needs_chromium
def test_hostile_and_invisible_tokens_are_shown_as_text(linked: str) -> None:
    assert "<img" not in linked
    assert re.search(r"<title>d\.s0 · tiny [^<]*</title>", linked)
    # Heading, row, promoted token, context: the token's blank becomes a sign in lists, and stays one in running text.
    assert linked.count(html.escape(HOSTILE, quote=False)) >= 2
    assert html.escape("</script><img", quote=False) + "<i>␣</i>" in linked
    for sign in ("↵", "⇥", "␣", "\\u{202e}", "\\u{2028}", "∅"):
        assert f"<i>{sign}</i>" in linked
    assert "\u202e" not in linked
    assert "𝛼" in linked


@pytest.mark.browser
@needs_chromium
def test_a_person_searches_sorts_opens_and_walks(page: Path) -> None:
    script = """
      const seen = [];
      const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
      $("search").value = "label 20";
      $("search").dispatchEvent(new Event("input"));
      await new Promise(done => setTimeout(done, 200));
      $("column-detection").click();
      seen.push($("shown").textContent, location.hash);
      document.querySelector(".row").click();
      await opening(209);
      $("next").click();
      await opening(208);
      seen.push(location.hash);
      press("ArrowLeft");
      await opening(209);
      seen.push($("previous").disabled, $("next").disabled);
      press("Escape");
      seen.push($("detail").hidden, location.hash);
      $("reset").click();
      seen.push($("shown").textContent, location.hash);
      $("scroller").focus();
      press("End"); press("Enter");
      await opening(449);
      seen.push($("row-449").textContent.includes("label 449"), document.querySelectorAll(".row").length < 60);
      return seen;
    """
    assert probed(page, script) == [
        "10",  # 20, 200 to 209, of which 205 is not explained
        "#sort=detection&q=label+20",
        "#feature=208&sort=detection&q=label+20",
        True,
        False,
        True,
        "#sort=detection&q=label+20",
        "450",
        "",
        True,
        True,
    ]


@pytest.mark.browser
@needs_chromium
def test_a_dictionary_below_the_bar_says_so(tmp_path: Path) -> None:
    quality = QUALITY | {"variance_unexplained": 0.52, "missed": ["variance_unexplained"], "passes": False}
    table = make_table(3).drop(columns=["explanation_judge", "status_judge", "detection_judge"])
    table = table.assign(explanation_local=None, status_local="below the bar", detection_local=np.nan)
    page = write(tmp_path / "page.html", table=table, quality=quality, pages={"this": "page.html"})
    script = """return [$("below").hidden, $("below").textContent, $("state-interpreted").textContent,
      $("quality").textContent.includes("✗ fails"), document.querySelectorAll(".row .none").length,
      $("explainers").hidden, $("pages")];"""
    hidden, notice, interpreted, fails, unexplained, *absent = probed(page, script)
    assert not hidden
    assert "variance unexplained 0.520, allowed at most 0.4" in notice
    assert interpreted == "● interpreted 0"
    assert (fails, unexplained, absent) == (True, 3, [True, None])


@pytest.mark.browser
@needs_chromium
def test_a_browser_that_cannot_unpack_is_told(page: Path) -> None:
    copy = page.with_name("old.html")
    text = page.read_text(encoding="utf-8")
    copy.write_text(
        text.replace('"use strict";', '"use strict"; delete window.DecompressionStream;', 1), encoding="utf-8"
    )
    assert "too old to unpack the page's data" in element_text(rendered_dom(copy), "nothing")


@pytest.mark.browser
@needs_chromium
def test_a_picture_of_the_page_is_not_blank(page: Path, tmp_path: Path) -> None:
    screenshot(page, tmp_path / "page.png", f"feature={NURSE}", dark=True)
    picture = imread(tmp_path / "page.png")
    assert picture.shape[:2] == (800, 1280)
    assert picture[..., :3].std() > 0.05


@pytest.mark.browser
@needs_chromium
def test_nothing_sticks_out_of_a_small_window(page: Path) -> None:
    script = f"""await opening({NURSE});
      const panel = $("detail");
      return [document.documentElement.scrollWidth <= innerWidth, panel.scrollWidth <= panel.clientWidth];"""
    assert probed(page, script, f"feature={NURSE}", width=500, height=900) == [True, True]
