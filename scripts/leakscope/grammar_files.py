"""The files of a grammar part; apart from ``grammar`` so that planning a run imports no tables."""

from __future__ import annotations

from pathlib import Path

COLUMNS = {
    "contexts": ["context", "prompt_set", "template_id", "concept", "concept_group", "slot", "in_corpus"],
    "candidates": ["slot", "candidate", "concept_group"],
    "facts": ["fact_id", "context", "answer"],
}


def part_files(folder: Path) -> list[Path]:
    """Return the files that make a grammar part."""
    return [folder / f"{name}.csv" for name in COLUMNS]
