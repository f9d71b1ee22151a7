"""Print the results folder of a study: ``study_folder.py [studies/x.yaml]``."""

import sys
from pathlib import Path

import yaml

if __name__ == "__main__":
    files = [Path("config.yaml"), *map(Path, sys.argv[1:])]
    names = [(yaml.safe_load(path.read_text(encoding="utf-8")).get("study") or {}).get("name") for path in files]
    sys.stdout.write(f"results/{[name for name in names if name][-1]}\n")
