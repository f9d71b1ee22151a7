"""The explorer page: its rows, its file, and what it shows in a browser."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from browser import asked, needs_chromium, rendered_dom, screenshot
from helpers import unpacked
from leakscope.errors import InputError
from leakscope.files import writing
from leakscope.leak.explorer import TEMPLATE, Partners, cut_texts, explorer_rows, write_explorer

HOSTILE = "<!--<script></script><img src=x onerror=\"document.title='owned'\">{{payload}}"
SCORERS = ["first", "second"]


def make_prompts() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("p", "hat/red", "hat/without", "hat/neutral", "Her hat is red. She likes"),
            ("p", "hat/blue", "hat/without", "hat/neutral", "Her hat is blue. She likes"),
            ("p", "hat/without", None, None, "She has a hat. She likes"),
            ("p", "hat/neutral", None, None, "Her hat is small. She likes"),
            ("q", "hat/red", "hat/without", None, "Another set's prompt"),
            ("q", "hat/without", None, None, "Another set's control"),
        ],
        columns=["prompt_set", "prompt_id", "control_id", "neutral_control_id", "prompt"],
    )


def test_the_page_says_how_many_pairs_a_scorer_cuts() -> None:
    first, second = make_pairs().assign(cut=[True, True, False, False, False]), make_pairs("second").assign(cut=False)
    assert cut_texts(pd.concat([first, second])) == {"longer than the scorer reads": "first: 2 of 5 pairs"}
    assert cut_texts(second) == {}


def make_pairs(scorer: str = "first", scores: tuple[tuple[float, float, float], ...] | None = None) -> pd.DataFrame:
    """Five pairs; with ``first``: leak, tie, no leak, leak, leak, of which the second and last are special."""
    texts = [  # prompt_id, control_kind, sample, test's text, control's text, repetition
        ("hat/red", "without", 0, "a poppy.", "the sea.", False),
        ("hat/red", "without", 1, "Red roses.", "Red roses.", True),
        ("hat/red", "neutral", 0, "a poppy.", HOSTILE, False),
        ("hat/blue", "without", 0, "the sea.", "the sea today.", False),
        ("hat/blue", "neutral", 0, "", "a poppy.", False),
    ]
    if scores is None:
        scores = ((0.9, 0.1, 1.0), (0.5, 0.5, 0.5), (0.2, 0.3, 0.0), (0.8, 0.7, 1.0), (0.35, -0.1, 1.0))
    pairs = pd.DataFrame(
        texts, columns=["prompt_id", "control_kind", "sample", "text_test", "text_control", "repetition"]
    )
    pairs[["similarity_test", "similarity_control", "outcome"]] = scores
    pairs["echo_test"] = ["prompt", "", "", "", ""]
    pairs["echo_control"] = ["template", "", "", "", ""]
    pairs["echo"] = pairs["echo_test"] != ""
    pairs["identical"] = pairs["text_test"] == pairs["text_control"]
    pairs["concept"] = pairs["concept_group"] = pairs["prompt_id"].str.removeprefix("hat/")
    pairs["control_id"] = "hat/" + pairs["control_kind"]
    pairs["sample_control"] = pairs["sample"]
    return pairs.assign(model="m", prompt_set="p", scorer=scorer, category=None, template_id="hat", cluster="hat")


def make_texts(**columns: object) -> pd.DataFrame:
    """How often three texts are told apart by the first scorer; the second has none."""
    rows = [("hat/red", 0, 1.0), ("hat/red", 1, 0.5), ("hat/blue", 0, 0.75)]
    table = pd.DataFrame(rows, columns=["prompt_id", "sample", "match"])
    table["weight"] = [0.5, 0.5, 1.0]
    return table.assign(**{"model": "m", "prompt_set": "p", "scorer": "first", **columns})


def make_rows() -> pd.DataFrame:
    second = make_pairs("second", ((0.1, 0.2, 0.0),) * 5)
    return explorer_rows(pd.concat([make_pairs(), second], ignore_index=True), make_prompts(), make_texts())


def many_rows(n: int) -> pd.DataFrame:
    """Five models in turn; outcomes leak, tie, no leak, leak in turn: in each model 62.5 % leak, 25 % ties."""
    number = np.arange(n)
    outcome = np.array([1.0, 0.5, 0.0, 1.0])[number % 4]
    return pd.DataFrame(
        {
            "model": [f"m{i % 5}" for i in number],
            "prompt_set": "p",
            "prompt_id": [f"prompt-{i % 700}" for i in number],
            "control_kind": "without",
            "sample": number,
            "sample_control": number,
            "category": None,
            "template_id": None,
            "concept": "red",
            "concept_group": "red",
            "control_id": "control",
            "text_test": [f"text {i}." for i in number],
            "text_control": "other.",
            "repetition": False,
            "echo": False,
            "echo_test": "",
            "echo_control": "",
            "identical": False,
            "prompt": "Her hat is red. She likes",
            "control": "She has a hat. She likes",
            "first:similarity_test": outcome,
            "first:similarity_control": 0.5,
            "first:outcome": outcome,
        }
    )


def with_rates() -> pd.DataFrame:
    """Match rates of two models on a set, of both scorers, and of a category of one."""
    rows = [("m", "first", "all", 75.0), ("m", "second", "all", 60.0), ("m", "first", "near", 80.0)]
    rates = pd.DataFrame(rows, columns=["model", "scorer", "category", "match_rate"]).assign(prompt_set="p")
    rates["ci_low"], rates["ci_high"] = rates["match_rate"] - 5.5, rates["match_rate"] + 4.25
    rates.loc[2, ["ci_low", "ci_high"]] = np.nan
    other = rates.assign(model="n", match_rate=55.0)
    return pd.concat([rates, other], ignore_index=True).assign(
        match_rate_without_repetition=61.0, match_rate_without_echo=np.nan
    )


# After `script`, `at(fragment)` opens an address of the same page, and `text(name)` reads an element.
STEPS = """
  const text = name => $(name).hidden ? "" : $(name).textContent;
  const at = async fragment => {
    const changed = new Promise(done => addEventListener("hashchange", done, {once: true}));
    const before = location.hash;
    location.hash = fragment;
    if (location.hash !== before) await changed;
  };
  const press = (key, more) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key, bubbles: true, ...more}));
