"""What a mitigation is chosen by, and what it is measured by: test prompts in two halves, and prompts of use.

A test prompt is of a split if both its template and its concept group are: templates *and* concepts of the evaluation
chose nothing. The others are of no split and are left out. Templates whose candidates answer a prompt of use are left
out, too.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Items(NamedTuple):
    """Prompts of one prompt set, all tables with the columns of the prompts table.

    tests: with a control of the same template, ``control_id``, and ``split``.
    controls: of these, each once.
    candidates: ``slot, candidate, concept_group`` of both.
    use: prompts that a right answer needs the concept for, with ``answer``, ``split``, and ``control_id``; their
        ``template_id`` is the form, their ``slot`` a lexicon of answers of their own.
    use_controls: the same without the concept.
    use_candidates: ``slot, candidate`` of these.
    """

    tests: pd.DataFrame
    controls: pd.DataFrame
    candidates: pd.DataFrame
    use: pd.DataFrame
    use_controls: pd.DataFrame
    use_candidates: pd.DataFrame

    def of(self, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the tests and the prompts of use of a split."""
        return self.tests[self.tests["split"] == split], self.use[self.use["split"] == split]
