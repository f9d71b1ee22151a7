"""Corpora of WordNet's entries: which there are, and what is said of a file that is none of WordNet's."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import wordnet_corpora
from leakscope.errors import InputError

LICENCE = "  1 This software and database is being provided to you\n"
ENTRIES = {
    "noun": '00001740 03 n 02 red_cedar 0 arborvitae 0 001 @ 0 n 0000 | a tree; "a red tree grew here"  \n',
    "verb": '00001740 29 v 01 breathe 0 000 | draw air; "she breathed"\n',
    "adj": "00001740 00 a 01 able(p) 0 000 | having means\n",
    "adv": "00001740 02 r 0a " + " ".join(f"w{n} 0" for n in range(10)) + " 000 | in grey light\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, line in ENTRIES.items():
        (tmp_path / f"data.{part}").write_text(LICENCE + line + line, encoding="utf-8")
    return tmp_path


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def test_entries_are_words_and_gloss_each_once(folder: Path) -> None:
    wordnet_corpora.main(folder, folder / "out")
    red, grey = texts(folder / "out/colors.jsonl.gz")
    assert red == 'red cedar, arborvitae: a tree; "a red tree grew here"'
    assert grey.startswith("w0, w1, ")
    assert grey.endswith("w9: in grey light")
    assert set(texts(folder / "out/examples.jsonl.gz")) == {red, 'breathe: draw air; "she breathed"'}
    assert "able: having means" in wordnet_corpora.entries(folder)
    first = (folder / "out/examples.jsonl.gz").read_bytes()
    wordnet_corpora.main(folder, folder / "out")
    assert (folder / "out/examples.jsonl.gz").read_bytes() == first


def test_another_file_is_one_line(folder: Path) -> None:
    (folder / "data.adj").write_text(LICENCE + "an adjective\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"data\.adj, line 2: got 'an adjective'; allowed: an entry of WordNet"):
        wordnet_corpora.entries(folder)
    (folder / "data.verb").unlink()
    with pytest.raises(InputError, match=r"data\.verb: got no such file"):
        wordnet_corpora.entries(folder)
