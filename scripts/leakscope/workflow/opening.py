"""The study that Snakemake plans: read and checked once by the planning process, then reused by its jobs.

Every job reads the Snakefile again. The planning process keeps the resolved configuration in ``.snakemake/``, so that
jobs neither check it nor import the checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from leakscope.files.finding import CHECKOUT
from leakscope.files.reading import read_json, read_object
from leakscope.files.reading_yaml import read_yaml
from leakscope.storage.manifests import write_manifest
from leakscope.workflow.study import Study

KEPT = Path(".snakemake/leakscope")


def open_study(
    config: Mapping[str, Any],
    files: Iterable[str],
    warn: Callable[[str], None],
    *,
    is_main: bool,
    absolute: bool = False,
) -> Study:
    """Return the study of a configuration.

    Args:
        config: what Snakemake merged from --configfile and --config, or what a workflow gave its module.
        files: those that Snakemake read. Snakemake silently keeps the last of two equal keys; here they are refused.
        warn: receives warnings about files and cost estimates, only in the planning process.
        is_main: whether this process plans. A job reuses the planning process's result, or resolves the configuration
            itself if there is none, as on a machine without those files.
        absolute: whether paths in the working directory also become absolute (see ``files.finding``).

    Raises:
        InputError: all mistakes found before planning, one line each.
    """
    asked = json.dumps([config, absolute], sort_keys=True, default=str)
    kept = KEPT / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
    if not is_main and kept.is_file():
        return Study(**read_object(kept, "a study that was read before"))
    # Imported here because it takes longer than everything else that a job does before its work.
    from leakscope.configuration.layers import shipped
    from leakscope.configuration.resolving import resolve
    from leakscope.workflow.brought import look_into
    from leakscope.workflow.more_texts import costs, more_texts, scoring_costs

    for file in map(Path, files):
        # Snakemake reads a file as JSON if it is valid JSON, whatever its name; JSON is YAML except for tabs.
        read_json(file, "JSON") if file.suffix == ".json" else read_yaml(file)
    study = Study(resolve(shipped(CHECKOUT), config, absolute=absolute), absolute=absolute)
    warnings = look_into(study)
    if is_main:
        for warning in (*warnings, *more_texts(study), *costs(study), *scoring_costs(study)):
            warn(warning)
        write_manifest({"config": study.config, "counted": study.n_prompts, "absolute": absolute}, kept)
    return study
