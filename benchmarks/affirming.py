"""How much faster does leakscope score what a model generates and affirms than one prompt a forward, and alike?

    python benchmarks/affirming.py [--every 20] [--shape small] [--markdown] [--quick]

A few minutes on two cores. Scores the items of a realistic study, 100 hyponyms × 10 candidates, each with a generator
prompt and a validator prompt, zero-shot and with examples, with a random model of Qwen2's architecture, in two ways,
each in a process of its own with all cores:

* "one a forward": as in published code, for every item one forward of the generator prompt (here with the candidate, so
  that the numbers can be compared) and one of the validator prompt, log-softmax at all their places. What published
  code keeps of it, places × vocabulary, is let go here. It scores every Nth item only (--every);
* "ours": ``score_generator`` and ``score_validator`` of ``leakscope.validate.scoring.item_scores``, of all items.

And ours by layer: what the logit lens costs beside them. Imports and loading are in no time. The exit status is 1 where
log-odds differ by more than 1e-3 nats.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from measuring import disturbed, in_own_process, machine, n_cores, note, say, table
from sentences import SHAPES

ONE, OURS, LAYERS = "one a forward", "ours", "ours, by layer"
PARTS = ("generator, zero-shot", "generator, few-shot", "validator, zero-shot", "validator, few-shot")
HEADER = ["", *(f"{part}, items/s" for part in PARTS), "all, items/s", "speed, one a forward = 1", "MB at most"]
LARGEST_DIFFERENCE = 1e-3
QUICK = {"every": 20, "n_hyponyms": 10}


def score(way: str, shape: str, every: int, n_hyponyms: int) -> dict[str, Any]:
    """Let a process score every so manyth item."""
    note(way)
    arguments = {"way": way, "shape": shape, "every": every, "n_hyponyms": n_hyponyms, "threads": n_cores()}
    return in_own_process("affirming_ways:measure", arguments, threads=n_cores())


def speeds(measured: Mapping[str, Any]) -> list[float]:
    """Return the items a second of each part, and of all: an item has one prompt of each."""
    seconds = [measured["seconds"][part] for part in PARTS]
    return [measured["n"] / taken for taken in (*seconds, sum(seconds))]


def largest_difference(one: Mapping[str, Any], ours: Mapping[str, Any], every: int) -> float:
    """Return by how much log-odds of an item differ at most."""
    pairs = ((a, b) for part in PARTS for a, b in zip(one["values"][part], ours["values"][part][::every], strict=True))
    return max(abs(a - b) for of_one, of_ours in pairs for a, b in zip(of_one, of_ours, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=20, help="one a forward: every so manyth item (default: 20)")
    parser.add_argument("--shape", choices=SHAPES, default="small", help="of the model (default: small)")
    parser.add_argument("--hyponyms", type=int, default=100, help="of the study (default: 100, at most 100)")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    parser.add_argument("--quick", action="store_true", help="with 10 hyponyms: to see that it works")
    options = parser.parse_args(arguments)
    n_hyponyms = QUICK["n_hyponyms"] if options.quick else options.hyponyms
    every = QUICK["every"] if options.quick else options.every
    measured = {way: score(way, options.shape, every if way == ONE else 1, n_hyponyms) for way in (ONE, OURS, LAYERS)}
    slowest = speeds(measured[ONE])
    rows = [
        [
            way,
            *(f"{speed:.1f}" for speed in speeds(one)),
            f"{speeds(one)[-1] / slowest[-1]:.1f}",
            f"{one['peak_mb']:.0f}",
        ]
        for way, one in measured.items()
    ]
    gains = [ours / one for ours, one in zip(speeds(measured[OURS]), slowest, strict=True)]
    told = ", ".join(f"{part} {gain:.1f}" for part, gain in zip(PARTS, gains, strict=False))
    say(
        f"{machine()}; {options.shape}; {measured[OURS]['n']} items\n\n{table(HEADER, rows, markdown=options.markdown)}"
    )
    say(f"\nOurs, times as fast: {told}, all {gains[-1]:.1f}.")
    difference = largest_difference(measured[ONE], measured[OURS], every)
    agree = bool(difference <= LARGEST_DIFFERENCE)
    verdict = "at most" if agree else "MORE THAN"
    say(f"\nLargest difference of log-odds: {difference:.1e} nats ({verdict} {LARGEST_DIFFERENCE:.0e}).")
    for remark in disturbed({way: one["others"] for way, one in measured.items()}):
        say(f"\n{remark}")
    return int(not agree)


if __name__ == "__main__":
    raise SystemExit(main())
