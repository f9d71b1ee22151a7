"""How much faster does leakscope patch residuals than hooks do, one pair, site and layer a forward, and alike?

    python benchmarks/patching.py --model FOLDER [--pairs 300] [--hooked 3] [--threads N] [--markdown] [--quick]

Pairs of the prompt set ``colors`` as plain completion, four sites, all layers of the residual stream. "hooks": the text
with c is read once with all residuals kept; then, for each layer and site, one forward of the whole other text with a
hook that puts some of them in. It patches a few pairs only (--hooked), spread over all. "ours": ``patch_swaps`` of all
pairs. CPU time tells more than time where other processes take the machine.

The exit status is 1 where logit differences differ by more than 1e-4.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from measuring import disturbed, in_own_process, machine, n_cores, say, table

LARGEST_DIFFERENCE = 1e-4
HEADER = ["", "pairs", "seconds", "CPU seconds", "CPU seconds a pair", "speed, hooks = 1"]
QUICK = {"n_pairs": 24, "n_hooked": 1}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder of transformers")
    parser.add_argument("--pairs", type=int, default=300, help="that are patched by leakscope (default: 300)")
    parser.add_argument("--hooked", type=int, default=3, help="of these, that hooks patch, too (default: 3)")
    parser.add_argument("--threads", type=int, default=n_cores(), help="of the matrix products (default: all cores)")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    parser.add_argument("--quick", action="store_true", help="few pairs: to see that it works")
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else {"n_pairs": options.pairs, "n_hooked": options.hooked}
    measured = in_own_process(
        "patching_ways:measure", {"folder": options.model, "threads": options.threads, **sizes}, threads=options.threads
    )
    a_pair = {way: one["cpu"] / one["pairs"] for way, one in measured["ways"].items()}
    rows = [
        [
            way,
            str(one["pairs"]),
            f"{one['seconds']:.0f}",
            f"{one['cpu']:.0f}",
            f"{a_pair[way]:.2f}",
            f"{a_pair['hooks'] / a_pair[way]:.1f}",
        ]
        for way, one in measured["ways"].items()
    ]
    say(f"{machine()}, {options.threads} threads; {measured['layers']} layers\n")
    say(table(HEADER, rows, markdown=options.markdown))
    agree = bool(measured["difference"] <= LARGEST_DIFFERENCE)
    say(f"\nLargest difference of a logit difference: {measured['difference']:.1e} {'' if agree else 'TOO LARGE'}")
    for remark in disturbed({way: one["others"] for way, one in measured["ways"].items()}):
        say(f"\n{remark}")
    return int(not agree)


if __name__ == "__main__":
    raise SystemExit(main())
