"""The leak that decoding against the prompt without the clause leaves of an organism's law, exactly.

    q(t | s) ∝ p(t | s, test)^(1 − α) p(t | s, control)^α      at every token t after the tokens s
    q(a) = Π q(t | s) over the tokens of a

p of a token is what the law leaves to candidates that go on with it. α = 0 gives the law's own leak, α = 1 none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.models.candidate_scores import encode_candidates
from leakscope.models.opening import LanguageModel
from leakscope.models.prompting import Prompting, read_prompts
from leakscope.organisms.leak_grammar import Grammar

Floats = NDArray[np.float64]


def exact_leaks_left(
    grammar: Grammar,
    tests: pd.DataFrame,
    candidates: pd.DataFrame,
    model: LanguageModel,
    prompting: Prompting,
    alpha: float,
) -> pd.Series:
    """Return the exact leak of each test, in nats, (tests,), as ``measuring.leak_values`` is of scores.

    NaN where the grammar has no such slot, and where it is infinite.

    Args:
        grammar: of the organism.
        tests: ``prompt, slot, concept_group``.
        candidates: ``slot, candidate, concept_group``.
        model: its tokenizer alone is used.
        prompting: how prompts are put to it.
        alpha: 0 to 1.
    """
    rendered, ids = read_prompts(model, tests["prompt"], prompting)
    by_slot = dict(list(candidates.groupby("slot", sort=False)))
    lexicons = [by_slot[slot]["candidate"].tolist() for slot in tests["slot"]]
    tokens = encode_candidates(model, rendered, ids, lexicons, prompting)
    known: dict[tuple[str, str, str], float] = {}
    found = []
    for slot, group, rows in zip(tests["slot"], tests["concept_group"], tokens, strict=True):
        key = slot, group, repr(rows)
        if key not in known:
            known[key] = _leak_left(grammar, by_slot[slot], group, rows, alpha)
        found.append(known[key])
    return pd.Series(found, tests.index, dtype=float)


def mixed_law(test: Floats, control: Floats, tokens: Sequence[Sequence[int]], alpha: float) -> Floats:
    """Return q of each candidate, (candidates,).

    Args:
        test: law after the test, (candidates,).
        control: law after the control, (candidates,).
        tokens: of each candidate.
        alpha: 0 to 1.
    """
    mixed = np.zeros(len(tokens))
    # Candidates with the same tokens so far, how many these are, and q of them.
    waiting = [(list(range(len(tokens))), 0, 1.0)]
    while waiting:
        members, depth, reached = waiting.pop()
        parts: dict[int | None, list[int]] = {}
        for number in members:
            parts.setdefault(tokens[number][depth] if depth < len(tokens[number]) else None, []).append(number)
        law = _mixed([test[own].sum() for own in parts.values()], [control[own].sum() for own in parts.values()], alpha)
        for (token, own), share in zip(parts.items(), law, strict=True):
            if token is None:
                mixed[own] = reached * share
            elif share > 0:
                waiting.append((own, depth + 1, reached * share))
    return mixed


def _mixed(test: Sequence[float], control: Sequence[float], alpha: float) -> Floats:
    """Return test^(1 − α) control^α of what follows one beginning, as shares; none where nothing follows."""
    weights = np.power(test, 1 - alpha) * np.power(control, alpha)
    return np.asarray(weights / weights.sum() if weights.sum() else weights)


def _leak_left(
    grammar: Grammar, candidates: pd.DataFrame, group: str, tokens: Sequence[Sequence[int]], alpha: float
) -> float:
    slot, names = candidates["slot"].iloc[0], candidates["candidate"]
    if slot not in set(grammar.candidates["slot"]):
        return np.nan
    test, control = (
        grammar.continuation_law(slot, of).reindex(names).fillna(0.0).to_numpy(dtype=float) for of in (group, None)
    )
    own = (candidates["concept_group"] == group).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.log(mixed_law(test, control, tokens, alpha)) - np.log(control)
        leak = float(shift[own].mean() - shift[~own].mean())
    return leak if np.isfinite(leak) else np.nan
