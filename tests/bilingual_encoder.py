"""A static encoder that reads the languages of some lexicons: words of one group share a vector.

It stands in for a multilingual encoder where there is no hub: what is measured across languages needs a scorer that
reads both, and of this one it is known what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from leakscope.leak.prompt_files import LexiconTerm, read_lexicon

UNKNOWN = "[UNK]"
WIDTH = 64


def save_encoder(folder: Path, lexicons: Iterable[Path], noise: float = 0.0, seed: int = 0) -> tuple[Path, Path]:
    """Write ``weights.safetensors`` and ``tokenizer.json``; return both.

    A word of one group alone has the group's vector, orthogonal to the others', and noise of its own; a word of several
    groups ("a", "juice") has nothing, but for one that is a whole term ("merah", which "merah muda" holds).

    Args:
        folder: of both files, which is made.
        lexicons: of all languages.
        noise: length of a word's own vector, that of a group's being 1.
        seed: of the noise.

    Raises:
        ValueError: a term has no word of its own.
    """
    terms = [term for path in lexicons for term in read_lexicon(path)]
    group_of = _groups_of_words(terms)
    groups = sorted({term.group for term in terms})
    rng = np.random.default_rng(seed)
    words = [UNKNOWN, *group_of]
    matrix = np.zeros((len(words), WIDTH), dtype=np.float32)
    for row, group in enumerate(group_of.values(), start=1):
        if group is not None:
            own = rng.normal(size=WIDTH)
            matrix[row] = np.eye(WIDTH)[groups.index(group)] + noise * own / np.linalg.norm(own)
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"embedding.weight": matrix}, folder / "weights.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "weights.safetensors", folder / "tokenizer.json"


def _groups_of_words(terms: list[LexiconTerm]) -> dict[str, str | None]:
    """Return each word with its group; None for one of several groups."""
    whole = {term.term.lower(): term.group for term in terms}
    found: dict[str, set[str]] = {}
    for term in terms:
        for word in re.findall(r"\w+", term.term.lower()):
            found.setdefault(word, set()).add(term.group)
    group_of = {word: whole.get(word, min(groups) if len(groups) == 1 else None) for word, groups in found.items()}
    for term in terms:
        if all(group_of[word] != term.group for word in re.findall(r"\w+", term.term.lower())):
            raise ValueError(f"{term.term!r} has no word that is of its group alone")
    return group_of
