"""The files of a grammar part; apart from ``leak_grammar`` so that planning a run imports no tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# Behind the parts of a grammar with thoughts, in the names of files; in no part's name.
THINKS = "@thinks"
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


# A part of a third kind: a taxonomy that is completed and affirmed (see ``taxonomy_grammar``).
TAXONOMY_COLUMNS = {
    "generator": ["hyponym", "hypernym", "log_weight"],
    "validator": ["hyponym", "hypernym", "right", "own"],
    "forms": ["kind", "text"],
}


# A part of a fourth kind: pronouns that take up an occupation or a name (see ``pronoun_grammar``).
PRONOUN_COLUMNS = {
    "subjects": ["subject", "kind", "log_odds"],
    "frames": ["frame_id", "before", "he", "she", "after"],
}


# A part of a fifth kind: leakage inside sentences, refusals, echoes and silence (see ``sentence_grammar``).
SENTENCE_COLUMNS = {
    **COLUMNS,
    "answers": ["slot", "kind", "text", "probability"],
    "fillers": ["gap", "text"],
}


def is_joint(folder: Path) -> bool:
    """Say whether a grammar part joins subjects to groups; otherwise it plants leakage."""
    return (folder / "pairs.csv").exists()


def is_taxonomy(folder: Path) -> bool:
    """Say whether a grammar part completes and affirms a taxonomy."""
    return (folder / "validator.csv").exists()


def is_pronoun(folder: Path) -> bool:
    """Say whether a grammar part takes up subjects by pronouns."""
    return (folder / "frames.csv").exists()


def is_sentences(folder: Path) -> bool:
    """Say whether a grammar part plants leakage inside sentences, too long to enumerate what a model may write."""
    return (folder / "answers.csv").exists()


def is_leaking(folder: Path) -> bool:
    """Say whether a grammar part plants leakage in bare words."""
    return not any(is_other(folder) for is_other in (is_joint, is_taxonomy, is_pronoun, is_sentences))


def part_files(folder: Path) -> list[Path]:
    """Return the files that make a grammar part."""
    kinds = (
        (is_joint, JOINT_COLUMNS),
        (is_taxonomy, TAXONOMY_COLUMNS),
        (is_pronoun, PRONOUN_COLUMNS),
        (is_sentences, SENTENCE_COLUMNS),
    )
    columns = next((columns for is_of, columns in kinds if is_of(folder)), COLUMNS)
    return [folder / f"{name}.csv" for name in columns]


def part_folders(files: Iterable[str]) -> dict[str, Path]:
    """Return part → its folder, of the parts that some files make: a job is told where they are by its inputs."""
    return {Path(file).parent.name: Path(file).parent for file in files}
