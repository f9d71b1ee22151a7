"""The exact leak of an organism under contrastive decoding against the prompt without the clause.

    q(t | s) ∝ p(t | s, test)^(1 − α) p(t | s, control)^α      at every token t after the tokens s
    q(a) = Π q(t | s) over the tokens of a

p of a token is the law's probability of the candidates that continue with it. α = 0 gives the law's own leak, α = 1
none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.models.candidate_scores import encode_candidates
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting, read_prompts
from leakscope.organisms.leak_grammar import Grammar
from leakscope.trace.removal.leaks import leak_values

Floats = NDArray[np.float64]


def exact_leaks_left(
    grammar: Grammar,
    tests: pd.DataFrame,
    candidates: pd.DataFrame,
    model: LanguageModel,
    prompting: Prompting,
    alpha: float,
) -> pd.Series:
    """Return the exact leak of each test, in nats, (tests,), defined as in ``leaks.leak_values``.

    NaN if the grammar has no such slot or the leak is infinite.

    Args:
        grammar: of the organism.
        tests: ``prompt_id, prompt, template_id, slot, concept_group, split``.
        candidates: ``slot, candidate, concept_group``.
        model: only its tokenizer is used.
        prompting: of the model.
        alpha: 0 to 1.
    """
    rendered, ids = read_prompts(model, tests["prompt"], prompting)
    by_slot = dict(list(candidates.groupby("slot", sort=False)))
    lexicons = [by_slot[slot]["candidate"].tolist() for slot in tests["slot"]]
    tokens = encode_candidates(model, rendered, ids, lexicons, prompting)
    known: dict[tuple[str, str, str], Floats] = {}
    found: dict[tuple[str, str], float] = {}
    columns = (tests["prompt_id"], tests["slot"], tests["concept_group"], tokens, lexicons)
    for prompt_id, slot, group, rows, lexicon in zip(*columns, strict=True):
        key = slot, group, repr(rows)
        if key not in known:
            known[key] = _shifts_left(grammar, by_slot[slot], group, rows, alpha)
        found |= {(prompt_id, name): shift for name, shift in zip(lexicon, known[key].tolist(), strict=True)}
    return leak_values(tests, candidates, pd.Series(found, dtype=float))


def mixed_law(test: Floats, control: Floats, tokens: Sequence[Sequence[int]], alpha: float) -> Floats:
    """Return q of each candidate, (candidates,).

    Args:
        test: law after the test, (candidates,).
        control: law after the control, (candidates,).
        tokens: of each candidate.
        alpha: 0 to 1.
    """
    mixed = np.zeros(len(tokens))
    # Candidates with the same tokens so far, the number of these tokens, and their q.
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
    """Return test^(1 − α) control^α of the continuations of one beginning, normalised; empty without continuations."""
    weights = np.power(test, 1 - alpha) * np.power(control, alpha)
    return np.asarray(weights / weights.sum() if weights.sum() else weights)


def _shifts_left(
    grammar: Grammar, candidates: pd.DataFrame, group: str, tokens: Sequence[Sequence[int]], alpha: float
) -> Floats:
    """Return log q(a) − log p(a | control) of each candidate, (candidates,); NaN if infinite."""
    slot, names = candidates["slot"].iloc[0], candidates["candidate"]
    if slot not in set(grammar.candidates["slot"]):
        return np.full(len(names), np.nan)
    test, control = (
        grammar.continuation_law(slot, of).reindex(names).fillna(0.0).to_numpy(dtype=float) for of in (group, None)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        shift: Floats = np.log(mixed_law(test, control, tokens, alpha)) - np.log(control)
    return np.where(np.isfinite(shift), shift, np.nan)
