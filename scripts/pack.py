"""Pack a study's results: ``pack.py results/<study> [--with="models store"] [--study=FILE] [--directory=FOLDER]``."""

import argparse
import os
import sys
from pathlib import Path

from leakscope.errors import InputError
from leakscope.packing.packs import write_pack

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the study's results")
    parser.add_argument("--with", dest="with_", default="", help="what else goes in: models, store, or both")
    parser.add_argument("--study", default="", help="the study's file")
    parser.add_argument("--directory", default="", help="the folder that results/ is in")
    given = parser.parse_args()
    study_file = Path(os.path.abspath(given.study)) if given.study else None
    try:
        if given.directory:
            os.chdir(given.directory)
        pack = write_pack(given.results.name, given.with_.split(), study_file)
    except (InputError, FileNotFoundError) as error:
        sys.exit(str(error))
    size = pack.path.stat().st_size / 1e6
    path = os.path.join(given.directory, pack.path)
    sys.stdout.write(f"{path}: {pack.n_files} files, {size:,.1f} MB ({pack.n_bytes / 1e6:,.1f} MB unpacked).\n")
