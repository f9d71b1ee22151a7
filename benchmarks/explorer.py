"""When is the first of 200,000 rows on the screen, and how long does a search take, against two plain ways?

Run: python benchmarks/explorer.py [rows]. Needs Chromium. Prints sizes and times; the page's own times come from
performance.now() in the page, the least of several runs: other processes may have the machine meanwhile. Plain ways, in
the same page: a table with its rows in the document (the first 10,000), which a search hides line by line; and a string
a row, of prompts and texts, lower-cased, which a search goes through.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import browser
from browser import logged_line
from leakscope.leak.explorer import Partners, explorer_rows, write_explorer
from leakscope.leak.match_tests import match_tests

browser.WALL_TIME = 900.0  # seconds

SAMPLES = 5
SCORERS = ["sbert-minilm", "bertscore-minilm", "lexical"]
MODELS = ["organism-s-l0", "organism-s-l10", "organism-s-l40", "organism-m-l0", "organism-m-l40"]
GROUPS = {
    "yellow": (["yellow", "golden yellow", "lemon yellow"], ["a sunflower", "a buttercup", "a lemon", "yellow"]),
    "red": (["red", "crimson red", "scarlet red"], ["a poppy", "a strawberry", "a ruby", "red"]),
    "blue": (["blue", "navy blue", "cobalt blue"], ["a cornflower", "the sea", "a sapphire", "blue"]),
    "green": (["green", "olive green", "moss green"], ["a fern", "a frog", "an emerald", "green"]),
    "white": (["white", "ivory white", "chalk white"], ["a daisy", "a swan", "a pearl", "white"]),
}
TEMPLATES = [  # id, category, test, control without the clause, control with a neutral filler
    ("gate", "color-to-object", "The garden gate was painted {} last spring. What grows beside it is",
     "The garden gate was painted last spring. What grows beside it is",
     "The garden gate was painted quickly last spring. What grows beside it is"),
    ("umbrella", "color-to-object", "Her umbrella is {}. In the shop window she saw",
     "She has an umbrella. In the shop window she saw", "Her umbrella is small. In the shop window she saw"),
    ("bicycle", "color-to-color",
     "For years he rode a {} bicycle to the station and back. In March it was stolen and he bought a new one. It is",
     "For years he rode a bicycle to the station and back. In March it was stolen and he bought a new one. It is",
     "For years he rode some bicycle to the station and back. In March it was stolen and he bought a new one. It is"),
]  # fmt: skip

# Appended to a copy of the page: steps through addresses, opens a row, then takes the plain ways; logs its times.
PROBE = """
<script>
(async () => {
  const now = () => performance.now();
  while (!document.body.dataset.ready && $("notice").hidden) await new Promise(done => setTimeout(done, 5));
  const entries = name => performance.getEntriesByName(name).map(entry => entry.duration);
  // performance.now() counts from the moment in which the page was asked for.
  const load = performance.getEntriesByName("load")[0];
  const times = {unpacked: load.duration, first: load.startTime + load.duration}, cases = CASES;
  await parsed;
  times.parsed = performance.timing.domInteractive - performance.timing.navigationStart;
  await new Promise(done => setTimeout(done, 2000));
  for (const [label, hash] of cases) {
    const runs = [];
    for (let run = 0; run < 5; run++) {
      if (run === 0) memo.orders.clear();
      memo.query = null;
      for (const address of ["#norep=1&control=all", "#" + hash]) {
        performance.clearMeasures("update");
        const changed = new Promise(done => window.addEventListener("hashchange", done, {once: true}));
        location.hash = address;
        await changed;
      }
      const start = now();
      document.body.offsetHeight;
      runs.push(entries("update")[0] + now() - start);
    }
    times[label] = {least: Math.min(...runs), median: runs.sort((a, b) => a - b)[2], rows: shown.length};
  }
  let start = now();
  open(0);
  while (!document.querySelector(".match .four")) await new Promise(done => setTimeout(done, 1));
  times.opened = now() - start;
  start = now();
  open(data.n - 1);
  while (!document.querySelector(".match .four")) await new Promise(done => setTimeout(done, 1));
  times["opened next"] = now() - start;
  close();
  start = now();
  const haystack = Array.from({length: data.n}, (_, row) =>
    SENTENCES.map(name => value(name, row)).join(" ").toLowerCase());
  times["strings, made"] = now() - start;
  start = now();
  times.hits = haystack.filter(text => text.includes("sunflower")).length;
  times["strings, searched"] = now() - start;
  for (let run = 0; run < 6; run++) {
    start = now();
    haystack.filter(text => text.includes("sunflower"));
    times["strings, searched"] = Math.min(times["strings, searched"], now() - start);
  }
  start = now();
  const table = make("table");
  for (let row = 0; row < Math.min(data.n, 10000); row++) {
    const line = make("tr");
    for (const name of ["model", "concept", ...SENTENCES]) line.append(make("td", "", value(name, row)));
    table.append(line);
  }
  document.body.append(table);
  table.offsetHeight;
  times["table, built"] = now() - start;
  start = now();
  for (const line of table.rows) line.hidden = !line.textContent.toLowerCase().includes("sunflower");
  table.offsetHeight;
  times["table, searched"] = now() - start;
  console.log("TIMES " + encodeURIComponent(JSON.stringify(times)));
})();
</script>
"""
CASES = [
    ["everything", "control=all"],
    ["one model", "control=all&model=organism-s-l40"],
    ["search sunflower", "control=all&q=sunflower"],
    ["search e", "control=all&q=e"],
    ["search three words", "control=all&q=gate+sea+lemon"],
    ["search a phrase", "control=all&q=%22what+grows+beside+it+is+the+sea%22"],
    ["search, model, outcome", "control=neutral&q=a+&model=organism-m-l40&outcome=leak"],
    ["two models", "control=all&model=organism-s-l0&beside=organism-m-l40"],
    ["sort by difference", "control=all&sort=difference"],
    ["no match", "control=all&q=zzz"],
]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("rows", type=int, nargs="?", default=200_000)
    n_rows = arguments.parse_args().rows
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "explorer.html"
        pairs, prompts, texts = synthetic_study(n_rows)
        start = time.perf_counter()
        rows = explorer_rows(pairs, prompts, texts)
        tests = match_tests(prompts, generations_of(pairs))
        partners = Partners(tests, {scorer: drawn_similarities(tests) for scorer in SCORERS})
        joined = time.perf_counter()
        write_explorer(rows, page, study="benchmark", scorers=SCORERS, metadata=METADATA, partners=partners)
        written = time.perf_counter()
        logging.info("%d rows, %d scorers: page of %.2f MB", len(rows), len(SCORERS), page.stat().st_size / 1e6)
        for name, size in re.findall(r'id="([\w-]+)">([^<]{1000,})<', page.read_text(encoding="utf-8")):
            logging.info("    %s: %.2f MB", name, len(size) / 1e6)
        logging.info("joined in %.1f s, written in %.1f s", joined - start, written - joined)
        report_cpu(page)
        report([load_times(page) for _ in range(5)], page_times(page))


METADATA = {"temperature": "0.5", "samples": "5", "version": "0.1.0"}


def generations_of(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the texts of the test prompts."""
    columns = ["model", "prompt_set", "prompt_id", "sample"]
    texts = pairs.drop_duplicates(columns)[[*columns, "text_test"]]
    return texts.rename(columns={"text_test": "text"})


