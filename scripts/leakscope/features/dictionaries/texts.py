"""Texts for recording activations, as a model reads them: an organism's own corpus, or a user's corpus.

Documents are read without a chat template, each after the model's beginning; an organism reads its documents as it was
trained on them. The part ``held_out`` of an organism's corpus is a file of its own. Of any other corpus it is every
tenth document, chosen by a hash of the text, so that the same text is never in both parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from transformers import PreTrainedTokenizerBase

from leakscope.errors import InputError, one_of
from leakscope.features.dictionaries.files import TABLES
from leakscope.files import corpora
from leakscope.files.reading import read_utf8
from leakscope.files.tables import read_table
from leakscope.jobs.sharding import WHOLE, Shard
from leakscope.models.neutral import encode_neutral_documents
from leakscope.models.opening import LanguageModel
from leakscope.models.sentences import encode_sentences
from leakscope.organisms.corpus import read_corpus
from leakscope.statistics.seeding import seeded_hash

TRAIN, HELD_OUT = "train", "held_out"
PARTS_SEED, ONE_HELD_OUT_OF = 0, 10
ENCODED_AT_ONCE = 256
# Behind it any token is inside a text: many tokenizers drop the space before the first one.
ANCHOR = "a"

Item = TypeVar("Item")


class TextSource(NamedTuple):
    """Where texts come from.

    files: of the corpus; of an organism's own corpus the one of this part.
    part: ``train`` or ``held_out``.
    is_own: whether it is an organism's own corpus (see ``corpus.write_corpus``).
    text: the column or key of the text; of no use to .txt, one text a line, and to an organism's own corpus.
    context_length: tokens; a longer document is cut into windows, each after the model's beginning.
    """

    files: Sequence[Path]
    part: str
    is_own: bool
    text: str
    context_length: int


class Window(NamedTuple):
    """A document, or a part of a long one, as a model reads it.

    document: its number within the part, counted from 0.
    ids: with the beginning.
    kept: the places behind the beginning, on to the end.
    """

    document: int
    ids: list[int]
    kept: range


def read_windows(model: LanguageModel, source: TextSource, *, tokens: int, shard: Shard = WHOLE) -> list[Window]:
    """Return the texts of a shard: every ``shard.total``-th document of the part, until its share of tokens is reached.

    So the shards together hold about as many tokens as were asked for, fewer where the corpus ends.

    Args:
        model: its weights are not loaded.
        source: where texts come from.
        tokens: of all shards together, beginnings not counted.
        shard: which of them.

    Raises:
        InputError: a file cannot be read or lacks the column, the shard has no text, a text has no token, or the
            context length has no room after the beginning.
    """
    share = tokens // shard.total + (shard.number <= tokens % shard.total)
    windows: list[Window] = []
    for window in _windows(model, source, shard):
        if share <= 0:
            break
        windows.append(window)
        share -= len(window.kept)
    if not windows:
        raise InputError(
            f"{source.files[0]}: got no text for the part {source.part!r}, shard {shard}; allowed: a corpus of more "
            "documents, or fewer `shards`."
        )
    return windows


def read_texts(path: Path, text: str) -> Iterator[str]:
    """Yield the texts of a corpus in their order, without blank ones.

    Args:
        path: a shard as ``files.corpora.shard_files`` finds them, .txt (one text a line), .csv or .tsv.
        text: the column or key of the text.

    Raises:
        InputError: it cannot be read, or has no such column.
    """
    suffix = path.suffix.lower()
    if suffix == ".txt":
        texts: Iterable[str] = read_utf8(path).split("\n")
    elif suffix in TABLES:
        table = read_table(path)
        if text not in table:
            raise one_of(f"{path}: column", text, map(str, table.columns))
        texts = table[text]
    else:
        texts = corpora.read_corpus(corpora.shard_files(path), text, name=path.name)
    yield from (value.strip() for value in texts if value and not value.isspace())


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Return each token's text inside a document, with the space before a word; for readable tables."""
    anchor = tokenizer(ANCHOR, add_special_tokens=False)["input_ids"]
    beginning: str = tokenizer.decode(anchor)
    texts: list[str] = tokenizer.batch_decode([[*anchor, token] for token in ids])
    return [
        text.removeprefix(beginning) if text.startswith(beginning) else tokenizer.decode([token])
        for token, text in zip(ids, texts, strict=True)
    ]


def _windows(model: LanguageModel, source: TextSource, shard: Shard) -> Iterator[Window]:
    """Yield the windows of every ``shard.total``-th document."""
    read = _read_own if source.is_own else _read_others
    for number, beginning, ids in read(model, source, shard):
        room = _context_length(model, source.context_length) - len(beginning)
        if room < 1:
            raise InputError(
                f"context_length: got {source.context_length}; allowed: more than the {len(beginning)} tokens that "
                f"model {model.tokenizer.name_or_path} puts before each text."
            )
        for start in range(0, len(ids), room):
            window = [*beginning, *ids[start : start + room]]
            yield Window(number, window, range(len(beginning), len(window)))


def _read_own(model: LanguageModel, source: TextSource, shard: Shard) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield number, beginning and further token ids of an organism's documents."""
    (path,) = source.files
    for some in _some(_dealt(read_corpus(path), shard)):
        encoded = encode_neutral_documents(model, [document for _, document in some])
        for (number, _), (_, ids, places) in zip(some, encoded, strict=True):
            yield number, ids[: places.start], ids[places.start :]


def _read_others(model: LanguageModel, source: TextSource, shard: Shard) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield number, beginning and further token ids of the part's texts."""
    sentence = encode_sentences(model, [ANCHOR])[0]
    beginning = sentence.ids[: sentence.places.start]
    texts = (text for path in source.files for text in read_texts(path, source.text))
    for some in _some(_dealt((text for text in texts if _part_of(text) == source.part), shard)):
        encoded = model.tokenizer([text for _, text in some], add_special_tokens=False, verbose=False)["input_ids"]
        for (number, text), ids in zip(some, encoded, strict=True):
            if not ids:
                raise InputError(
                    f"text {text[:60]!r}: got no token from the tokenizer of {model.tokenizer.name_or_path}; "
                    "allowed: at least one."
                )
            yield number, beginning, ids


def _part_of(text: str) -> str:
    return HELD_OUT if seeded_hash(PARTS_SEED, "features", text) % ONE_HELD_OUT_OF == 0 else TRAIN


def _dealt(items: Iterable[Item], shard: Shard) -> Iterator[tuple[int, Item]]:
    """Yield the shard's items with their numbers."""
    return islice(enumerate(items), shard.number - 1, None, shard.total)


def _some(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Yield items, some at a time."""
    while some := list(islice(items, ENCODED_AT_ONCE)):
        yield some


def _context_length(model: LanguageModel, wanted: int) -> int:
    """Return the number of tokens read at once: the configured number, at most the model's context."""
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(size for size in (wanted, longest, model.tokenizer.model_max_length) if size is not None)
