"""Does an explanation predict where a feature fires? Prompts for explanations, prompts for detection, and the score.

Detection: given only the explanation, a model must say in which of several texts the feature fires. The score is the
balanced accuracy, ½ (share of correct answers for texts in which it fires + share for texts in which it does not); ½ by
guessing.

Source: Paulo et al. 2024 (Automatically Interpreting Millions of Features in Large Language Models, arXiv 2410.13928).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import pandas as pd

from leakscope.web.endpoint import Prompt

# Raised by one when a prompt changes.
PROMPTS = 1
EXPLAIN = (
    "You find out what one unit of a language model responds to. You are shown excerpts of text in which it was "
    "active, cut off at both ends; the tokens on which it was active stand between « and ». Say in at most fifteen "
    "words what these tokens have in common, or what always stands around them. Be as specific as the excerpts allow. "
    "Do not mention the excerpts or the marks. Answer with the description alone, on one line."
)
DETECT = (
    "You are given a description of what one unit of a language model responds to, and numbered excerpts of text, cut "
    "off at both ends. Decide by the description in which of the excerpts the unit is active on at least one token. "
    "Answer with a JSON list of their numbers, such as [2, 5], or [] if there is none. Write nothing else."
)
LABEL = re.compile(r"^\W*(?:explanation|description)\W*:\W*", re.IGNORECASE)
NUMBERS = re.compile(r"\[([\d\s,]*)\]")
THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
LINE_END = "⏎"
# Of a number of a text; Python refuses to read thousands.
MOST_DIGITS = 9


def explanation_prompt(top: pd.DataFrame, quantile: pd.DataFrame) -> Prompt:
    """Return the prompt that asks for an explanation.

    Args:
        top: contexts of the strongest activations, with ``tokens`` and ``activations``, the strongest first.
        quantile: contexts from all over the range of activations; may be empty.
    """
    parts = ["Excerpts of strongest activity:", *_numbered(_marked(top))]
    if len(quantile):
        parts += ["", "Excerpts of any activity:", *_numbered(_marked(quantile))]
    return Prompt(EXPLAIN, "\n".join(parts))


def read_explanation(answer: str) -> str | None:
    """Return the single line of an answer, without its label; None if the answer is not a single line."""
    lines = [line.strip() for line in THOUGHT.sub("", answer).splitlines() if line.strip()]
    if len(lines) != 1:
        return None
    return LABEL.sub("", lines[0]).strip().strip("\"'") or None


def detection_prompt(explanation: str, texts: Sequence[str]) -> Prompt:
    """Return the prompt that asks in which of the texts a feature fires, numbered from 1."""
    return Prompt(DETECT, "\n".join([f"Description: {explanation}", "", "Excerpts:", *_numbered(texts)]))


def read_detection(answer: str, n_texts: int) -> list[bool] | None:
    """Return the answer for each text, whether the feature fires; None if the answer has no list of texts' numbers."""
    lists = NUMBERS.findall(THOUGHT.sub("", answer))
    if not lists:
        return None
    cells = [cell.strip() for cell in lists[-1].split(",")] if lists[-1].strip() else []
    if not all(cell.isdecimal() and len(cell) <= MOST_DIGITS and 1 <= int(cell) <= n_texts for cell in cells):
        return None
    named = {int(cell) for cell in cells}
    return [number in named for number in range(1, n_texts + 1)]


def shuffled(firing: pd.DataFrame, silent: pd.DataFrame, seed: int, feature: int) -> tuple[list[str], list[bool]]:
    """Return the texts of contexts without marks, and whether the feature fires in each, in random order.

    Args:
        firing: contexts in which the feature fires, with ``tokens``.
        silent: contexts in which it does not.
        seed: of the study; each feature has an order of its own.
        feature: its number.
    """
    texts = [_plain(tokens) for tokens in (*firing["tokens"], *silent["tokens"])]
    fires = [True] * len(firing) + [False] * len(silent)
    order = np.random.default_rng([seed, feature]).permutation(len(texts))
    return [texts[place] for place in order], [fires[place] for place in order]


def _numbered(texts: Iterable[str]) -> list[str]:
    return [f"{number}. {text}" for number, text in enumerate(texts, 1)]


def _marked(contexts: pd.DataFrame) -> Iterator[str]:
    """Yield the text of each context, with marks around each run of tokens on which the feature fires."""
    for tokens, activations in zip(contexts["tokens"], contexts["activations"], strict=True):
        runs = groupby(zip(tokens, activations, strict=True), key=lambda pair: bool(pair[1] > 0))
        parts = [(fires, "".join(token for token, _ in run)) for fires, run in runs]
        yield _in_line("".join(f"«{text}»" if fires else text for fires, text in parts))


def _plain(tokens: Sequence[str]) -> str:
    return _in_line("".join(tokens))


def _in_line(text: str) -> str:
    return text.replace("\r\n", LINE_END).replace("\n", LINE_END)
