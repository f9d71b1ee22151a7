"""How much faster does leakscope count pairs of terms in a corpus than term by term, and are the counts the same?

    python benchmarks/counting.py [--megabytes 100] [--every 40] [--markdown] [--quick]

About two minutes. Counts, in windows of 10, 50, 100 and 250 words, all pairs of a disease and a group (race, gender) of
data/ground/medical/ in made documents of a few hundred to some thousand words. Each way in a process of its own, on one
core, texts in memory:

* "term by term": as in the published code, each document is searched for each concept by a regular expression, and
  split again at each match to find its words;
* "ours": ``leakscope.counting.cooccurrence.count_documents``, all terms in one pass.

Then ours from the file to the counts, by format and by size. The first way counts every 40th document only. The exit
status is 1 where counts of pairs of mentions differ, among concepts no term of which is part of a longer one (there,
only ours takes the longest).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import disturbed, in_own_process, machine, note, say, table

SLOW, OURS = "term by term", "ours"
MEGABYTES, EVERY, QUICK_MEGABYTES = 100, 40, 20


def compare(path: Path, every: int, *, markdown: bool) -> bool:
    """Measure both ways, print what came out and return whether the counts agree."""
    note(SLOW)
    slow = count(path, every, ours=False)
    note(OURS)
    same, ours = count(path, every, ours=True), count(path, 1, ours=True)
    header = ["", "MB of text", "seconds", "MB a second", "time, ours = 1"]
    rows = [[way, *rate(one), f"{speed(ours) / speed(one):.1f}"] for way, one in ((SLOW, slow), (OURS, ours))]
    say(f"\nTexts in memory, one core\n\n{table(header, rows, markdown=markdown)}")
    agree = bool(slow["mentions"] == same["mentions"])
    n_seen = sum(n for *_, n in slow["mentions"])
    verdict = "equal" if agree else "DIFFERENT"
    say(f"\nCounts of {len(slow['mentions'])} pairs and windows, {n_seen} pairs of mentions: {verdict}.")
    for remark in disturbed({SLOW: slow["others"], OURS: ours["others"]}):
        say(f"\n{remark}")
    return agree


def count(path: Path, every: int, *, ours: bool) -> dict[str, Any]:
    """Let a process count every so manyth document."""
    arguments = {"ours": ours, "path": str(path), "every": every}
    return in_own_process("counting_ways:measure_counting", arguments, threads=1)


def read(folder: Path, *, markdown: bool) -> None:
    """Print how fast ours is from the file to the counts, and the memory that it takes."""
    names = ["small.jsonl", "corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"]
    measured = {}
    for name in names:
        note(name)
        measured[name] = in_own_process("counting_ways:measure_reading", {"path": str(folder / name)}, threads=1)
    header = ["", "MB of text", "seconds", "MB a second", "MB of memory at most"]
    rows = [[name, *rate(one), f"{one['peak_mb']:.0f}"] for name, one in measured.items()]
    say(f"\nFrom the file to the counts, one core\n\n{table(header, rows, markdown=markdown)}")
    for remark in disturbed({name: one["others"] for name, one in measured.items()}):
        say(f"\n{remark}")


def speed(measured: Mapping[str, Any]) -> float:
    """Return the megabytes of text that are counted in a second."""
    return float(measured["megabytes"] / measured["seconds"])


def rate(measured: Mapping[str, Any]) -> list[str]:
    """Return the cells of what was counted in which time."""
    return [f"{measured['megabytes']:.1f}", f"{measured['seconds']:.2f}", f"{speed(measured):.2f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help=f"of the corpus (default: {MEGABYTES})")
    parser.add_argument("--every", type=int, default=EVERY, help="count every so manyth document term by term")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--quick", action="store_true", help=f"--megabytes {QUICK_MEGABYTES}: to see that it works")
    options = parser.parse_args(arguments)
    megabytes = QUICK_MEGABYTES if options.quick else options.megabytes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        note("a corpus is made")
        made = in_own_process("counting_ways:make_corpus", {"folder": name, "megabytes": megabytes}, threads=1)
        say(f"{machine()}; {made['versions']}")
        concepts = ", ".join(f"{n} of {lexicon}" for lexicon, n in made["n_concepts"].items())
        say(f"{made['n_documents']} documents, {made['megabytes']:.0f} MB; {concepts}; {made['n_terms']} terms")
        agree = compare(folder / "corpus.jsonl", options.every, markdown=options.markdown)
        read(folder, markdown=options.markdown)
    return int(not agree)


if __name__ == "__main__":
    raise SystemExit(main())
