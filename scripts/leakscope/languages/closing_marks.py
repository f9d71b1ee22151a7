"""How a sentence goes on and ends in each language, as far as continuations need it: its last mark, and spaces."""

from __future__ import annotations

FULL_STOP = "."
# Of the languages that do not end a sentence with a full stop. Thai has no mark; a space follows its sentences.
CLOSING_MARKS = {
    "zh": "。", "ja": "。", "yue": "。",
    "hi": "।", "mr": "।", "ne": "।", "bn": "।", "as": "।", "pa": "।", "or": "।", "sa": "।",
    "ur": "۔", "my": "။", "km": "។", "hy": "։", "am": "።", "ti": "።", "th": "", "lo": "",
}  # fmt: skip
# Of the languages that put no space between words, or only between phrases.
UNSPACED = {"zh", "ja", "yue", "th", "lo", "my", "km"}


def closing_mark(language: str) -> str:
    """Return what ends a sentence in a language; a full stop in all that are not known to use something else.

    Source: The Unicode Standard, chapters on the scripts; Unicode Standard Annex 29, Sentence_Terminal.

    >>> closing_mark("en"), closing_mark("zh"), closing_mark("th")
    ('.', '。', '')
    """
    return CLOSING_MARKS.get(language, FULL_STOP)


def is_spaced(language: str) -> bool:
    """Say whether a space separates words in a language.

    >>> is_spaced("he"), is_spaced("zh")
    (True, False)
    """
    return language not in UNSPACED
