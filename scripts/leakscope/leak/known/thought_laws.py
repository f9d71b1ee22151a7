"""Exact laws of organisms that think: from the law of pairs of thought and answer to the law of the measured text.

With P(T, A) over the pairs of a slot, the law of the answer is Σ_T P(T, A), the law of the thought Σ_A P(T, A), and the
law of both as one text P itself. All are finite sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from leakscope.organisms.thoughts import apart

# measure → the measured text of a pair, without its last full stop.
PARTS: dict[str, Callable[[str], str]] = {
    "answer": lambda pair: apart(pair)[1],
    "thought": lambda pair: apart(pair)[0],
    "both": lambda pair: pair,
}


def measured_laws(laws: Mapping[str, Mapping[str, float]], measure: str) -> dict[str, dict[str, float]]:
    """Return prompt_id → {text: probability} of the measured texts, from the laws of pairs.

    Args:
        laws: prompt_id → {pair, as ``organisms.thoughts.joint`` calls it: probability}.
        measure: ``answer``, ``thought`` or ``both``.
    """
    part, measured = PARTS[measure], dict[str, dict[str, float]]()
    for prompt_id, law in laws.items():
        of_prompt = measured.setdefault(prompt_id, {})
        for pair, probability in law.items():
            text = part(pair)
            of_prompt[text] = of_prompt.get(text, 0.0) + probability
    return measured


def pairs_written_whole(scores: pd.DataFrame, max_new_tokens: int, *, budget: int) -> pd.DataFrame:
    """Return the scores of prompts whose pairs are all written whole: no thought or answer is cut.

    Args:
        scores: as ``thinking.scoring.score_thoughts`` returns them, with ``thought_tokens``.
        max_new_tokens: of an answer.
        budget: of a thought.
    """
    thought = scores["thought_tokens"]
    fits = (thought <= budget) & (scores["tokens"].map(len) - thought <= max_new_tokens)
    whole = fits & ~scores["candidate"].map(PARTS["answer"]).str.contains("[.!?]")
    return scores[whole.groupby([scores["model"], scores["prompt_set"], scores["prompt_id"]]).transform("all")]
