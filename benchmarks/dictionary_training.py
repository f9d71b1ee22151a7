"""How much faster than by automatic differentiation does leakscope train a dictionary, and to the same loss?

    python benchmarks/dictionary_training.py [--steps 1000] [--features 512] [--markdown] [--quick]

A minute or two on two cores. Trains a TopK dictionary with the auxiliary loss on activations made up of few directions
each (d = 64, 100,000 tokens in two shards), in two ways, each in a process of its own with all cores:

* "autograd": as one writes it down in PyTorch: activations in memory as one tensor, both losses as they are defined,
  ``backward()``, Adam as it comes;
* "ours": ``train_dictionary`` of ``leakscope.features.dictionaries.training``: gradients written out, Adam fused,
  shards read as they are needed; with the passes that measure scale and result.

Imports and the writing of activations are in no time. The exit status is 1 where the losses at the end differ by more
than 5 %, or 1000 steps of 512 features took us more than a minute.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence

from measuring import disturbed, in_own_process, machine, n_cores, note, say, table

AUTOGRAD, OURS = "autograd", "ours"
HEADER = ["", "seconds", "steps/s", "speed, autograd = 1", "loss at the end", "MB at most", "MB above what was loaded"]
LARGEST_DIFFERENCE = 0.05
ALLOWED = 60.0  # seconds
QUICK = {"steps": 50}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="(default: 1000)")
    parser.add_argument("--features", type=int, default=512, help="of the dictionary (default: 512)")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    parser.add_argument("--quick", action="store_true", help="50 steps: to see that it works")
    options = parser.parse_args(arguments)
    steps = QUICK["steps"] if options.quick else options.steps
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        given = {"folder": folder, "threads": n_cores()}
        note("activations")
        in_own_process("dictionary_training_ways:write", given, threads=n_cores())
        for way in (AUTOGRAD, OURS):
            note(way)
            told = {**given, "way": way, "steps": steps, "features": options.features}
            measured[way] = in_own_process("dictionary_training_ways:measure", told, threads=n_cores())
    slow, ours = measured[AUTOGRAD], measured[OURS]
    rows = [
        [
            way,
            f"{one['seconds']:.1f}",
            f"{steps / one['seconds']:.0f}",
            f"{slow['seconds'] / one['seconds']:.1f}",
            f"{one['loss']:.4f}",
            f"{one['peak_mb']:.0f}",
            f"{one['peak_mb'] - one['loaded_mb']:.0f}",
        ]
        for way, one in measured.items()
    ]
    say(f"{machine()}; d = 64, {options.features} features, {steps} steps of 1024 tokens\n")
    say(table(HEADER, rows, markdown=options.markdown))
    difference = abs(ours["loss"] / slow["loss"] - 1)
    alike = bool(difference <= LARGEST_DIFFERENCE)
    say(f"\nDifference of the losses: {100 * difference:.1f} % ({'at most' if alike else 'MORE THAN'} 5 %).")
    quick_enough = ours["seconds"] * 1000 * 512 <= ALLOWED * steps * options.features
    say(f"1000 steps of 512 features in a minute: {'yes' if quick_enough else 'NO'}.")
    for remark in disturbed({way: one["others"] for way, one in measured.items()}):
        say(f"\n{remark}")
    return int(not (alike and quick_enough))


if __name__ == "__main__":
    raise SystemExit(main())
