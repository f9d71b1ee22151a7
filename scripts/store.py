"""Look after results/store: ``python scripts/store.py [list | prune | compact]``.

list      what is stored, and which studies use it (the default)
prune     remove what no study uses any more; says what it would remove, and removes it with --yes
compact   put the files of each folder into one

prune and compact leave alone what was written to in the last seven days; --days says another number.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from leakscope.upkeep import compact, overview, prunable, prune, survey


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["list", "prune", "compact"], nargs="?", default="list")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder that holds store/ (results)")
    parser.add_argument("--days", type=float, default=7.0, help="leave alone what was written to in so many days (7)")
    parser.add_argument("--yes", action="store_true", help="remove what `prune` lists")
    return parser.parse_args()


def main() -> None:
    options, now = arguments(), time.time()
    contents = survey(options.results)
    if options.action == "prune":
        contents = prunable(contents, options.days, now)
    if options.action == "compact":
        contents = [found for found in contents if found.n_files > 1 and found.age_days(now) >= options.days]
    table = overview(contents)
    megabytes = f"{table['megabytes'].sum():.1f} MB"
    sys.stdout.write(
        (table.to_string(index=False) if len(table) else "nothing") + f"\n{len(table)} folders, {megabytes}\n"
    )
    if options.action == "prune" and options.yes:
        prune(contents)
        sys.stdout.write("removed\n")
    elif options.action == "prune" and contents:
        sys.stdout.write("nothing was removed: add --yes\n")
    elif options.action == "compact":
        for found in contents:
            compact(found)
        sys.stdout.write(f"{len(contents)} folders now have one file each\n")


if __name__ == "__main__":
    main()
