"""Detects echoes: texts that restate their prompt instead of continuing it. An echo is not a leak.

Asked to complete "The front door is lemon yellow. The wall is", some chat models write the prompt again, in part or
with a word changed. Such a text contains the concept, or words around it, whether or not the model associates anything
with the concept. Echo differs from literal repetition (``contains_concept``): the text "lemon yellow." is a repetition
but no echo; "The front door is lemon green" is an echo but no repetition.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leakscope.languages.of_prompts import DEFAULT
from leakscope.languages.words import split

# Every job of Snakemake imports this module, for `closing_words` alone.
if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

PROMPT, TEMPLATE, NONE = "prompt", "template", ""
# Smallest share of a text's words copied from the prompt in order; smallest number copied from finished sentences.
SHARE, COPIED = 0.6, 3
# Smallest number of copied words that are not the concept's.
OTHERS = 2
# Share of echoes among a model's texts from which a warning is given.
MANY = 0.2
PLACEHOLDER = "{prompt}"

# In languages with spaces between words a space must follow the mark; in others the mark is enough.
_FINISHED = re.compile(r"[.!?:؟۔।](?=\s+\S)|[。！？：](?=.)")


def restated(text: str, prompt: str, concept: str = "", closing: str = "", language: str = DEFAULT) -> str:
    """Return the source that a text restates: ``prompt``, ``template``, or an empty string for none.

    Words are runs of letters and digits, case-folded; in languages without spaces, words of ICU's dictionary. If the
    text begins with the template's words after the prompt ("Your answer:"), they are removed; a text of nothing else
    restates the template. A copy of the prompt's unfinished sentence is also removed ("The wall is green" continues
    "The wall is"), unless it contains the concept. Of the n remaining words, the prompt is restated if

    - they include a run of the prompt's words with the concept and at least two more words. One more word is no sign
      of copying: "the sun is yellow" shares "is yellow" with any prompt in which something is yellow, and "red rose"
      is what a leak looks like; or
    - at least 0.6 n of them occur in the prompt in the same order (longest common subsequence), at least three in its
      finished sentences, if any, and at least two outside the concept, since the concept itself is a repetition.
      "The paint was red" continues an unfinished "The paint in the palette was" and repeats nothing of the clause.

    By this rule 2 % (color prompts, both models) to 5 % (initial prompts, 0.5-billion-parameter model) of the texts
    published with Smilga 2025 are echoes. An empty text restates nothing.

    Args:
        text: written by a model.
        prompt: its own prompt, as in the prompts table.
        concept: mentioned in the prompt; empty for a control.
        closing: what follows the prompt in the template, from :func:`closing_words`.
        language: of the text and the prompt.
    """
    words = split(text, language)
    rest = _without_beginning(words, split(closing, language))
    if not rest:
        return TEMPLATE if words else NONE
    if len(rest) < COPIED:  # too few for a run, and for words in order
        return NONE
    of_prompt, of_concept = split(prompt, language), split(concept, language)
    finished, unfinished = (split(part, language) for part in _last_sentence(prompt))
    if not (of_concept and _places(unfinished, of_concept)):
        rest = _without_beginning(rest, unfinished)
    copied = _in_order(rest, finished or of_prompt, of_prompt, of_concept)
    return PROMPT if copied or _has_run(rest, of_prompt, of_concept) else NONE


def which_restate(
    texts: Sequence[str], prompts: Sequence[tuple[str, str]], closing: str = "", language: str = DEFAULT
) -> NDArray[np.bool_]:
    """Return whether each text restates each prompt, or the template, (prompts, texts).

    Args:
        texts: (texts,).
        prompts: (prompts,), each with its concept.
        closing: as in ``restated``.
        language: as in ``restated``.
    """
    import numpy as np

    known = {word for prompt, _ in prompts for word in split(prompt, language)}
    found = np.zeros((len(prompts), len(texts)), dtype=bool)
    for place, text in enumerate(texts):
        words = split(text, language)
        # Most texts share few words with any prompt: one check is enough.
        if sum(word in known for word in words) < COPIED:
            found[:, place] = bool(words) and not _without_beginning(words, split(closing, language))
        else:
            found[:, place] = [restated(text, *asked, closing, language) != NONE for asked in prompts]
    return found


def closing_words(template: str) -> str:
    """Return the last line that a template has after the prompt; empty if it has none."""
    lines = template.rpartition(PLACEHOLDER)[2].strip().splitlines()
    return lines[-1] if lines and PLACEHOLDER in template else ""


def echo_warnings(pairs: pd.DataFrame) -> list[str]:
    """Return a warning for each model with at least a fifth of echoes among its texts of all prompt sets.

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them, of any number of scorers.
    """
    import pandas as pd

    sides = [
        pairs[["model", "prompt_set", prompt_id, sample, text, echo]].set_axis(
            ["model", "prompt_set", "prompt_id", "sample", "text", "echo"], axis=1
        )
        for prompt_id, sample, text, echo in (
            ("prompt_id", "sample", "text_test", "echo_test"),
            ("control_id", "sample_control", "text_control", "echo_control"),
        )
    ]
    texts = pd.concat(sides).drop_duplicates(["model", "prompt_set", "prompt_id", "sample"])
    found = []
    for model, rows in texts.groupby("model", sort=False):
        echoes = rows[rows["echo"] != NONE]
        if len(echoes) >= MANY * len(rows):
            found.append(
                f"model {model}: {len(echoes)} of {len(rows)} texts restate their prompt or its template (the first is "
                f"{echoes['text'].iloc[0]!r}), which is no leak: compare match_rate_without_echo with match_rate, or "
                "ask for a continuation with another `generation.template`."
            )
    return found


def _last_sentence(prompt: str) -> tuple[str, str]:
    """Return a prompt's finished sentences and its last, unfinished one; a colon also ends a sentence here."""
    ends = [mark.end() for mark in _FINISHED.finditer(prompt)]
    return (prompt[: ends[-1]], prompt[ends[-1] :]) if ends else ("", prompt)


