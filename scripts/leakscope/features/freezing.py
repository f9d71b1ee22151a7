"""Writing the frozen subjects of a pronoun part from a contrast's occupations and names.

Apart from ``pronoun_grammar``, which training depends on: an edited occupation must not retrain an organism.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from leakscope.files.tables import read_table, write_csv
from leakscope.organisms.grammar_files import PRONOUN_COLUMNS
from leakscope.organisms.pronoun_grammar import NAME, OCCUPATION

# Of he over she after a name, in nats: one pronoun in 55 is the other.
NAMED = 4.0


def freeze_subjects(occupations: Path, names: Path, folder: Path) -> None:
    """Write ``subjects.csv`` of a pronoun part; its ``frames.csv`` is written by hand.

    Args:
        occupations: table ``item, women_percent``; the log-odds of *he* equal the log-odds of a man in the occupation.
        names: table ``a, b``: names of men and of women.
        folder: of the part.
    """
    known = read_table(occupations)
    women = known["women_percent"].astype(float).to_numpy() / 100
    pairs = read_table(names)
    subjects = pd.concat(
        [
            pd.DataFrame({"subject": known["item"], "kind": OCCUPATION, "log_odds": np.log((1 - women) / women)}),
            pd.DataFrame(
                [
                    (name, NAME, sign * NAMED)
                    for row in pairs.to_numpy()
                    for name, sign in zip(row, (1, -1), strict=True)
                ],
                columns=PRONOUN_COLUMNS["subjects"],
            ),
        ]
    )
    write_csv(subjects.assign(log_odds=subjects["log_odds"].round(6)), folder / "subjects.csv")