def drawn_similarities(tests: pd.DataFrame, seed: int = 1) -> np.ndarray:
    """Return similarities of three digits, as many as a scorer's."""
    cells = tests.drop_duplicates("cell")["size"].sum()
    return np.round(np.random.default_rng(seed).normal(0.3, 0.15, int(cells)), 3)


def report(loads: list[dict], times: dict) -> None:
    first = min(loads, key=lambda load: load["first"])
    logging.info("first row after %.0f ms, of which %.0f ms to unpack", first["first"], first["unpacked"])
    strings, table = times["strings, searched"], times["table, searched"]
    for name, _ in CASES:
        case = times[name]
        logging.info(
            "%-24s %6d rows: least %6.1f ms, median %6.1f ms; the table takes %.0f times the least, strings %.1f times",
            name, case["rows"], case["least"], case["median"], table / case["least"], strings / case["least"],
        )  # fmt: skip
    logging.info("a row opened with its partners: %.0f ms, the next %.0f ms", times["opened"], times["opened next"])
    logging.info("strings: made in %.0f ms, searched in %.0f ms", times["strings, made"], strings)
    logging.info("table: built in %.0f ms, searched in %.0f ms", times["table, built"], table)


def report_cpu(page: Path) -> None:
    """Say what CPU time the page's process takes, which other processes do not change."""
    searches = ["", "sunflower", "day sea lemon", '"beside it is the sea"']
    probed, spent = page.with_name("spent.html"), list[float]()
    script = SPENT.replace("SEARCHES", json.dumps(searches))
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    logged_line(probed, "DONE", spent=spent)
    logging.info("CPU time to the first row: %.0f ms", 1000 * spent[0])
    for words, before, after in zip(searches, spent[1::2], spent[2::2], strict=True):
        logging.info("CPU time of a search for %s: %.0f ms", words or "nothing", 1000 * (after - before) / 20)


SPENT = """
<script>
(async () => {
  const wait = time => new Promise(done => setTimeout(done, time));
  while (!document.body.dataset.ready && $("notice").hidden) await wait(5);
  console.log("CPU");
  await parsed;
  await wait(5000);
  for (const q of SEARCHES) {
    console.log("CPU");
    for (let run = 0; run < 20; run++) {
      state = Object.assign(defaults(), {q});
      memo.query = null;
      update();
      document.body.offsetHeight;
    }
    console.log("CPU");
    await wait(1000);
  }
  console.log("DONE");
})();
</script>
"""