"""


def shown(page: Path, script: str, fragment: str = "", *, width: int = 1280) -> object:
    """Return what a script returns on the page, with ``STEPS`` at hand."""
    return asked(page, STEPS + script, fragment, ready="document.body.dataset.ready", width=width)


def element_text(dom: str, name: str) -> str:
    """Return the text of an element that holds nothing but text."""
    found = re.search(rf'id="{name}"[^>]*>([^<]*)<', dom)
    assert found is not None, f"no element {name}"
    return html.unescape(found[1])


def with_script(page: Path, script: str) -> Path:
    """Return a copy of the page that runs ``script`` when its data is there and leaves the value it returns."""
    probe = f"""<pre id="probe"></pre><script>(async () => {{
      while (!document.body.dataset.ready) await new Promise(done => setTimeout(done, 10));
      $("probe").textContent = JSON.stringify(await (async () => {{ {script} }})());
    }})();</script></body>"""
    copy = page.with_name("probed.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "results" / "explorer.html"
    write_explorer(make_rows(), path, study=f"tiny {HOSTILE}", scorers=SCORERS, metadata={"temperature": "0.5"})
    return path


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "large.html"
    write_explorer(many_rows(50_000), path, study="large", scorers=["first"])
    return path


def test_a_row_joins_its_own_sentences_and_every_scorer() -> None:
    rows = make_rows()
    assert len(rows) == 5
    third = rows.iloc[2]
    assert third["prompt"] == "Her hat is red. She likes"
    assert third["control"] == "Her hat is small. She likes"
    assert third[["first:similarity_test", "first:similarity_control", "first:outcome"]].tolist() == [0.2, 0.3, 0.0]
    assert third[["second:similarity_test", "second:similarity_control", "second:outcome"]].tolist() == [0.1, 0.2, 0.0]
    assert rows["control"].tolist()[3] == "She has a hat. She likes"


def test_a_pair_that_a_scorer_lacks_is_nan_and_null_in_the_page(tmp_path: Path) -> None:
    pairs = pd.concat([make_pairs(), make_pairs("second").iloc[:4]], ignore_index=True)
    rows = explorer_rows(pairs, make_prompts(), make_texts())
    assert rows["second:outcome"].isna().tolist() == [False, False, False, False, True]
    write_explorer(rows, tmp_path / "page.html", study="s", scorers=SCORERS)
    head, columns = unpacked(tmp_path / "page.html")
    assert (columns["second:outcome"] / head["scales"]["second:outcome"]).tolist() == [1.0, 0.5, 0.0, 1.0, -12.8]
    assert columns["second:outcome"].tolist()[4] == -128  # the lowest number of its kind


def test_a_pair_given_twice_is_refused() -> None:
    pairs = pd.concat([make_pairs(), make_pairs().iloc[[1]]], ignore_index=True)
    with pytest.raises(InputError, match="prompt_id 'hat/red', control_kind 'without', sample 1, .* appears twice"):
        explorer_rows(pairs, make_prompts(), make_texts())


def more_of_the_control() -> pd.DataFrame:
    """Two more texts of hat/red's control, which its first sample meets."""
    first = (
        make_pairs().iloc[[0, 0]].assign(sample_control=[2, 4], text_control=["a boat.", "tea."], outcome=[0.0, 0.5])
    )
    return explorer_rows(pd.concat([make_pairs(), first], ignore_index=True), make_prompts(), make_texts())


