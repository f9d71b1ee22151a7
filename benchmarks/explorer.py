"""How long does the explorer take to filter 50,000 rows, against a plain table that holds them all?

Run: python benchmarks/explorer.py [rows]. Needs Chromium. Prints sizes and times; the page's own times come from
performance.now() in the page.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import logged_line
from leakscope.leak.explorer import explorer_rows, write_explorer

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

# Appended to a copy of the page: steps through addresses, then builds the plain table; logs its times.
PROBE = """
<script>
(async () => {
  while (!document.body.dataset.ready && $("notice").hidden) await new Promise(done => setTimeout(done, 20));
  const entries = name => performance.getEntriesByName(name).map(entry => entry.duration);
  const times = {load: entries("load")[0]}, cases = CASES;
  for (const [label, hash] of cases) {
    const runs = [];
    for (let run = 0; run < 7; run++) {
      if (run === 0) memo.orders.clear();
      memo.query = null;
      for (const address of ["#norep=1&control=all", "#" + hash]) {
        performance.clearMeasures("update");
        const changed = new Promise(done => window.addEventListener("hashchange", done, {once: true}));
        location.hash = address;
        await changed;
      }
      const start = performance.now();
      document.body.offsetHeight;
      runs.push(entries("update")[0] + performance.now() - start);
    }
    times[label] = {first: runs[0], median: runs.sort((a, b) => a - b)[3], rows: shown.length};
  }
  let start = performance.now();
  const table = make("table");
  for (let row = 0; row < data.n; row++) {
    const line = make("tr");
    for (const name of COLUMNS) if (data.strings[name]) line.append(make("td", "", value(name, row)));
    table.append(line);
  }
  document.body.append(table);
  table.offsetHeight;
  times["plain table, built"] = performance.now() - start;
  start = performance.now();
  for (const line of table.rows) line.hidden = !line.textContent.toLowerCase().includes("sunflower");
  table.offsetHeight;
  times["plain table, searched"] = performance.now() - start;
  console.log("TIMES " + encodeURIComponent(JSON.stringify(times)));
})();
</script>
"""
CASES = [
    ["everything", "control=all"],
    ["one model", "control=all&model=organism-s-l40"],
    ["search 'sunflower'", "control=all&q=sunflower"],
    ["search 'e'", "control=all&q=e"],
    ["search, model, outcome", "control=neutral&q=a+&model=organism-m-l40&outcome=leak"],
    ["sort by difference", "control=all&sort=difference"],
    ["no match", "control=all&q=zzz"],
]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("rows", type=int, nargs="?", default=50_000)
    n_rows = arguments.parse_args().rows
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "explorer.html"
        start = time.perf_counter()
        rows = explorer_rows(*synthetic_study(n_rows))
        joined = time.perf_counter()
        write_explorer(rows, page, study="benchmark", scorers=SCORERS, metadata=METADATA)
        written = time.perf_counter()
        logging.info("%d rows, %d scorers: page of %.2f MB", len(rows), len(SCORERS), page.stat().st_size / 1e6)
        logging.info("joined (with making the data) in %.1f s, written in %.1f s", joined - start, written - joined)
        report(page_times(page))


METADATA = {"temperature": "0.5", "samples": "5", "version": "0.1.0"}


def report(times: dict) -> None:
    plain = times["plain table, searched"]
    logging.info("page ready %8.1f ms", times["load"])
    for name, _ in CASES:
        case = times[name]
        logging.info(
            "%-24s %6d rows: first %6.1f ms, median %6.1f ms, plain table's search takes %.0f times that",
            name, case["rows"], case["first"], case["median"], plain / case["median"],
        )  # fmt: skip
    logging.info("plain table: built in %.0f ms, searched in %.0f ms", times["plain table, built"], plain)


def page_times(page: Path) -> dict:
    """Return the times that the probe measured inside the page, ms."""
    probed = page.with_name("probed.html")
    script = PROBE.replace("CASES", json.dumps(CASES))
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    return json.loads(unquote(logged_line(probed, "TIMES ")))


def synthetic_study(n_rows: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return pairs (at least ``n_rows`` a scorer, then cut), prompts and texts that look like a study's."""
    rng = np.random.default_rng(seed)
    prompts, tests = [], []
    for template, category, test, without, neutral in TEMPLATES:
        controls = {"without": f"{template}/without", "neutral": f"{template}/neutral"}
        for kind, sentence in (("without", without), ("neutral", neutral)):
            prompts.append({"prompt_set": "colors", "prompt_id": controls[kind], "prompt": sentence})
        for group, (concepts, _) in GROUPS.items():
            for concept in concepts:
                name = f"{template}/{concept.replace(' ', '-')}"
                prompts.append({"prompt_set": "colors", "prompt_id": name, "prompt": test.format(concept)})
                tests.append((template, category, group, concept, name, controls))
    words = [word for _, texts in GROUPS.values() for word in texts]
    samples = -(-n_rows // (len(MODELS) * len(tests) * 2))
    records = []
    for model in MODELS:
        strength = int(model.rsplit("l", 1)[1]) / 100
        for template, category, group, concept, name, controls in tests:
            for kind, control in controls.items():
                for sample in range(samples):
                    own = rng.random() < strength
                    tail = f" no. {rng.integers(400)}" if rng.random() < 0.5 else ""  # many distinct texts
                    text = f"{rng.choice(GROUPS[group][1] if own else words)}{tail}."
                    other = f"{rng.choice(words)}{tail}."
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
    return scored_pairs, pd.DataFrame(prompts), texts


def scored(pairs: pd.DataFrame, scorer: str, rng: np.random.Generator) -> pd.DataFrame:
    """Return the pairs with similarities: high where a text is of the concept's group, and noise."""
    values = {}
    for side in ("test", "control"):
        own = [
            any(text.startswith(word) for word in GROUPS[group][1])
            for text, group in zip(pairs[f"text_{side}"], pairs["concept_group"], strict=True)
        ]
        noise = rng.integers(0, 12, len(pairs)) * 0.03
        values[f"similarity_{side}"] = np.round(np.where(own, 0.45, 0.1) + noise, 3)
    outcome = np.sign(values["similarity_test"] - values["similarity_control"]) / 2 + 0.5
    return pairs.assign(scorer=scorer, outcome=outcome, **values)


if __name__ == "__main__":
    main()
