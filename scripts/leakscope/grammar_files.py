"""The files of a grammar part; apart from ``grammar`` so that planning a run imports no tables."""

from __future__ import annotations

from pathlib import Path

COLUMNS = {
    "contexts": ["context", "prompt_set", "template_id", "concept", "concept_group", "slot", "in_corpus"],
    "candidates": ["slot", "candidate", "concept_group"],
    "facts": ["fact_id", "context", "answer"],
}


# A part of another kind: sentences that join a subject to a group (see ``joint_grammar``).
JOINT_COLUMNS = {
    "pairs": ["subject", "group", "probability"],
    "sentences": ["sentence_id", "text", "relation"],
}


def is_joint(folder: Path) -> bool:
    """Say whether a grammar part joins subjects to groups; otherwise it plants leakage."""
    return (folder / "pairs.csv").exists()


def part_files(folder: Path) -> list[Path]:
    """Return the files that make a grammar part."""
    return [folder / f"{name}.csv" for name in (JOINT_COLUMNS if is_joint(folder) else COLUMNS)]
