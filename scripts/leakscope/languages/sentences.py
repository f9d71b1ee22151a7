"""Where the first sentence of a text ends, in any language: ICU's sentence breaks, with what ICU does not know.

ICU ends a sentence after 。 ！ ？ ؟ ۔ । and the like, and at a line break; after a full stop where no small letter
follows. That is mended here for abbreviations ("Dr."), initials ("J. Smith"), ordinals ("am 3. Mai"), numbers of a
list ("1. Red") and decimals with the Urdu full stop ("3۔5").
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from leakscope.languages.language_files import known_of
from leakscope.storage.fingerprints import code_hash

logger = logging.getLogger(__name__)

WHOLE_SENTENCE = "whole_sentence"
# A character that is not whole yet, since its last bytes are in the next token.
UNFINISHED = "\ufffd"
FULL_STOPS = (".", "۔")
OPENING = "\"'“‘«„([¿¡"


def first_sentence(stop: str, language: str, model: str) -> FirstSentence | None:
    """Return what cuts texts in a language; None where ``stop`` says otherwise.

    A line in the log says it of a language that marks no sentence's end.
    """
    if stop != WHOLE_SENTENCE:
        return None
    sentence = FirstSentence(language)
    if not sentence.known.sentence_marks:
        logger.warning(
            "%s: %s has no mark at the end of a sentence: most texts end by their number of tokens", model, language
        )
    return sentence


class FirstSentence:
    """Cuts texts of one language after their first sentence."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.known = known_of(language)

    @cached_property
    def identity(self) -> dict[str, str]:
        """What decides where a text ends: language, its list, ICU's version, and the code here."""
        import icu4py

        rules = self.known.model_dump_json(include={"abbreviations", "ordinals"})
        digest = hashlib.sha256((rules + code_hash([Path(__file__)])).encode()).hexdigest()
        return {"sentence_of": self.language, "sentence_rules": digest[:16], "icu": icu4py.icu_version}

    def cut(self, text: str) -> str:
        """Return a text up to the end of its first sentence, as it was written."""
        end = next(self.ends(text), len(text))
        return text[:end].rstrip() if end < len(text) else text

    def is_over(self, beginning: str) -> bool:
        """Return whether the first sentence of a text is over for sure, of which this is the beginning.

        It is where a letter of the next one is there: before that, a quotation mark may follow the full stop, or a
        small letter, before which ICU ends no sentence.
        """
        beginning = beginning.rstrip(UNFINISHED)
        end = next(self.ends(beginning), len(beginning))
        return any(map(str.isalpha, beginning[end:]))

    def ends(self, text: str) -> Iterator[int]:
        """Yield where sentences end that another follows."""
        from icu4py.breakers import SentenceBreaker

        for _, end in SentenceBreaker(text, self.language).segments():
            if end < len(text) and not _is_decimal(text, end) and self._is_end(text[:end]):
                yield end

    def _is_end(self, sentence: str) -> bool:
        if not any(map(str.isalpha, sentence)):
            return False  # nothing yet, or the number of a list
        if sentence.rstrip(" \t") != sentence.rstrip():
            return True  # a line break
        words = [word.lstrip(OPENING) for word in sentence.split()]
        last = words[-1]
        if not last.endswith(FULL_STOPS):
            return True
        is_initial = len(last) == 2 and last[0].isupper()
        is_ordinal = self.known.ordinals and last[:-1].isdecimal()
        return not (is_initial or is_ordinal or self._is_abbreviated(words))

    def _is_abbreviated(self, words: list[str]) -> bool:
        """Return whether a text ends with an abbreviation, or in the middle of one ("z. B.")."""
        return any(words[-len(part) :] == part for part in self._parts)

    @cached_property
    def _parts(self) -> list[list[str]]:
        written = [abbreviation.split() for abbreviation in self.known.abbreviations]
        cased = [*written, *([part[0][:1].upper() + part[0][1:], *part[1:]] for part in written)]
        return [part[:length] for part in cased for length in range(1, len(part) + 1)]


def _is_decimal(text: str, end: int) -> bool:
    """Return whether a number goes on right behind a full stop that ICU takes for the end of a sentence."""
    return text[end - 1] in FULL_STOPS and text[end].isdecimal() and text[max(end - 2, 0)].isdecimal()