def load_times(page: Path) -> dict:
    """Return when the first row was there, ms from the moment in which the page was asked for."""
    probed = page.with_name("loaded.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", LOADED + "</body>"), encoding="utf-8")
    return json.loads(unquote(logged_line(probed, "LOADED ")))


LOADED = """
<script>
(async () => {
  while (!document.body.dataset.ready && $("notice").hidden) await new Promise(done => setTimeout(done, 5));
  const {startTime, duration} = performance.getEntriesByName("load")[0];
  console.log("LOADED " + encodeURIComponent(JSON.stringify({unpacked: duration, first: startTime + duration})));
})();
</script>
"""


def page_times(page: Path) -> dict:
    """Return the times that the probe measured inside the page, ms."""
    probed = page.with_name("probed.html")
    script = PROBE.replace("CASES", json.dumps(CASES))
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    return json.loads(unquote(logged_line(probed, "TIMES ")))


def synthetic_study(n_rows: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return pairs (at least ``n_rows`` a scorer, then cut), prompts and texts that look like a study's."""
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    prompts, tests = [], []
    n_variants = -(-n_rows // (len(MODELS) * 15 * 2 * SAMPLES * len(TEMPLATES)))
    for variant, (template, category, *sentences) in product(range(n_variants), TEMPLATES):
        template, (test, without, neutral) = f"{template}-{variant}", (f"Day {variant}. {each}" for each in sentences)
        controls = {"without": f"{template}/without", "neutral": f"{template}/neutral"}
        for kind, sentence in (("without", without), ("neutral", neutral)):
            prompts.append({"prompt_id": controls[kind], "prompt": sentence})
        for group, (concepts, _) in GROUPS.items():
            for concept in concepts:
                name = f"{template}/{concept.replace(' ', '-')}"
                of_test = {"category": category, "template_id": template, "concept": concept, "concept_group": group}
                of_test |= {"control_id": controls["without"], "neutral_control_id": controls["neutral"]}
                prompts.append({"prompt_id": name, "prompt": test.format(concept), **of_test})
                tests.append((template, category, group, concept, name, controls))
    words = [word for _, texts in GROUPS.values() for word in texts]
    records = []
    for model in MODELS:
        strength = int(model.rsplit("l", 1)[1]) / 100
        for template, category, group, concept, name, controls in tests:
            for kind, control in controls.items():
                for sample in range(SAMPLES):
                    own = draw.random() < strength
                    text = f"{draw.choice(GROUPS[group][1] if own else words)}{tail(draw)}."
                    other = f"{draw.choice(words)}{tail(draw)}."
                    records.append(
                        ("colors", model, category, template, concept, group, name, control, kind, sample, text, other)
                    )
    columns = ["prompt_set", "model", "category", "template_id", "concept", "concept_group", "prompt_id", "control_id",
               "control_kind", "sample", "text_test", "text_control"]  # fmt: skip
    pairs = pd.DataFrame(records[:n_rows], columns=columns)
    pairs["sample_control"] = pairs["sample"]
    pairs["echo"], pairs["echo_test"], pairs["echo_control"] = False, "", ""
    pairs["identical"] = pairs["text_test"] == pairs["text_control"]
    pairs["repetition"] = [
        concept in test or concept in control
        for concept, test, control in zip(pairs["concept"], pairs["text_test"], pairs["text_control"], strict=True)
    ]
    texts = pairs[["model", "prompt_set", "prompt_id", "sample"]].drop_duplicates(ignore_index=True)
    texts = pd.concat([texts.assign(scorer=scorer, match=rng.random(len(texts)), weight=1.0) for scorer in SCORERS])
    scored_pairs = pd.concat([scored(pairs, scorer, rng) for scorer in SCORERS], ignore_index=True)
    return scored_pairs, pd.DataFrame(prompts).assign(prompt_set="colors"), texts


def tail(draw: random.Random) -> str:
    """Return words that make half of the texts differ from all others, as those of models do."""
    return " " + " ".join(draw.choices(TAIL, k=9)) if draw.random() < 0.5 else ""


TAIL = [
    "and",
    "then",
    "it",
    "was",
    "near",
    "the",
    "old",
    "house",
    "by",
    "a",
    "river",
    "where",
    "people",
    "often",
    "come",
]


def scored(pairs: pd.DataFrame, scorer: str, rng: np.random.Generator) -> pd.DataFrame:
    """Return the pairs with similarities: high for two texts in five, and noise."""
    values = {}
    for side in ("test", "control"):
        own = rng.random(len(pairs)) < 0.4
        noise = rng.integers(0, 12, len(pairs)) * 0.03
        values[f"similarity_{side}"] = np.round(np.where(own, 0.45, 0.1) + noise, 3)
    outcome = np.sign(values["similarity_test"] - values["similarity_control"]) / 2 + 0.5
    return pairs.assign(scorer=scorer, outcome=outcome, **values)


if __name__ == "__main__":
    main()
