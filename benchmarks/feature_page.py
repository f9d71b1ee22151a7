"""How large is the page of a dictionary of 25,000 features, and how soon does it show, find and open one?

Run: python benchmarks/feature_page.py [features] [--keep page.html]. Needs Chromium for the times in the page, which
come from its own performance.now(). Texts are drawn token by token, so nothing repeats as in a real corpus: the size is
an upper bound.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import find_chromium, logged_line
from leakscope.features.description.page import NUMBERS, SIDES, write_feature_page

VOCABULARY, WINDOW, PER_KIND, TOKENS = 50_257, 33, 10, 10
SYLLABLES = ["ka", "ro", "mi", "ten", "sol", "ur", "ba", "ne", "vi", "lo", "das", "pe", "shi", "gra", "on", "el"]
EXAMPLE = ["the", " nurse", " said", " that", " she", " was", " tired", ".", "\n", " Then", " he", " left"]
SAMPLED = 25  # plain JSON is written of one feature in this many, and multiplied
QUALITY = {
    "variance_unexplained": 0.12,
    "l0": 61.3,
    "dead_share": 0.03,
    "cross_entropy_recovered": 0.95,
    "bar": {"variance_unexplained": 0.4, "dead_share": 0.6, "cross_entropy_recovered": 0.7},
    "missed": [],
    "passes": True,
}

# Appended to a copy of the page: searches, sorts, scrolls and opens; logs its times.
PROBE = """
<script>
(async () => {
  const frame = () => new Promise(done => setTimeout(done, 0));
  while (!document.body.dataset.ready && $("notice").hidden) await frame();
  const times = {"first row, since the address was opened": performance.now(),
    "of that, unpacking and drawing": performance.getEntriesByName("load")[0].duration};
  const median = values => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  for (const [label, change] of [["search ' she'", () => state.q = " she"], ["search 'e'", () => state.q = "e"],
      ["sort by detection", () => { state.q = ""; memo.orders.clear(); state.sort = "detection"; }],
      ["sort by explanation", () => { memo.orders.clear(); state.sort = "explanation"; }]]) {
    const runs = [];
    for (let run = 0; run < 5; run++) {
      memo.query = null;
      change();
      const start = performance.now();
      update();
      document.body.offsetHeight;
      runs.push(performance.now() - start);
    }
    times[label] = median(runs);
  }
  const scrolls = [];
  for (let step = 0; step < 200; step++) {
    $("scroller").scrollTop = (step * 7919 % shown.length) * rowHeight;
    const start = performance.now();
    draw();
    document.body.offsetHeight;
    scrolls.push(performance.now() - start);
  }
  times["draw the rows after a jump, median"] = median(scrolls);
  times["draw the rows after a jump, longest"] = Math.max(...scrolls);
  const opens = [];
  for (let step = 0; step < 25; step++) {
    const start = performance.now(), row = step * 104729 % data.n;
    open(row);
    while ($("detail").dataset.feature !== String(data.features[row])) await frame();
    document.body.offsetHeight;
    opens.push(performance.now() - start);
  }
  times["open a feature, median"] = median(opens);
  times["open a feature, longest"] = Math.max(...opens);
  console.log("TIMES " + encodeURIComponent(JSON.stringify(times)));
})();
</script>
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("features", type=int, nargs="?", default=25_000)
    arguments.add_argument("--keep", type=Path, help="where the page is copied to")
    options = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    words = vocabulary()
    table, promoted, contexts = synthetic_dictionary(options.features, words)
    before = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "index.html"
        start = time.perf_counter()
        write_feature_page(
            page,
            table=table,
            promoted=promoted,
            contexts=contexts,
            manifest={"model": "gpt2", "layer": 8, "source": "hub", "n_features": options.features, "width": 768},
            quality=QUALITY,
            study="benchmark",
            dictionary="gpt2-l8",
            pages={"gpt2-l8": page.name, "gpt2-l9": "../gpt2-l9/index.html"},
        )
        seconds, size, plain = time.perf_counter() - start, page.stat().st_size, plain_size(table, promoted, contexts)
        logging.info("%d features, %d contexts of %d tokens", len(table), len(contexts), WINDOW)
        logging.info("page of %.1f MB, written in %.1f s; plain JSON %.0f MB, %.1f times that",
                     size / 1e6, seconds, plain / 1e6, plain / size)  # fmt: skip
        logging.info("memory at most %.2f GB, of which %.2f GB to make the tables", peak_memory(), before)
        if options.keep:
            shutil.copy(page, options.keep)
        if find_chromium():
            for name, duration in page_times(page).items():
                logging.info("%-42s %8.1f ms", name, duration)


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def page_times(page: Path) -> dict[str, float]:
    """Return the times that the probe measured inside the page, ms."""
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    times: dict[str, float] = json.loads(unquote(logged_line(probed, "TIMES ")))
    return times


def plain_size(table: pd.DataFrame, promoted: pd.DataFrame, contexts: pa.Table) -> int:
    """Return the bytes of the three tables as one JSON of records, numbers at the page's precision or a bit more."""
    part = contexts.filter(pa.array(contexts["feature"].to_numpy() % SAMPLED == 0)).to_pandas()
    part["activations"] = [[round(float(value), 3) for value in values] for values in part["activations"]]
    size = 0
    for frame in (table[table["feature"] % SAMPLED == 0], promoted[promoted["feature"] % SAMPLED == 0], part):
        size += len(frame.to_json(orient="records", double_precision=4, force_ascii=False).encode())
    return size * SAMPLED


