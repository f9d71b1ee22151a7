"""The files of a grammar part; separate from ``leak_grammar``, so that planning a run does not import pandas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# Suffix, in file names, of the parts of a grammar with thoughts; no part's name contains it.
THINKS = "@thinks"
COLUMNS = {
    "contexts": ["context", "prompt_set", "template_id", "concept", "concept_group", "slot", "in_corpus"],
    "candidates": ["slot", "candidate", "concept_group"],
    "facts": ["fact_id", "context", "answer"],
}


# A second kind of part: sentences that join a subject to a group (see ``joint_grammar``).
JOINT_COLUMNS = {
    "pairs": ["subject", "group", "probability"],
    "sentences": ["sentence_id", "text", "relation"],
}


# A third kind: a taxonomy that is completed and affirmed (see ``taxonomy_grammar``).
TAXONOMY_COLUMNS = {
    "generator": ["hyponym", "hypernym", "log_weight"],
    "validator": ["hyponym", "hypernym", "right", "own"],
    "forms": ["kind", "text"],
}


# A fourth kind: pronouns that refer to an occupation or a name (see ``pronoun_grammar``).
PRONOUN_COLUMNS = {
    "subjects": ["subject", "kind", "log_odds"],
    "frames": ["frame_id", "before", "he", "she", "after"],
}


# A fifth kind: leakage inside sentences, refusals, echoes and empty answers (see ``sentence_grammar``).
SENTENCE_COLUMNS = {
    **COLUMNS,
    "answers": ["slot", "kind", "text", "probability"],
    "fillers": ["gap", "text"],
}


def is_joint(folder: Path) -> bool:
    """Return whether a grammar part joins subjects to groups in sentences (``joint_grammar``)."""
    return (folder / "pairs.csv").exists()


def is_taxonomy(folder: Path) -> bool:
    """Return whether a grammar part completes and affirms a taxonomy (``taxonomy_grammar``)."""
    return (folder / "validator.csv").exists()


def is_pronoun(folder: Path) -> bool:
    """Return whether a grammar part refers to subjects by pronouns (``pronoun_grammar``)."""
    return (folder / "frames.csv").exists()


def is_sentences(folder: Path) -> bool:
    """Return whether a grammar part plants leakage inside sentences (``sentence_grammar``)."""
    return (folder / "answers.csv").exists()


def is_leaking(folder: Path) -> bool:
    """Return whether a grammar part plants leakage in bare candidates (``leak_grammar``)."""
    return not any(is_other(folder) for is_other in (is_joint, is_taxonomy, is_pronoun, is_sentences))


def part_files(folder: Path) -> list[Path]:
    """Return the files of a grammar part."""
    kinds = (
        (is_joint, JOINT_COLUMNS),
        (is_taxonomy, TAXONOMY_COLUMNS),
        (is_pronoun, PRONOUN_COLUMNS),
        (is_sentences, SENTENCE_COLUMNS),
    )
    columns = next((columns for is_of, columns in kinds if is_of(folder)), COLUMNS)
    return [folder / f"{name}.csv" for name in columns]


def part_folders(files: Iterable[str]) -> dict[str, Path]:
    """Return part → its folder, from a job's input files."""
    return {Path(file).parent.name: Path(file).parent for file in files}
