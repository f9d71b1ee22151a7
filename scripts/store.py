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

from leakscope.storage.upkeep import Contents, compact, overview, prunable, prune, survey


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
    elif options.action == "compact":
        contents = [stored for stored in contents if stored.n_files > 1 and stored.age_days(now) >= options.days]
    table = overview(contents)
    if len(table):
        sys.stdout.write(table.to_string(index=False) + "\n")
    sys.stdout.write(f"{len(table)} folders, {table['megabytes'].sum():.1f} MB\n")
    sys.stdout.write(act(contents, options))


def act(contents: list[Contents], options: argparse.Namespace) -> str:
    """Do what was asked for and return what there is to say of it."""
    if options.action == "list":
        return ""
    if not contents:
        what = "unused" if options.action == "prune" else "in several files"
        return f"nothing that is {what} and was last written to more than {options.days:g} days ago (--days)\n"
    if options.action == "compact":
        for stored in contents:
            compact(stored)
        return "each has one file now\n"
    if not options.yes:
        return "nothing was removed: add --yes\n"
    prune(contents)
    return "removed\n"


if __name__ == "__main__":
    main()
