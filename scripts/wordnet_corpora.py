"""Write corpora of WordNet's entries, for `ground` and `features`: ``wordnet_corpora.py FOLDER [TARGET]``.

FOLDER holds WordNet 3.0's data.noun, data.verb, data.adj and data.adv, as Debian's package wordnet-base has them in
/usr/share/wordnet. A line of a corpus is an entry: its words, a colon, its gloss with definition and examples.

- ``colors.jsonl.gz``: the entries that name one of the eleven basic colors.
- ``examples.jsonl.gz``: 10,000 of those with an example of use, drawn by a hash of their text.
"""

import gzip
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from leakscope.errors import InputError
from leakscope.files.reading import read_utf8
from leakscope.files.writing import replacing

PARTS = ("noun", "verb", "adj", "adv")
COLORS = re.compile(r"\b(black|white|red|green|yellow|blue|brown|orange|pink|purple|gr[ae]y)\b", re.IGNORECASE)
N_EXAMPLES = 10_000
TARGET = Path("results/corpora/wordnet")


def entries(folder: Path) -> list[str]:
    """Return the entries of all parts of speech, each text once.

    Raises:
        InputError: a file is missing, or a line of it is no entry.
    """
    return list(dict.fromkeys(text for part in PARTS for text in _read(folder / f"data.{part}")))


def _read(file: Path) -> Iterator[str]:
    for number, line in enumerate(read_utf8(file).splitlines(), start=1):
        if line.startswith("  "):
            continue  # of the licence
        head, _, gloss = line.partition(" | ")
        # Offset, file, part of speech, number of words in hexadecimal, then each word and its number.
        fields = head.split(" ")
        try:
            words = [fields[4 + 2 * word] for word in range(int(fields[3], 16))]
        except (IndexError, ValueError) as error:
            raise InputError(f"{file}, line {number}: got {line[:40]!r}; allowed: an entry of WordNet 3.0.") from error
        shown = (re.sub(r"\(.*\)$", "", word.replace("_", " ")) for word in words)
        yield f"{', '.join(shown)}: {gloss.strip()}"


def write(texts: Iterable[str], path: Path) -> None:
    """Write a corpus, packed without name and time, so that equal texts are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps({'text': text}, ensure_ascii=False)}\n" for text in texts)
    with replacing(path) as part:
        part.write_bytes(gzip.compress(lines.encode(), compresslevel=9, mtime=0))


def main(folder: Path, target: Path = TARGET) -> None:
    """Write both corpora and say what is in them."""
    found = entries(folder)
    drawn = sorted((text for text in found if '"' in text), key=lambda text: hashlib.sha256(text.encode()).hexdigest())
    for name, texts in (("colors", [text for text in found if COLORS.search(text)]), ("examples", drawn[:N_EXAMPLES])):
        write(texts, target / f"{name}.jsonl.gz")
        sys.stdout.write(f"{target / name}.jsonl.gz: {len(texts):,} of {len(found):,} entries\n")


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
