"""Write the study of a model and prompts, and print its file: ``new_study.py --model=… --prompts=…``."""

import argparse
import os
import sys

from leakscope.configuration.layers import shipped
from leakscope.errors import InputError
from leakscope.files.finding import CHECKOUT
from leakscope.workflow.new_study import new_study, write_study

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "prompts", "name", "directory"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args()
    if given.directory:
        os.makedirs(given.directory, exist_ok=True)
        os.chdir(given.directory)
    try:
        study = new_study(given.model, given.prompts, given.name, shipped(CHECKOUT))
        if write_study(study):
            sys.stderr.write(f"Wrote {study.path}, the study of this run.\n")
    except InputError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{os.path.join(given.directory, study.path)}\n")