def test_a_text_weighs_as_much_however_many_texts_of_the_control_it_meets() -> None:
    rows = more_of_the_control()
    without = rows[rows["control_kind"] == "without"]
    assert without.groupby(["prompt_id", "sample"])["weight"].sum().tolist() == [1.0, 0.5, 0.5]
    assert without["weight"].tolist() == pytest.approx([1 / 6, 0.5, 1, 1 / 6, 1 / 6])
    assert make_rows()["weight"].tolist() == [0.5, 0.5, 0.5, 1.0, 1.0]


@pytest.mark.browser
@needs_chromium
def test_a_pair_is_found_by_both_its_samples_where_they_differ(tmp_path: Path) -> None:
    path = tmp_path / "explorer.html"
    write_explorer(more_of_the_control(), path, study="s", scorers=["first"])
    script = """
      const current = document.querySelector(".sample.current").textContent;
      const boxes = [...document.querySelectorAll(".sample .quiet:first-child")].map(node => node.textContent);
      const head = csvText(shown).split("\\r\\n")[0].split(",");
      return [current, boxes, location.hash, head.slice(0, 6)];
    """
    dom = rendered_dom(with_script(path, script), "open=m/p/hat/red/without/0-4")
    current, boxes, address, columns = json.loads(element_text(dom, "probe"))
    assert "tea." in current
    assert any(text.startswith("sample 0, control's sample 4") for text in boxes)
    assert address.endswith("hat%2Fred%2Fwithout%2F0-4") or address.endswith("hat/red/without/0-4")
    assert columns == ["model", "prompt_set", "prompt_id", "control_kind", "sample", "sample_control"]


def make_thoughts() -> pd.DataFrame:
    """Thoughts before the texts of `hat/red` and its first control; other texts have none that is known."""
    rows = [("hat/red", 0, "They <like> red."), ("hat/red", 1, ""), ("hat/without", 0, "No color.")]
    table = pd.DataFrame(rows, columns=["prompt_id", "sample", "thought"])
    return table.assign(model="m", prompt_set="p", text="whatever")


def test_thoughts_stand_beside_the_texts_of_both_sides() -> None:
    rows = explorer_rows(make_pairs(), make_prompts(), make_texts(), make_thoughts())
    assert rows["thought_test"].fillna("-").tolist() == ["They <like> red.", "", "They <like> red.", "-", "-"]
    assert rows["thought_control"].fillna("-").tolist() == ["No color.", "-", "-", "No color.", "-"]
    assert not {"thought_test", "thought_control"} & set(make_rows())


@needs_chromium
def test_a_thought_is_folded_beside_its_text(tmp_path: Path) -> None:
    path = tmp_path / "explorer.html"
    rows = explorer_rows(make_pairs(), make_prompts(), make_texts(), make_thoughts())
    write_explorer(rows, path, study="s", scorers=["first"])
    script = """
      await readThoughts();
      const boxes = [...document.querySelectorAll(".sample.current details.thought")];
      return [boxes.map(box => [box.open, box.textContent]), csvText(shown).split("\\r\\n")[0]];
    """
    dom = rendered_dom(with_script(path, script), "open=m/p/hat/red/without/0")
    boxes, columns = json.loads(element_text(dom, "probe"))
    assert boxes == [[False, "thoughtThey <like> red."], [False, "thoughtNo color."]]
    assert ",identical,thought_test,thought_control,weight," in columns


def test_scorers_that_saw_different_texts_are_refused() -> None:
    second = make_pairs("second").assign(text_test="other")
    with pytest.raises(InputError, match="differs between scorers"):
        explorer_rows(pd.concat([make_pairs(), second], ignore_index=True), make_prompts(), make_texts())


def test_a_control_without_a_sentence_is_refused() -> None:
    prompts = make_prompts().query("prompt_id != 'hat/neutral'")
    with pytest.raises(InputError, match="pairs of p: got control_id 'hat/neutral'; allowed"):
        explorer_rows(make_pairs(), prompts, make_texts())


def test_a_scorer_that_no_pair_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got scorer 'third'"):
        write_explorer(make_rows(), tmp_path / "page.html", study="s", scorers=["third"])
    assert not list(tmp_path.iterdir())


def test_the_page_holds_every_column_and_its_order(page: Path) -> None:
    head, columns = unpacked(page)
    ends = np.cumsum(columns["texts.lengths"])
    whole = columns["texts.text"].tobytes().decode()
    texts = [whole[end - length : end] for end, length in zip(ends, columns["texts.lengths"], strict=True)]
    assert len(texts) == len(set(texts))
    assert [texts[code] for code in columns["codes.text_test"]] == [
        "a poppy.",
        "Red roses.",
        "a poppy.",
        "the sea.",
        "",
    ]
    assert [texts[code] for code in columns["codes.text_control"]][2] == HOSTILE
    assert head["strings"]["category"] == []
    assert columns["codes.category"].tolist() == [0] * 5  # as many as there are: none
    assert columns["repetition"].tolist() == columns["identical"].tolist() == [0, 1, 0, 0, 0]
    assert columns["echo"].tolist() == [1, 0, 0, 0, 0]
    assert head["scorers"] == SCORERS
    similarity = columns["first:similarity_control"] / head["scales"]["first:similarity_control"]
    assert similarity.tolist() == [0.1, 0.5, 0.3, 0.7, -0.1]
    assert columns["first:similarity_control"].dtype == np.int8


