"""How much less memory does leakscope take to sum up logit weights than their whole matrix, and in which time?

    python benchmarks/feature_statistics.py [--features 24576] [--tokens 50257] [--width 768] [--markdown] [--quick]

Some minutes on two cores; the first way takes 10 GB of memory. Sums up the logit weights of a dictionary of the size of
the public ones of GPT-2 small (random weights) in two ways, each in a process of its own with all cores:

* "at once": all features × tokens in one float32 matrix, as in published code;
* "ours": ``leakscope.features.description.logit_weights``, in blocks.

Both mean, standard deviation, skewness and kurtosis of each feature, and its 10 tokens of largest weight on each side.
The exit status is 1 where ours differ from those of every 97th feature in float64: statistics by more than 1e-4, or in
a token.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from feature_statistics_ways import EXACT, ONCE, OURS, PARTS
from measuring import disturbed, in_own_process, machine, n_cores, note, say, table

EVERY = 97
HEADER = ["", "seconds", "MB at most", "MB beside the weights", "time, ours = 1", "largest error"]
LARGEST_DIFFERENCE = 1e-4
QUICK = {"n_features": 2048, "n_tokens": 8192, "width": 256}


def sum_up(way: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Let a process sum up logit weights."""
    note(way)
    arguments = {"way": way, **sizes, "every": EVERY, "threads": n_cores()}
    return in_own_process("feature_statistics_ways:measure", arguments, threads=n_cores())


def largest_difference(found: Mapping[str, Any], exact: Mapping[str, Any]) -> float:
    """Return by how much a statistic differs at most."""
    pairs = (zip(found["statistics"][name], exact["statistics"][name], strict=True) for name in PARTS)
    return max(abs(a - b) for of_one in pairs for a, b in of_one)


def differing(found: Mapping[str, Any], exact: Mapping[str, Any]) -> int:
    """Return of how many features the kept tokens are others."""
    return sum(set(a) != set(b) for a, b in zip(found["promoted"], exact["promoted"], strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=24_576, help="of the dictionary (default: 24576)")
    parser.add_argument("--tokens", type=int, default=50_257, help="of the vocabulary (default: 50257)")
    parser.add_argument("--width", type=int, default=768, help="of the residual stream (default: 768)")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    parser.add_argument("--quick", action="store_true", help="with a small dictionary: to see that it works")
    options = parser.parse_args(arguments)
    given = {"n_features": options.features, "n_tokens": options.tokens, "width": options.width}
    sizes = QUICK if options.quick else given
    exact = sum_up(EXACT, sizes)
    measured = {way: sum_up(way, sizes) for way in (ONCE, OURS)}
    errors = {way: largest_difference(one, exact) for way, one in measured.items()}
    rows = [
        [
            way,
            f"{one['seconds']:.1f}",
            f"{one['peak_mb']:.0f}",
            f"{one['peak_mb'] - one['before_mb']:.0f}",
            f"{one['seconds'] / measured[OURS]['seconds']:.2f}",
            f"{errors[way]:.1e}",
        ]
        for way, one in measured.items()
    ]
    told = "{n_features} features, {n_tokens} tokens, width {width}".format(**sizes)
    say(f"{machine()}; {told}\n\n{table(HEADER, rows, markdown=options.markdown)}")
    n_others = differing(measured[OURS], exact)
    agree = errors[OURS] <= LARGEST_DIFFERENCE and not n_others
    verdict = "at most" if agree else "MORE THAN"
    say(f"\nOurs against float64: {errors[OURS]:.1e} ({verdict} {LARGEST_DIFFERENCE:.0e}), other tokens in {n_others}")
    say(f"of {len(exact['promoted'])} features.")
    for remark in disturbed({way: one["others"] for way, one in measured.items()}):
        say(f"\n{remark}")
    return int(not agree)


if __name__ == "__main__":
    raise SystemExit(main())
