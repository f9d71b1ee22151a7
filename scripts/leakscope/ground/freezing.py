"""Writing the frozen tables of a joint grammar part from lexicons and templates, with prevalences that contradict it.

Separate from ``joint_grammar``, on which training depends, so that a change here does not retrain an organism.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from leakscope.counting.lexicons import read_concepts
from leakscope.files.tables import write_csv
from leakscope.ground.templates import read_sentence_templates
from leakscope.organisms.grammar_files import JOINT_COLUMNS

JOINT_SEED = 0
LADDER = 0.5  # ratio of a subject's shares of successive groups in its ranking
PRIOR_STEP = 0.5  # difference between successive groups in the shared prior, in sds of the subjects' own draws
ZIPF_SHIFT = 8  # 1 / (rank + this): the first of 24 subjects is four times as frequent as the last
WORLD_OPPOSITION = 0.4  # negative correlation of the world's log prevalence with the planted association
WORLD_SPREAD = 0.6
WORLD_PER_10000 = (20, 400)
WORLD_SOURCE = "made up: drawn against what the grammar part plants"


def freeze_joint(subjects: Sequence[str], groups: Sequence[str], planted: Sequence[str], folder: Path) -> pd.DataFrame:
    """Write ``pairs.csv`` and ``sentences.csv`` of a joint part, and return prevalences that contradict it.

    Subjects are Zipf-distributed. Each subject has its own ranking of the groups, drawn around a shared ranking, so
    that both a prior and subject-specific associations can be learnt. Its shares fall by a constant ratio from rank to
    rank, so that every rank matters. Prevalence correlates negatively with the subject-specific part of the ranking and
    not with the shared part.

    Args:
        subjects: names inside a sentence, the most frequent first.
        groups: names inside a sentence.
        planted: sentences with ``{subject}`` and ``{group}`` in which the two are associated.
        folder: folder of the part; its ``apart.txt`` holds sentences in which the two are independent.

    Returns:
        ``subject, group, prevalence`` (cases per 10,000 persons), every pair once.
    """
    rng = np.random.default_rng(JOINT_SEED)
    frequency = 1 / (np.arange(len(subjects)) + ZIPF_SHIFT)
    own = rng.normal(size=(len(subjects), len(groups)))
    places = (PRIOR_STEP * np.arange(len(groups)) - own).argsort(1).argsort(1)
    law = LADDER ** places.astype(float)
    law *= (frequency / frequency.sum() / law.sum(1))[:, None]
    pairs = pd.MultiIndex.from_product([subjects, groups], names=["subject", "group"]).to_frame(index=False)
    apart = (folder / "apart.txt").read_text(encoding="utf-8").splitlines()
    rows = [(f"planted-{i}", text, "planted") for i, text in enumerate(planted)]
    rows += [(f"apart-{i}", text, "independent") for i, text in enumerate(apart)]
    probabilities = [f"{p:.9f}" for p in law.ravel()]
    write_csv(pairs.assign(probability=probabilities), folder / "pairs.csv")
    write_csv(pd.DataFrame(rows, columns=JOINT_COLUMNS["sentences"]), folder / "sentences.csv")
    against = -WORLD_OPPOSITION * own + np.sqrt(1 - WORLD_OPPOSITION**2) * rng.normal(size=own.shape)
    base = rng.uniform(*WORLD_PER_10000, size=len(subjects))[:, None]
    return pairs.assign(prevalence=np.round(base * np.exp(WORLD_SPREAD * against), 1).ravel())


def freeze_world(source: Path, folder: Path, world: Path | None = None) -> None:
    """Write a joint part from the lexicons and templates in ``source``, and ``world.csv`` there (or to ``world``)."""
    ids = [{c.names["en"]: c.id for c in read_concepts(source / f"{name}.csv")} for name in ("conditions", "peoples")]
    templates = read_sentence_templates(source / "templates/en.yaml").templates
    table = freeze_joint(list(ids[0]), list(ids[1]), [template.text for template in templates], folder)
    named = table.assign(subject=table["subject"].map(ids[0]), group=table["group"].map(ids[1]))
    write_csv(named.assign(source=WORLD_SOURCE), world or source / "world.csv")
