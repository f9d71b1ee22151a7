"""Print the results folder of a study: ``study_folder.py [studies/x.yaml]``."""

import sys
from pathlib import Path
from typing import Any

from leakscope.errors import InputError
from leakscope.files.finding import own
from leakscope.files.reading_yaml import read_yaml


def study_name(content: Any) -> Any:
    """Return the name that a configuration file gives its study; None where it gives none."""
    study = content.get("study") if isinstance(content, dict) else None
    return study.get("name") if isinstance(study, dict) else None


if __name__ == "__main__":
    try:
        names = [study_name(read_yaml(Path(path))) for path in (own("config.yaml"), *sys.argv[1:])]
    except InputError as error:
        sys.exit(str(error))
    sys.stdout.write(f"results/{[name for name in names if name][-1]}\n")
