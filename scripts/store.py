"""Look after what was computed once: ``python scripts/store.py [list | prune | compact]``.

list      what is stored, and which studies use it (the default)
prune     remove what no study uses any more; says what it would remove, and removes it with --yes
compact   put the files of each folder into one

The store is results/store, or what --store or a study's `store:` (--configfile) says. Who uses it is found below
results/, or below the folders that --results names. prune and compact leave alone what was written to in the last seven
days; --days says another number.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from leakscope.configuration.resolving import expanded
from leakscope.errors import InputError
from leakscope.files.finding import own
from leakscope.files.reading_yaml import read_yaml
from leakscope.storage.upkeep import Contents, compact, overview, prunable, prune, survey


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["list", "prune", "compact"], nargs="?", default="list")
    parser.add_argument("--store", type=Path, help="the folder of the store")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="a study that says where it is")
    parser.add_argument("--results", type=Path, action="append", help="a folder of studies (results); may be repeated")
    parser.add_argument("--days", type=float, default=7.0, help="leave alone what was written to in so many days (7)")
    parser.add_argument("--yes", action="store_true", help="remove what `prune` lists")
    return parser.parse_args()


def main() -> None:
    options, now = arguments(), time.time()
    results = options.results or [Path("results")]
    store = options.store or configured(options.configfile) or results[0] / "store"
    if options.action == "prune" and options.results is None and store.resolve() != Path("results/store").resolve():
        raise InputError(
            f"prune: got no --results, and {store} may hold what studies elsewhere use; allowed: --results <folder> "
            "for each folder of studies that share it."
        )
    contents = survey(store, results)
    if options.action == "prune":
        contents = prunable(contents, options.days, now)
    elif options.action == "compact":
        whole = [stored for stored in contents if stored.n_files > 1 and stored.fingerprint is not None]
        contents = [stored for stored in whole if stored.age_days(now) >= options.days]
    table = overview(contents)
    if len(table):
        sys.stdout.write(table.to_string(index=False) + "\n")
    sys.stdout.write(f"{len(table)} folders, {table['megabytes'].sum():.1f} MB\n")
    sys.stdout.write(act(contents, options))


def configured(studies: Sequence[Path]) -> Path | None:
    """Return the store that the last of config.yaml and some studies names; None where none does."""
    contents = [read_yaml(path) for path in (Path(own("config.yaml")), *studies)]
    named = [content["store"] for content in contents if isinstance(content, dict) and "store" in content]
    return Path(expanded(str(named[-1]), ("store",))) if named else None


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
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
