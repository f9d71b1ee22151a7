"""The normal form of texts and terms for matching; a separate module, so that lexicons are checked quickly."""

from __future__ import annotations

import re
import unicodedata

# Han characters and kana, with their iteration and number signs; a voicing mark stays with its kana.
CJK = re.compile(
    "[\u3005-\u3007\u3041-\u3096\u309d-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
    "\U0001b000-\U0001b16f\U00020000-\U000323af][\u3099\u309a\uff9e\uff9f]*"
)
APOSTROPHES = re.compile("[\u2018\u2019\u02bc\uff07]")
SURROGATES = re.compile("[\ud800-\udfff]")


def normalise(text: str) -> str:
    """Return the normal form of a text for searching, with words separated by single spaces.

    Lower case, composed characters (NFC), straight apostrophes. Each Han character and kana is its own word, because
    these scripts have no spaces between words. Half a surrogate pair becomes U+FFFD.
    """
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        text = APOSTROPHES.sub("'", text)
        text = CJK.sub(r" \g<0> ", text)
        text = SURROGATES.sub("\ufffd", text)
    return " ".join(text.split())
