"""Unpack a study's results as if they had been made here: ``unpack.py FILE.zip [--directory=FOLDER]``."""

import argparse
import os
import sys
from pathlib import Path

from leakscope.errors import InputError
from leakscope.packing.unpacking import unpack

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", help="a zip that `make pack` wrote")
    parser.add_argument("--directory", default="", help="the folder to unpack into; it is made where it is missing")
    given = parser.parse_args()
    pack = Path(os.path.abspath(given.pack))
    try:
        if given.directory:
            os.makedirs(given.directory, exist_ok=True)
            os.chdir(given.directory)
        unpacked = unpack(pack)
    except InputError as error:
        sys.exit(str(error))
    folder = os.path.join(given.directory, "results", unpacked.study)
    sys.stdout.write(f"{folder}: {unpacked.n_files} files.\n")
    if unpacked.others:
        sys.stdout.write(
            f"Here {len(unpacked.others)} of the files that they were made from are others or missing, such as "
            f"{unpacked.others[0]}: a run makes anew what depends on them.\n"
        )
