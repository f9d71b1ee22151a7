"""Files of corpora, contrasts and dictionaries; light enough to import while jobs are planned."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from leakscope.errors import InputError, one_of
from leakscope.files.corpora import SUFFIXES, read_texts, shard_files
from leakscope.files.reading import read_beginning
from leakscope.files.tables import BEGINNING, read_first_rows
from leakscope.models.editing.hook_names import SETTINGS, WEIGHTS, hook_layer, settings_object

# Corpora of one file; all others are shards of JSON lines.
TABLES = (".csv", ".tsv")
SINGLE = (".txt", *TABLES, ".parquet")


def corpus_files(path: str) -> list[str]:
    """Return the files of a corpus, sorted: one of ``SINGLE``, or shards (see ``files.corpora.shard_files``).

    Raises:
        InputError: there are none, or of another suffix.
    """
    place = Path(path)
    if place.is_file() and place.suffix.lower() in SINGLE:
        return [path]
    if place.is_file() and not place.name.lower().endswith(SUFFIXES):
        allowed = ", ".join((*SUFFIXES, *SINGLE))
        raise InputError(f"{path}: got the suffix {place.suffix!r}; allowed: {allowed}.")
    return [str(shard) for shard in shard_files(path)]


def check_corpus(file: Path, text: str, *, rows: int) -> None:
    """Look at the first texts of a file of a corpus before anything else is done.

    Args:
        file: as ``corpus_files`` returns it.
        text: the column or key of the text; of no use to .txt.
        rows: at which to look.

    Raises:
        InputError: it cannot be read, has no such column, or holds no text.
    """
    suffix = file.suffix.lower()
    if suffix == ".txt":
        beginning, is_whole = read_beginning(file, BEGINNING)
        if not (is_whole or beginning):
            return
        texts: Iterable[str] = beginning.split("\n")
    elif suffix in TABLES:
        table = read_first_rows(file, rows)
        if table is None:
            return
        if text not in table:
            raise one_of(f"{file}: column", text, map(str, table.columns))
        texts = table[text]
    else:
        texts = (read.text for read in islice(read_texts(file, text), rows))
    # All of them, because any may have an error.
    if not sum(1 for value in texts if value.strip()):
        raise InputError(f"{file}: got no text; allowed: a corpus of at least one.")


def contrast_files(path: str) -> list[str]:
    """Return the file of a contrast of templates, and the tables in its folder that it names.

    Raises:
        InputError: as ``read_contrast_file``, or a table is not there.
    """
    # Not above: every job of Snakemake imports this module, and few read a contrast.
    from leakscope.features.contrasts.contrast_file import read_contrast_file

    content = read_contrast_file(Path(path))
    pairs = content.minimal_pairs
    tables = [Path(path).parent / name for name in (content.items, *([pairs.words] if pairs else []))]
    for table in tables:
        if not table.is_file():
            raise InputError(f"{path}: got {table.name!r}; allowed: a table in the same folder.")
    return [path, *map(str, tables)]


def dictionary_files(folder: str) -> list[str]:
    """Return the files of a dictionary that decide what it is."""
    return [f"{folder}/{name}" for name in (SETTINGS, WEIGHTS)]


def said_layer(folder: str) -> int | None:
    """Return the layer that a dictionary's metadata names; None where it names none between blocks.

    Raises:
        InputError: as ``settings_object``.
    """
    settings = settings_object(Path(folder))
    metadata = {**settings, **settings["metadata"]}
    hook = metadata.get("hook_name", metadata.get("hook_point"))
    return hook_layer(hook) if isinstance(hook, str) else None
