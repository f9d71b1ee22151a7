"""The study that Snakemake plans: read and checked once, by the process that plans, and found again by its jobs.

Every job reads the Snakefile again. What the planning process made of the configuration is kept in ``.snakemake/``; a
job checks nothing, and does not import what checks.
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
        files: those that Snakemake read. It keeps the last of two equal keys without a word; here they are refused.
        warn: is told what a user should know of the files, and what texts cost, by the process that plans alone.
        is_main: whether this process plans. A job takes what that left, and does the same itself where it left nothing,
            as on a machine without the planning one's files.
        absolute: whether paths of the working directory become absolute, too (see ``files.finding``).

    Raises:
        InputError: all mistakes that are found before anything is planned, one line each.
    """
    asked = json.dumps([config, absolute], sort_keys=True, default=str)
    kept = KEPT / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
    if not is_main and kept.is_file():
        return Study(**read_object(kept, "a study that was read before"))
    # Not above: importing it takes longer than all else that a job does before its work.
    from leakscope.configuration.layers import shipped
    from leakscope.configuration.resolving import resolve
    from leakscope.workflow.brought import look_into
    from leakscope.workflow.more_texts import costs, more_texts, scoring_costs

    for file in map(Path, files):
        # Snakemake takes a file for JSON if it is that, whatever it is called, and JSON is YAML but for tabs.
        read_json(file, "JSON") if file.suffix == ".json" else read_yaml(file)
    study = Study(resolve(shipped(CHECKOUT), config, absolute=absolute), absolute=absolute)
    warnings = look_into(study)
    if is_main:
        for warning in (*warnings, *more_texts(study), *costs(study), *scoring_costs(study)):
            warn(warning)
        write_manifest({"config": study.config, "counted": study.n_prompts, "absolute": absolute}, kept)
    return study
