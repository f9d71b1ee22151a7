"""The section ``study``."""

from __future__ import annotations

from typing import Literal

from leakscope.typed.values import Names, Section, Several, SomeNames, StudyName


class StudySection(Section):
    """The study: its name, its steps, and its entries from the catalogues below."""

    name: StudyName
    """Name of the study; results are written to `results/<name>/`."""
    models: SomeNames
    """Models to study, in the order of tables and figures. Each step skips models it cannot use: `leak` those with
    imported scores; `ground` and `validate` those with imported texts, those behind a server without `logprobs`, and
    scores imported for the other step; `features` those without a dictionary; `trace` those that do not run here. The
    base of a tuned, edited or mitigated model is also studied."""
    prompt_sets: Names = []
    """Prompt sets given to every model, in the order of tables and figures; needed only by `leak` and `trace`."""
    scorers: Names = []
    """Scorers (and judges) of the texts, in the order of tables and figures; needed only by `leak`."""
    steps: Several[Literal["leak", "ground", "validate", "features", "trace"]] = ["leak"]
    """Steps to run. `leak`: does a concept mentioned in passing surface in what the model writes? `ground`: does the
    model rank pairs by corpus counts or by real-world prevalence? `validate`: does the model affirm what it generates?
    `features`: which features of its residual stream carry an association, and what does editing them change? `trace`:
    where does an association come from in the corpus, which layers carry it, and how does it reach the text?"""