@pytest.mark.parametrize(("value", "kind", "scale"), [(0.123, "i1", 1000), (1 / 3, "f8", 0), (-2500.5, "i2", 10)])
def test_numbers_are_kept_whole_or_as_they_are(tmp_path: Path, value: float, kind: str, scale: int) -> None:
    tests = pd.DataFrame(columns=["model", "prompt_set", "prompt_id", "sample", "text", "prompt", "concept"])
    tests = tests.assign(concept_group=None, unit=None, place=None, cell=None)
    partners = Partners(tests, dict.fromkeys(SCORERS, np.array([value, np.nan])))
    write_explorer(make_rows(), tmp_path / "page.html", study="s", scorers=SCORERS, partners=partners)
    head, columns = unpacked(tmp_path / "page.html", "similarities-1")
    found = columns["similarities"]
    assert (found.dtype, head["scale"]) == (np.dtype(kind), scale)
    assert found[0] / (scale or 1) == value
    assert np.isnan(found[1]) if kind == "f8" else found[1] == np.iinfo(found.dtype).min


def test_the_page_asks_for_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:", text)
    assert not re.search(r"<(link|iframe|img)\b|<script[^>]+src|@import|url\(", text)
    assert "default-src 'none'" in text


def test_a_text_cannot_end_the_element_that_holds_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2  # the data's and the program's own
    assert "onerror" not in text.replace(html.escape(HOSTILE), "")
    assert text.count("<!--") == TEMPLATE.read_text(encoding="utf-8").count("<!--")