def _places(words: Sequence[str], part: Sequence[str]) -> list[int]:
    """Return the positions of ``part``, at least one word, in ``words``."""
    return [start for start in range(len(words) - len(part) + 1) if words[start : start + len(part)] == part]


def _without_beginning(words: list[str], beginning: list[str]) -> list[str]:
    """Return words without all leading copies of a beginning; an empty beginning changes nothing."""
    while beginning and words[: len(beginning)] == beginning:
        words = words[len(beginning) :]
    return words


def _has_run(text: list[str], prompt: list[str], concept: list[str]) -> bool:
    """Return whether the text has the concept in a run with ``OTHERS`` of the prompt's words around it."""
    length = len(concept) + OTHERS
    if not concept or not _places(text, concept):
        return False
    return any(
        _places(text, prompt[start : start + length])
        for place in _places(prompt, concept)
        for start in range(max(0, place - OTHERS), min(place, len(prompt) - length) + 1)
    )


def _in_order(text: list[str], finished: list[str], prompt: list[str], concept: list[str]) -> bool:
    enough = max(COPIED, SHARE * len(text))
    # Most texts share few words with their prompt in any order: skip the slow comparison.
    if (Counter(text) & Counter(prompt)).total() < enough or _longest_common(text, prompt) < enough:
        return False
    if _longest_common(text, finished) < COPIED:
        return False
    places = _places(text, concept) if concept else []
    held = {place + shift for place in places for shift in range(len(concept))}
    return _longest_common([word for at, word in enumerate(text) if at not in held], prompt) >= OTHERS


def _longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    best = [0] * (len(right) + 1)
    for word in left:
        before = 0
        for place, other in enumerate(right, start=1):
            above = best[place]
            best[place] = before + 1 if word == other else max(above, best[place - 1])
            before = above
    return best[-1]