def vocabulary(seed: int = 0) -> list[str]:
    """Return as many different words as GPT-2 has tokens, most of them with a blank before them."""
    rng = np.random.default_rng(seed)
    words = dict.fromkeys(EXAMPLE)
    while len(words) < VOCABULARY:
        word = "".join(rng.choice(SYLLABLES, rng.integers(1, 5)))
        words.setdefault((" " if rng.random() < 0.7 else "") + (word.capitalize() if rng.random() < 0.2 else word))
    return list(words)


def synthetic_dictionary(n: int, words: Sequence[str], seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pa.Table]:
    """Return the tables of ``n`` features: word frequencies as in a text (Zipf), sparse activations, 3 % dead."""
    rng = np.random.default_rng(seed)
    frequency = 1 / (np.arange(len(words)) + 2.7)
    frequency /= frequency.sum()
    dead = rng.random(n) < 0.03
    maximum = np.where(dead, 0, rng.lognormal(2, 0.6, n)).round(4)
    table = synthetic_table(rng, dead, maximum, words)
    ranks = np.tile(np.arange(1, TOKENS + 1), 2 * n)
    promoted = pd.DataFrame(
        {
            "feature": np.repeat(np.arange(n), 2 * TOKENS),
            "side": np.tile(np.repeat(SIDES, TOKENS), n),
            "rank": ranks,
            "token": np.array(words, dtype=object)[rng.integers(0, len(words), 2 * TOKENS * n)],
            "weight": np.tile(np.repeat([1.0, -1.0], TOKENS), n) * (3 - 0.2 * ranks) * rng.uniform(0.5, 1, len(ranks)),
        }
    )
    return table, promoted, synthetic_contexts(rng, np.flatnonzero(~dead), maximum, pa.array(words), frequency)


def synthetic_table(
    rng: np.random.Generator, dead: np.ndarray, maximum: np.ndarray, words: Sequence[str]
) -> pd.DataFrame:
    n = len(dead)
    drawn = np.array(words, dtype=object)[rng.integers(0, len(words), (n, TOKENS))]
    rate = np.where(dead, 0, 10 ** rng.normal(-2.5, 0.7, n)).clip(0, 1)
    table = pd.DataFrame({name: rng.lognormal(0, 1, n) for name in NUMBERS}).assign(
        feature=np.arange(n),
        dead=dead,
        maximum=maximum,
        firing_rate=rate,
        log10_rate=np.log10(rate.clip(1e-10)),
        n_firing=(rate * 50_000).astype(int),
        histogram=list((1000 * rng.random((n, 20)) * np.exp(-np.arange(20) / 3)).astype(int)),
        activating=[[] if is_dead else list(tokens) for is_dead, tokens in zip(dead, drawn, strict=True)],
    )
    for name, share in (("local", 1.0), ("judge", 0.02)):
        asked = (rng.random(n) < share) & ~dead
        labels = [", ".join(word.strip() for word in tokens[:5]) for tokens in drawn]
        table[f"explanation_{name}"] = [
            text if is_asked else None for text, is_asked in zip(labels, asked, strict=True)
        ]
        table[f"status_{name}"] = np.where(asked, "explained", np.where(dead, "dead", "not asked"))
        table[f"detection_{name}"] = np.where(asked, rng.beta(8, 2, n), np.nan)
    return table


def synthetic_contexts(
    rng: np.random.Generator, alive: np.ndarray, maximum: np.ndarray, words: pa.Array, frequency: np.ndarray
) -> pa.Table:
    """Return for each feature ten top contexts and ten others, each of 33 tokens of which one in eight fires."""
    feature = np.repeat(alive, 2 * PER_KIND)
    rank = np.tile(np.arange(PER_KIND), 2 * len(alive))
    top = np.tile(np.repeat([True, False], PER_KIND), len(alive))
    activation = (maximum[feature] * np.where(top, 1 - 0.03 * rank, 1 - 0.1 * rank)).astype(np.float32)
    values = rng.random((len(feature), WINDOW), dtype=np.float32)
    values = np.where(values < 1 / 8, values * 8, 0) * activation[:, None]
    values[:, WINDOW // 2] = activation
    # By inversion, which numpy's own choice() does in ten times the memory.
    codes = np.searchsorted(frequency.cumsum(), rng.random(values.size)).clip(max=len(words) - 1).astype(np.int32)
    starts = pa.array(np.arange(len(feature) + 1, dtype=np.int32) * WINDOW)
    return pa.table(
        {
            "feature": feature,
            "kind": pa.array(np.where(top, "top", "quantile")),
            "rank": rank + 1,
            "document": rng.integers(0, 2000, len(feature)),
            "position": rng.integers(1, 128, len(feature)),
            "activation": activation,
            "tokens": pa.ListArray.from_arrays(starts, words.take(pa.array(codes))),
            "activations": pa.ListArray.from_arrays(starts, pa.array(values.ravel())),
            "peak": np.full(len(feature), WINDOW // 2),
        }
    )


if __name__ == "__main__":
    main()
