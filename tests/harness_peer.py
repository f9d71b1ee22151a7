"""Run by an interpreter that has lm-eval: puts a task to a model as it is and with each of some mitigations.

``python harness_peer.py <folder>``: in ``asked.json`` are ``manifests`` (by name), ``wordings`` (by name) and what
``Harness`` takes; written are ``<name>.json``, the rows of ``score_tasks`` or its mistake.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from helpers import LOADING
from leakscope.errors import InputError
from leakscope.models.opening import open_model
from leakscope.trace.harness import Harness, score_tasks


def main(folder: Path) -> None:
    asked = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
    harness = Harness(**asked["harness"])
    for name, manifest in asked["manifests"].items():
        model, wording = open_model(manifest, LOADING), asked["wordings"].get(name, "")
        scores = score_tasks(model, harness, chat=False, wording=wording)
        (folder / f"{name}.json").write_text(scores.to_json(orient="records"), encoding="utf-8")
    for name, wrong in (("unknown", {"tasks": ["frut"]}), ("absent", {"tasks": ["absent"]})):
        try:
            score_tasks(model, harness._replace(**wrong), chat=False)
        except InputError as error:
            (folder / f"{name}.txt").write_text(str(error), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
