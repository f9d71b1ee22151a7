"""Write the study of a model and prompts, or of a model's card, and print its file: ``new_study.py --model=…``."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from leakscope.configuration.layers import shipped
from leakscope.errors import InputError
from leakscope.files.finding import CHECKOUT
from leakscope.files.reading_yaml import read_yaml
from leakscope.workflow.cards.card_study import card_study
from leakscope.workflow.new_study import new_study, write_study


def models_of(study: str) -> dict[str, Any]:
    """Return the models that a study's file adds to the catalogue; none where no file is given."""
    content = read_yaml(Path(study)) if study else {}
    models = content.get("models") if isinstance(content, dict) else None
    return models if isinstance(models, dict) else {}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "prompts", "name", "directory"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--card", action="store_true", help="a study of the model's card")
    parser.add_argument("--with", dest="with_", default="", help="what else the card has: mitigations")
    parser.add_argument("--study", default="", help="a file whose models are known, beside the catalogue's")
    given = parser.parse_args()
    try:
        brought = models_of(given.study)
        if given.directory:
            os.makedirs(given.directory, exist_ok=True)
            os.chdir(given.directory)
        known = shipped(CHECKOUT)
        if given.card:
            study = card_study(given.model, given.name, given.with_.split(), brought, known, given.study)
        else:
            study = new_study(given.model, given.prompts, given.name, known)
        if write_study(study):
            sys.stderr.write(f"Wrote {study.path}, the study of this run.\n")
    except InputError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{os.path.join(given.directory, study.path)}\n")