def test_the_same_rows_give_the_same_bytes(page: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    write_explorer(make_rows(), again, study=f"tiny {HOSTILE}", scorers=SCORERS, metadata={"temperature": "0.5"})
    assert again.read_bytes() == page.read_bytes()


def test_a_failed_write_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writing.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_explorer(make_rows(), path, study="s", scorers=SCORERS)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "old"


@pytest.mark.browser
@needs_chromium
def test_the_page_opens_with_the_control_that_the_reported_rates_use(page: Path) -> None:
    dom = rendered_dom(page)
    # Three pairs against the control without the clause: leak, tie, leak.
    assert element_text(dom, "shown") == "3"
    assert element_text(dom, "total") == "5"
    assert element_text(dom, "rate") == "83.33 %"
    assert element_text(dom, "ties") == "33.33 %"


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models m and n on one set; n lacks the last prompt, and wrote two texts of its own."""
    other = make_pairs().assign(model="n").iloc[:4].replace({"the sea.": "Ein Café.", "Red roses.": "Ärger am Meer."})
    pairs = pd.concat([make_pairs(), other], ignore_index=True)
    pairs["category"] = "near"
    second = pairs.assign(scorer="second")
    rows = explorer_rows(pd.concat([pairs, second], ignore_index=True), make_prompts(), make_texts())
    path = tmp_path_factory.mktemp("two") / "explorer.html"
    write_explorer(rows, path, study="two", scorers=SCORERS, rates=with_rates())
    return path


@pytest.mark.browser
@needs_chromium
def test_the_headline_is_each_models_match_rate_and_only_where_it_applies(two_models: Path) -> None:
    fragments = ["", "model=n", "model=m&scorer=second", "model=m&category=near", "model=m&norep=1", "model=m&noecho=1"]
    fragments.append("q=concept:")  # a field without a word yet: all is listed
    hidden = ["q=sea", "outcome=leak", "group=red", "template=hat", "norep=1&noecho=1"]
    script = f"""
      const found = [];
      for (const fragment of {json.dumps(fragments + hidden)}) {{
        await at(fragment);
        found.push([[...document.querySelectorAll("#rates .rate")].map(node => node.textContent), text("unrated")]);
      }}
      return found;
    """
    found = shown(two_models, script)
    assert [rates for rates, _ in found[:7]] == [
        ["m75.0 %[69.5, 79.3]", "n55.0 %[69.5, 79.3]"],
        ["n55.0 %[69.5, 79.3]"],
        ["m60.0 %[54.5, 64.3]"],
        ["m80.0 %"],
        ["m61.0 %"],
        ["m–"],
        ["m75.0 %[69.5, 79.3]", "n55.0 %[69.5, 79.3]"],
    ]
    assert [why for _, why in found[:4]] == [""] * 4
    assert found[4][1] == "without literal repetitions: no interval"
    assert [rates for rates, _ in found[7:]] == [[]] * 5
    assert [why.split()[0] for _, why in found[7:]] == ["A", "Texts", "Match", "Match", "There"]
    assert "a search has none" in found[7][1]


@pytest.mark.browser
@needs_chromium
def test_texts_are_ordered_by_how_often_they_are_told_apart(page: Path) -> None:
    script = 'return [...document.querySelectorAll("#canvas .told")].map(node => node.textContent);'
    least = json.loads(element_text(rendered_dom(with_script(page, script), "sort=-match"), "probe"))
    most = json.loads(element_text(rendered_dom(with_script(page, script), "sort=match"), "probe"))
    assert (least, most) == (["50 %", "75 %", "100 %"], ["100 %", "75 %", "50 %"])


FILTERED = {
    "control=all": ("5", "70.00 %"),  # 1 + .5 + 0 + 1 + 1 of 5
    "control=neutral": ("2", "50.00 %"),
    "control=all&group=blue": ("2", "100.00 %"),
    "control=all&norep=1": ("4", "75.00 %"),
    "control=all&noecho=1": ("4", "62.50 %"),
    "control=all&scorer=second": ("5", "0.00 %"),
    "control=all&q=ROSES": ("1", "50.00 %"),
    "control=all&q=likes+the+sea.": ("2", "100.00 %"),  # three words, each anywhere
    "control=all&q=%22likes+the+sea.%22": ("2", "100.00 %"),  # across prompt and text, on either side
    "control=all&outcome=leak,none": ("4", "70.00 %"),  # an outcome filter does not touch the rate
    "q=zzz": ("0", "–"),
    "model=nobody": ("3", "83.33 %"),
}


@pytest.mark.browser
@needs_chromium
def test_an_address_filters_rows_and_rate(page: Path) -> None:
    script = f"""
      const found = [];
      for (const fragment of {json.dumps([*FILTERED])}) {{
        await at(fragment);
        found.push([["shown", "rate"].map(text), text("notice").includes("model “nobody”")]);
      }}
      return found;
    """
    found = shown(page, script)
    assert [tuple(texts) for texts, _ in found] == [*FILTERED.values()]
    assert [unknown for _, unknown in found] == [fragment == "model=nobody" for fragment in FILTERED]


SEARCHES = {
    "red sea": 1,  # hat is red ... the sea
    "RED  poppy": 2,
    "roses red sea": 0,
    "concept:blue": 2,
    "concept:blue sea": 2,
    "concept:red text:sea": 1,
    "prompt:sea": 0,
    'text:"the sea."': 2,
    'text:"sea the"': 0,
    "model:n": 3,
    "model:n cafe": 2,  # Café
    "arger": 1,  # Ärger
    "ÄRGER am": 1,
    'prompt:"hat is red" text:poppy': 2,
    '"hat. she likes ein"': 1,
    '"is blue. she likes ein caf': 1,  # a quote that is not closed ends with the search
    "concept:": 6,  # being typed
    "colour:red": 0,
    '"is: x"': 0,
}


@pytest.mark.browser
@needs_chromium
def test_a_search_finds_rows_with_all_its_words_in_their_fields(two_models: Path) -> None:
    script = f"""
      const found = [];
      for (const words of {json.dumps([*SEARCHES])}) {{
        await at(new URLSearchParams({{q: words}}));
        found.push([shown.length, $("nothing").hidden ? "" : $("nothing").textContent]);
      }}
      await at(new URLSearchParams({{q: "cafe"}}));
      found.push([...document.querySelectorAll("#canvas .hit")].map(node => node.textContent));
      return found;
    """
    *found, marked = shown(two_models, script)
    assert dict(zip(SEARCHES, (n for n, _ in found), strict=True)) == SEARCHES
    said = dict(zip(SEARCHES, (text for _, text in found), strict=True))
    allowed = "allowed: concept:, text:, prompt:, model:, or quotes around words with a colon"
    assert said["colour:red"] == f'Search: got the field “colour:”; {allowed}: "colour:red".'
    assert said['"is: x"'] == "No pair passes these filters."
    assert marked == ["Café", "Café"]


@pytest.mark.browser
@needs_chromium
def test_two_models_stand_next_to_each_other_prompt_by_prompt(two_models: Path) -> None:
    script = """
      const rows = () => [...document.querySelectorAll("#canvas .row")].map(row =>
        [...row.querySelectorAll(".sentence")].map(node => node.textContent));
      const heads = [...document.querySelectorAll("#columns span")].map(node => node.textContent);
      const rated = [...document.querySelectorAll("#rates .of")].map(node => node.textContent);
      const found = [rows(), heads, rated, text("leaks")];
      $("scroller").focus();
      press("ArrowDown"); press("Enter");
      found.push([...document.querySelectorAll("#detail .of-model")].map(node => node.textContent), location.hash);
      press("Escape");
      await at("beside=m&q=cafe");
      found.push(rows(), [state.facet.model, state.beside]);
      await at("model=m&beside=nobody");
      found.push(text("notice"));
      return found;
    """
    listed, heads, rated, leaks, panels, address, searched, models, notice = shown(
        two_models, script, "model=m&beside=n&control=all"
    )
    red, blue = "Her hat is red. She likes ", "Her hat is blue. She likes "
    assert listed == [
        [f"{red}a poppy.", f"{red}a poppy."],
        [f"{red}Red roses.", f"{red}Ärger am Meer."],
        [f"{red}a poppy.", f"{red}a poppy."],
        [f"{blue}the sea.", f"{blue}Ein Café."],
        ["Her hat is blue. She likes (empty)", "no text by this model"],
    ]
    assert heads[1:3] == ["1 · m: test prompt and text", "2 · n: test prompt and text"]
    assert (rated, leaks, panels) == (["m", "n"], "", ["m", "n"])
    assert address == "#model=m&control=all&beside=n&open=m%2Fp%2Fhat%2Fred%2Fwithout%2F0"
    # Found in a text of n, first where that is its control's.
    assert (searched, models) == ([[f"{red}a poppy."] * 2, [f"{blue}Ein Café.", f"{blue}the sea."]], [1, 0])
    assert "beside “nobody”" in notice


@pytest.mark.browser
@needs_chromium
def test_rows_are_picked_by_key_click_and_range_and_exported(two_models: Path) -> None:
    script = """
      $("scroller").focus();
      press("ArrowDown"); press(" ");
      press("ArrowDown", {shiftKey: true}); press("ArrowDown", {shiftKey: true});
      const ranged = [...picked], checked = document.querySelectorAll('[aria-checked="true"]').length;
      const click = (place, more) => document.querySelector(`#row-${place} .pick`)
        .dispatchEvent(new MouseEvent("click", {bubbles: true, ...more}));
      click(1); click(5, {shiftKey: true}); click(0);
      const clicked = [...picked].sort(), told = $("n-picked").textContent, opened = !$("detail").hidden;
      await at("model=n");
      const kept = [...picked].sort();
      const files = [csvText(picked), jsonlText([...picked])];
      $("unpick").click();
      await at("sort=-difference");
      const [last, , third] = shown;
      click(0); click(0);
      await at("sort=study");
      click([...shown].indexOf(third), {shiftKey: true});
      const from = [last, third].map(row => [...shown].indexOf(row)).sort((a, b) => a - b);
      const between = [...shown.slice(from[0], from[1] + 1)].sort();
      const sorted = [[...picked].sort(), between, shown[0] === last];
      $("unpick").click();
      return [ranged, checked, clicked, told, opened, kept, files, $("picked").hidden, sorted];
    """
    ranged, checked, clicked, told, opened, kept, (csv, jsonl), gone, (resorted, between, first) = shown(
        two_models, script
    )
    # In another order a range begins at the row that was picked last, wherever that now is.
    assert (resorted, first) == (between, False)
    assert len(between) > 1
    # Rows 2 and 4 have the other control; of the places 0 to 5 the rows are 0, 1, 3, 5, 6, 8.
    assert (ranged, checked) == ([0, 1, 3], 3)
    assert clicked == kept == [1, 3, 5, 6, 8]
    assert (told, opened, gone) == ("5", False, True)
    table = pd.read_csv(io.StringIO(csv))
    assert table["text_test"].tolist() == ["the sea.", "Red roses.", "a poppy.", "Ärger am Meer.", "Ein Café."]
    records = [json.loads(line) for line in jsonl.splitlines()]
    assert [record["text_test"] for record in records] == table["text_test"].tolist()
    assert records[0]["first:similarity_test"] == 0.8
    assert records[2]["first:match"] is None
    assert (records[2]["echo"], records[2]["sample"]) == (True, 0)


@pytest.mark.browser
@needs_chromium
def test_a_copied_link_opens_its_row_and_a_dead_one_says_so(two_models: Path) -> None:
    script = """
      const row = findRow("m/p/hat/blue/neutral/0"), link = linkTo(row), copied = [];
      Object.defineProperty(navigator, "clipboard", {value: {writeText: text => copied.push(text)}});
      $("scroller").focus();
      await at("control=all&open=m/p/hat/blue/neutral/0");
      press("c"); press("l");
      await wait(10);
      const said = text("said");
      await at(link.split("#")[1]);
      const there = [opened === row, shown[active] === row, $("notice").hidden];
      await at("model=nobody&open=m/p/hat/blue/without/7");
      return [copied, link, said, there, text("notice"), $("detail").hidden];
    """
    copied, link, said, there, notice, closed = shown(two_models, script)
    assert copied[0].splitlines()[:3] == [
        "blue · m/p/hat/blue/neutral/0",
        "test: Her hat is blue. She likes",
        "control: Her hat is small. She likes a poppy.",
    ]
    assert copied[0].splitlines()[3] == "first: told apart 75 %, similarity of test 0.350, of control −0.100, leak"
    assert copied[1] == link
    assert link.endswith("#model=m&set=p&control=neutral&scorer=first&open=m%2Fp%2Fhat%2Fblue%2Fneutral%2F0")
    assert said == "Copied the row's link."
    assert there == [True, True, True]
    assert notice.startswith("The address asks for model “nobody”")
    assert notice.endswith(
        "No row “m/p/hat/blue/without/7” in this page; "
        "it was model m, prompt set p, prompt hat/blue, control without, sample 7."
    )
    assert closed


@pytest.mark.browser
@needs_chromium
def test_names_are_in_the_order_of_the_study_and_stay_text(tmp_path: Path) -> None:
    """JavaScript would put numbers first, and has words of its own; `all` in an address is what is not filtered."""
    models, groups = ["1e5", "NA", "10", "9", "null", "007"], ["__proto__", "constructor", "2", "1", "all"]
    tables = [make_pairs("3.10").assign(model=model) for model in models]
    pairs = pd.concat(tables, ignore_index=True)
    pairs["concept_group"] = [groups[number % len(groups)] for number in range(len(pairs))]
    pairs["concept"] = "null"
    path = tmp_path / "explorer.html"
    write_explorer(explorer_rows(pairs, make_prompts(), make_texts()), path, study="007", scorers=["3.10"])
    script = """
      const selects = [...document.querySelectorAll("#facets select")];
      const texts = name => Array.from(selects.find(({id}) => id.endsWith(name)).options, ({text}) => text);
      return [...["model", "group", "scorer"].map(texts), ["shown", "title"].map(name => $(name).textContent),
        location.hash];
    """
    fragment = "model=NA&group=all&control=all"
    found = json.loads(element_text(rendered_dom(with_script(path, script), fragment), "probe"))
    assert [name.split(" (")[0] for name in found[0]] == ["all", *models]
    assert [name.split(" (")[0] for name in found[1]] == ["all", *groups]
    assert found[2:] == [["3.10"], ["1", "007 · leakscope explorer"], f"#{fragment}"]


@pytest.mark.browser
@needs_chromium
def test_hostile_text_is_shown_as_text(page: Path) -> None:
    dom = rendered_dom(page, "control=all&open=m/p/hat/red/neutral/0")
    assert "<img" not in dom
    assert re.search(r"<title>tiny [^<]*</title>", dom)
    assert dom.count(html.escape(HOSTILE, quote=False)) >= 3  # heading, row, panel


@pytest.mark.browser
@needs_chromium
def test_marks_show_concept_text_and_search(page: Path) -> None:
    dom = rendered_dom(page, "q=poppy&group=red")
    assert '<span class="prompt concept">red</span>' in dom
    assert '<span class="text">a </span><span class="text hit">poppy</span>' in dom


@pytest.mark.browser
@needs_chromium
def test_rows_sort_by_difference(page: Path) -> None:
    script = "return Array.from(shown, row => data.scores[0].similarity_test[row]);"
    # Differences .8, 0, -.1, .1, .45 of the rows with test similarity .9, .5, .2, .8, .35.
    for sort, expected in [("difference", [0.9, 0.35, 0.8, 0.5, 0.2]), ("-difference", [0.2, 0.5, 0.8, 0.35, 0.9])]:
        dom = rendered_dom(with_script(page, script), f"control=all&sort={sort}")
        assert json.loads(element_text(dom, "probe")) == expected


@pytest.mark.browser
@needs_chromium
def test_the_panel_shows_all_samples_of_the_prompt_and_all_scorers(page: Path) -> None:
    dom = rendered_dom(page, "open=m/p/hat/red/without/1")
    panel = dom[dom.index('id="detail"') :]
    assert panel.count('class="sample') == 3  # two against one control, one against the other
    assert panel.count('class="sample current"') == 1
    assert "holds the concept literally · both texts are the same" in panel
    assert panel.count("<td>first</td>") == panel.count("<td>second</td>") == 3
    assert "Control: without clause (hat/without)" in panel
    assert "Control: neutral filler (hat/neutral)" in panel


@pytest.mark.browser
@needs_chromium
def test_keys_move_open_and_close(page: Path) -> None:
    script = """
      const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
      $("scroller").focus();
      press("ArrowDown"); press("ArrowDown"); press("Enter");
      const opened = location.hash, selected = document.querySelector('[aria-selected=true]').dataset.place;
      press("End");
      const last = location.hash;
      press("Escape");
      return [selected, opened, last, $("detail").hidden, location.hash];
    """
    selected, opened, last, hidden, closed = json.loads(element_text(rendered_dom(with_script(page, script)), "probe"))
    assert selected == "1"
    assert opened.endswith("open=m%2Fp%2Fhat%2Fred%2Fwithout%2F1")
    assert last.endswith("open=m%2Fp%2Fhat%2Fblue%2Fwithout%2F0")
    assert hidden
    assert "open" not in closed


@pytest.mark.browser
@needs_chromium
def test_controls_filter_and_write_the_address(page: Path) -> None:
    script = """
      const set = (name, value) => { $(name).value = value; $(name).dispatchEvent(new Event("change")); };
      set("facet-control", -1);
      $("norep").click();
      $("outcome-leak").click();
      $("search").value = "poppy";
      $("search").dispatchEvent(new Event("input"));
      await new Promise(done => setTimeout(done, 300));
      const narrowed = [$("shown").textContent, location.hash];
      $("reset").click();
      return [...narrowed, $("shown").textContent, location.hash];
    """
    # Of the leaks without repetition, two hold "poppy": the first, and the last in its control's text.
    found = json.loads(element_text(rendered_dom(with_script(page, script)), "probe"))
    assert found == ["2", "#control=all&outcome=leak&q=poppy&norep=1", "3", ""]


@pytest.mark.browser
@needs_chromium
def test_the_csv_holds_the_filtered_rows(page: Path) -> None:
    dom = rendered_dom(with_script(page, "return csvText(shown);"), "control=neutral")
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None
    table = pd.read_csv(io.StringIO(json.loads(html.unescape(found[1]))), keep_default_na=False)
    expected = make_rows().query("control_kind == 'neutral'")
    assert sorted(table.columns) == sorted(expected.columns)
    for name in ["prompt_id", "prompt", "control", "text_test", "text_control", "sample", "second:similarity_control"]:
        assert table[name].tolist() == expected[name].tolist()


@pytest.mark.browser
@needs_chromium
def test_fifty_thousand_rows_filter_by_address_and_few_are_in_the_document(large_page: Path) -> None:
    dom = rendered_dom(large_page, "model=m3")
    assert element_text(dom, "shown") == "10,000"
    assert element_text(dom, "total") == "50,000"
    assert (element_text(dom, "rate"), element_text(dom, "ties")) == ("62.50 %", "25.00 %")
    assert 0 < dom.count('role="option"') < 200
    # 123, 1233, 1238 and every fifth of 12300 to 12399.
    assert element_text(rendered_dom(large_page, "model=m3&q=%22text+123%22"), "shown") == "23"


@pytest.mark.browser
@needs_chromium
def test_the_last_of_fifty_thousand_rows_can_be_reached(large_page: Path) -> None:
    script = """
      $("scroller").focus();
      $("scroller").dispatchEvent(new KeyboardEvent("keydown", {key: "End", bubbles: true}));
      const row = $("row-49999"), box = row.getBoundingClientRect(), around = $("scroller").getBoundingClientRect();
      return [row.textContent.includes("text 49999."), box.bottom <= around.bottom + 3 && box.top >= around.top,
        document.querySelectorAll(".row").length < 200];
    """
    higher = "measure = () => {}; rowHeight = 200; $('list').style.setProperty('--row', '200px'); redraw();"
    for prelude in ("", higher):  # 50,000 rows of 200 px are more than the page lets an element measure
        dom = rendered_dom(with_script(large_page, prelude + script))
        assert json.loads(element_text(dom, "probe")) == [True, True, True]


@pytest.mark.browser
@needs_chromium
def test_a_study_without_pairs_says_so(tmp_path: Path) -> None:
    rows = explorer_rows(make_pairs().iloc[:0], make_prompts(), make_texts())
    assert len(rows) == 0
    write_explorer(rows, tmp_path / "page.html", study="empty", scorers=SCORERS)
    dom = rendered_dom(tmp_path / "page.html")
    assert element_text(dom, "nothing") == "This study has no pairs of texts."
    assert element_text(dom, "rate") == "–"


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (800, 900), (500, 844)])
def test_a_picture_of_the_page_is_not_blank_and_nothing_sticks_out(
    page: Path, tmp_path: Path, width: int, height: int
) -> None:
    screenshot(page, tmp_path / "page.png", width=width, height=height)
    picture = imread(tmp_path / "page.png")
    assert picture.shape[:2] == (height, width)
    assert picture[..., :3].std() > 0.05
    script = "return [document.documentElement.scrollWidth, innerWidth, $('scroller').clientHeight];"
    dom = rendered_dom(with_script(page, script), width=width, height=height)
    needed, given, list_height = json.loads(element_text(dom, "probe"))
    assert needed <= given
    assert list_height > 200


@pytest.mark.browser
@needs_chromium
def test_texts_run_in_the_direction_of_their_script_and_are_joined_as_it_joins_words(tmp_path: Path) -> None:
    rows = make_rows().head(3)
    read = ["הדלת {}. הגג הוא", "前门是{}的。屋顶的颜色是", "The door is {}. The roof is"]
    rows = rows.assign(concept=["אדום", "红色", "red"], text_test=["כחול.", "红色。", "blue."])
    rows["prompt"] = [text.format(concept) for text, concept in zip(read, rows["concept"], strict=True)]
    rows["control_kind"] = "without"
    path = tmp_path / "explorer.html"
    write_explorer(rows, path, study="s", scorers=SCORERS)
    script = """
      return [...document.querySelectorAll("#canvas .row")].map(row => {
        const node = row.querySelector(".sentence"), marks = [...node.querySelectorAll(".concept")];
        return [getComputedStyle(node).direction, node.textContent, marks.length];
      });
    """
    shown = json.loads(element_text(rendered_dom(with_script(path, script)), "probe"))
    assert shown == [
        ["rtl", "הדלת אדום. הגג הוא כחול.", 1],
        ["ltr", "前门是红色的。屋顶的颜色是红色。", 2],
        ["ltr", "The door is red. The roof is blue.", 1],
    ]
