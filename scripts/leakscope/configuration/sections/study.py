"""The section ``study``."""

from __future__ import annotations

from typing import Literal

from leakscope.typed.values import Names, Section, Several, SomeNames, StudyName


class StudySection(Section):
    """What this study consists of: names chosen from the catalogues below."""

    name: StudyName
    """Name of the study; results are written to `results/<name>/`."""
    models: SomeNames
    """Models to study, in the order of tables and figures. A step leaves out those that it has no use for: `leak` those
    with imported scores, `ground` and `validate` those with imported texts or behind a server, and imported scores that
    are of the other, `features` those without a dictionary, `trace` all that do not run here. The base of a tuned,
    edited or mitigated model is studied, too."""
    prompt_sets: Names = []
    """Prompt sets every model is given, in the order of tables and figures; needed by `leak` and `trace` alone."""
    scorers: Names = []
    """Similarities that match rates and Leak-Rates are computed with, in the order of tables and figures; needed by
    `leak` alone."""
    steps: Several[Literal["leak", "ground", "validate", "features", "trace"]] = ["leak"]
    """Steps to run. `leak`: does a concept mentioned in passing surface in what the model writes? `ground`: does the
    model rank pairs as its corpus counts them, or as the world is? `validate`: does the model affirm what it
    generates? `features`: which features of its residual stream carry an association, and what happens without them?
    `trace`: where does one association come from, where in the model is it read, and where does it go?"""
