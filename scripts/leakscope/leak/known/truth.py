"""Exact rates implied by a grammar (a perfect learner), and by an organism's own probabilities.

Without sampling: for two independent texts with known laws over a finite set of candidates, the probability that one is
more similar to a concept than the other is a finite sum. This module has Leak-Rates, ``exact_match`` match rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.files.names import POOLED
from leakscope.languages.closing_marks import FULL_STOP, closing_mark
from leakscope.languages.of_prompts import languages_of
from leakscope.leak.known.exact_match import ExactMatches, pooled_match
from leakscope.leak.known.thought_laws import measured_laws, pairs_written_whole
from leakscope.leak.measures.leak_rate import KEYS, ROUNDING
from leakscope.leak.measures.logit_leak import prompt_shifts
from leakscope.leak.measures.outcomes import win
from leakscope.organisms.leak_grammar import Grammar

Similarity = Mapping[tuple[str, str], float]


def sampled_law(probabilities: Sequence[float], tokens: Sequence[Sequence[int]], temperature: float) -> np.ndarray:
    """Return the law of whole candidates when each *token* is drawn at a temperature, shape (candidates,).

    Temperature acts on tokens, not on words: at every node of the trie of the tokenised candidates, the conditional q
    over branches becomes q^(1/T) / Σ q^(1/T). A candidate's probability is the product along its path. At temperature 0
    the most probable branch has probability 1; ties share it.

    Args:
        probabilities: of each candidate, (candidates,), summing to 1.
        tokens: each candidate's ids, end included, so that no candidate is another's prefix.
        temperature: of sampling, at least 0.
    """
    law = np.zeros(len(probabilities))
    _descend(np.arange(len(law)), 0, 1.0, np.asarray(probabilities, dtype=float), tokens, temperature, law)
    return law


def _descend(
    members: np.ndarray,
    depth: int,
    mass: float,
    probabilities: np.ndarray,
    tokens: Sequence[Sequence[int]],
    temperature: float,
    law: np.ndarray,
) -> None:
    """Share ``mass`` among the candidates ``members``, which agree on their first ``depth`` tokens."""
    if mass == 0:
        return
    if len(members) == 1:
        law[members[0]] = mass
        return
    branches: dict[int, list[int]] = {}
    for member in members:
        branches.setdefault(tokens[member][depth], []).append(member)
    shares = temper(np.array([probabilities[branch].sum() for branch in branches.values()]), temperature)
    for branch, share in zip(branches.values(), shares, strict=True):
        _descend(np.array(branch), depth + 1, mass * share, probabilities, tokens, temperature, law)


def temper(weights: np.ndarray, temperature: float) -> np.ndarray:
    """Return weights^(1/T), normalised; at temperature 0 the largest weights share all probability."""
    if temperature == 0:
        weights = np.isclose(weights, weights.max(), rtol=1e-9).astype(float)
        temperature = 1.0
    scaled = (weights / weights.max()) ** (1 / temperature)
    tempered: np.ndarray = scaled / scaled.sum()
    return tempered


def expected_outcome(law_test: np.ndarray, law_control: np.ndarray, similarity: np.ndarray, decimals: int) -> float:
    """Return P(s_t > s_c) + P(s_t = s_c) / 2 for independent texts with these laws over the same candidates.

    Args:
        law_test: (candidates,).
        law_control: (candidates,).
        similarity: of each candidate's text to the concept, (candidates,); NaN for an empty one, which ties with all.
        decimals: similarities are rounded before they are compared, as measured ones are.
    """
    rounded = np.round(similarity, decimals)
    return float(law_test @ win(rounded[:, None], rounded[None, :]) @ law_control)


def expected_outcomes(
    prompts: pd.DataFrame,
    laws: Mapping[str, Mapping[str, float]],
    similarity: Mapping[tuple[str, str], float],
    decimals: int,
    mark: str = FULL_STOP,
) -> pd.Series:
    """Return each test prompt's expected outcome against its control without the clause, indexed by prompt_id.

    Prompts are left out if their law, or their control's, is unknown.

    Args:
        prompts: the prompts table.
        laws: prompt_id → {candidate: probability}.
        similarity: (concept, text) → similarity; a candidate's text is the candidate and ``mark``.
        decimals: as in ``expected_outcome``.
        mark: what ends a sentence in the candidates' language.
    """
    outcomes = {}
    tests = prompts.loc[prompts["control_id"].notna(), ["prompt_id", "control_id", "concept"]].astype(str)
    for prompt_id, control_id, concept in zip(*(tests[column] for column in tests), strict=True):
        if prompt_id not in laws or control_id not in laws:
            continue
        test, control = laws[prompt_id], laws[control_id]
        if list(test) != list(control):
            raise ValueError(f"prompt {prompt_id!r} and its control have different slots")
        scores = np.array([similarity[concept, candidate + mark] for candidate in test])
        outcomes[prompt_id] = expected_outcome(
            np.array(list(test.values())), np.array(list(control.values())), scores, decimals
        )
    return pd.Series(outcomes, dtype=float, name="expected_outcome")


class KnownLaws(NamedTuple):
    """The known laws of one organism's texts on one prompt set."""

    model: str
    prompt_set: str
    prompts: pd.DataFrame  # of the set
    scores: pd.DataFrame  # of prompts whose candidates are all written as they stand
    grammar: dict[str, dict[str, float]]  # prompt_id → {candidate: probability of being sampled}, of a perfect learner
    organism: dict[str, dict[str, float]]  # of the organism itself
    mark: str = FULL_STOP  # what ends a sentence in the set's language


def known_laws(
    grammars: Mapping[str, Grammar],
    temperatures: Mapping[str, float],
    max_new_tokens: Mapping[str, int],
    prompts: pd.DataFrame,
    scores: pd.DataFrame | None,
    thinking: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[KnownLaws]:
    """Return the laws of the measured texts, for every organism and prompt set.

    Args:
        grammars: organism → the grammar it was trained on.
        temperatures: organism → temperature of sampling.
        max_new_tokens: organism → longest text; prompts with a longer candidate have no exact law.
        prompts: the prompts tables of all sets.
        scores: the candidate scores of all organisms and sets; None: no organism has known laws.
        thinking: organism that thinks → ``budget, measure`` of its entry.
    """
    found = []
    for keys, rows in scores.groupby(["model", "prompt_set"], sort=False) if scores is not None else ():
        model, prompt_set = map(str, keys)
        measured = (thinking or {}).get(model)
        whole = written_whole if measured is None else partial(pairs_written_whole, budget=measured["budget"])
        rows = whole(rows, max_new_tokens[model])
        own = prompts[prompts["prompt_set"] == prompt_set]
        known = grammar_laws(grammars[model], own.set_index("prompt_id"), rows, temperatures[model])
        learnt = organism_laws(rows)
        if measured is not None:
            known, learnt = (measured_laws(of_pairs, measured["measure"]) for of_pairs in (known, learnt))
        found.append(KnownLaws(model, prompt_set, own, rows, known, learnt, closing_mark(languages_of(own).texts)))
    return found


def expected_by_prompt(
    laws: Sequence[KnownLaws], grammars: Mapping[str, Grammar], similarities: Mapping[str, Similarity], decimals: int
) -> pd.DataFrame:
    """Return every organism's expected outcome of every test prompt, by scorer.

    Args:
        laws: as ``known_laws`` returns them.
        grammars: organism → the grammar it was trained on.
        similarities: scorer → (concept, text) → similarity.
        decimals: as in ``expected_outcome``.

    Returns:
        ``model, prompt_set, scorer, category, prompt_id, split`` (seen, held_out, or null where the grammar does not
        know the prompt), ``lexicon_mass, grammar, organism``.
    """
    columns = [*KEYS, "prompt_id", "split", "lexicon_mass", "grammar", "organism"]
    frames = []
    for model, prompt_set, own, rows, known, learnt, mark in laws:
        base = own.set_index("prompt_id")[["category", "prompt"]].assign(
            model=model,
            prompt_set=prompt_set,
            split=splits(grammars[model], own),
            lexicon_mass=lexicon_mass(rows),
        )
        for scorer, similarity in similarities.items():
            frames.append(
                base.assign(
                    scorer=scorer,
                    grammar=expected_outcomes(own, known, similarity, decimals, mark),
                    organism=expected_outcomes(own, learnt, similarity, decimals, mark),
                ).loc[own.loc[own["control_id"].notna(), "prompt_id"]]
            )
    return pd.concat(frames).reset_index(names="prompt_id")[columns] if frames else pd.DataFrame(columns=columns)


def true_match_rates(laws: Sequence[KnownLaws], similarities: Mapping[str, Similarity], decimals: int) -> pd.DataFrame:
    """Return exact match rates: ``KEYS, true_match_rate_grammar, true_match_rate_organism`` in percent.

    NaN for a cell with an unknown law in any unit.
    """
    rows = []
    for scorer, similarity in similarities.items():
        exact = {mark: ExactMatches(similarity, decimals, mark) for mark in {known.mark for known in laws}}
        for known in laws:
            units = [exact[known.mark].by_unit(known.prompts, law) for law in (known.grammar, known.organism)]
            categories = [*units[0]["category"].dropna().unique(), POOLED]
            for category in categories:
                cells = [u if category == POOLED else u[u["category"] == category] for u in units]
                rows.append((known.model, known.prompt_set, scorer, category, *map(pooled_match, cells)))
    columns = [*KEYS, "true_match_rate_grammar", "true_match_rate_organism"]
    return pd.DataFrame(rows, columns=columns).round(ROUNDING)


def true_shifts(laws: Sequence[KnownLaws], grammars: Mapping[str, Grammar], candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the exact logit leak: ``model, prompt_set, category, true_shift_grammar, true_shift_organism``.

    Shifts are of probability, −1 to 1, at temperature 1. The organism's shift equals the measured logit leak, as
    nothing is sampled. NaN for a cell with a prompt that the grammar does not know.
    """
    tables = []
    for known in laws:
        if grammars[known.model].thought is not None:
            continue  # it has no logit leak: what follows its prompt is no answer
        text_of = dict(zip(known.prompts["prompt_id"], known.prompts["prompt"], strict=True))
        grammar = grammars[known.model]
        contexts = grammar.contexts.drop_duplicates("context")
        places = dict(
            zip(contexts["context"], zip(contexts["slot"], contexts["concept_group"], strict=True), strict=True)
        )
        law_of = {}
        for prompt_id in known.grammar:
            slot, group = places[text_of[prompt_id]]
            law_of[prompt_id] = grammar.continuation_law(slot, group or None)
        taught = [
            (known.model, prompt_id, candidate, np.log(p) if p > 0 else -np.inf)
            for prompt_id, law in law_of.items()
            for candidate, p in law.items()
        ]
        of_grammar = pd.DataFrame(taught, columns=["model", "prompt_id", "candidate", "logprob"])
        of_grammar = of_grammar.astype({"logprob": float})  # also where the grammar knows no prompt of the set
        means = {}
        for name, scores in (("grammar", of_grammar), ("organism", known.scores)):
            shifts = prompt_shifts(known.prompts, candidates, scores)
            shifts["shift"] = shifts["probability_test"] - shifts["probability_control"]
            pooled = pd.concat([shifts[shifts["category"].notna()], shifts.assign(category=POOLED)])
            means[name] = pooled.groupby("category", sort=False)["shift"].agg(["mean", "size"])
        both = means["organism"].join(means["grammar"], rsuffix="_grammar", how="left")
        whole = both["size"] == both["size_grammar"]
        tables.append(
            pd.DataFrame(
                {
                    "model": known.model,
                    "prompt_set": known.prompt_set,
                    "category": both.index,
                    "true_shift_grammar": both["mean_grammar"].where(whole).to_numpy(),
                    "true_shift_organism": both["mean"].to_numpy(),
                }
            )
        )
    columns = ["model", "prompt_set", "category", "true_shift_grammar", "true_shift_organism"]
    return pd.concat(tables, ignore_index=True).round(ROUNDING) if tables else pd.DataFrame(columns=columns)


def similarity_lookup(table: pd.DataFrame) -> Similarity:
    """Return (concept, text) → similarity."""
    return dict(zip(zip(table["concept"], table["text"], strict=True), table["similarity"], strict=True))


def splits(grammar: Grammar, prompts: pd.DataFrame) -> pd.Series:
    """Return, by prompt_id, whether a prompt may occur in the corpus (``seen``) or was withheld (``held_out``)."""
    stands = grammar.contexts.drop_duplicates("context").set_index("context")["in_corpus"]
    split = prompts.set_index("prompt_id")["prompt"].map(stands.map({"yes": "seen", "no": "held_out"}))
    return split.rename("split")


def true_rates_by_split(expected: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return measured and exact rates (percent) separately for seen and held-out combinations of template and filler.

    Seen combinations test memory; held-out combinations test generalisation of the association to new sentences.

    Returns:
        ``model, prompt_set, scorer, category, split, n_prompts, lexicon_mass, leak_rate, true_rate_grammar,
        true_rate_organism``; lexicon_mass is the mean probability (0 to 1) that a sample is a candidate at all.
    """
    expected = expected.astype({"grammar": float, "organism": float, "lexicon_mass": float})
    without = pairs[pairs["control_kind"] == "without"]
    keys = ["model", "prompt_set", "scorer", "prompt_id"]
    measured = without.groupby(keys, sort=False)["outcome"].mean().reset_index()
    joined = expected[expected["split"].notna()].merge(measured, on=keys)
    pooled = pd.concat([joined[joined["category"].notna()], joined.assign(category="all")])
    table = (
        pooled.groupby([*KEYS, "split"], sort=False)
        .agg(
            n_prompts=("prompt_id", "size"),
            lexicon_mass=("lexicon_mass", "mean"),
            leak_rate=("outcome", "mean"),
            true_rate_grammar=("grammar", "mean"),
            true_rate_organism=("organism", "mean"),
        )
        .reset_index()
    )
    rates = ["leak_rate", "true_rate_grammar", "true_rate_organism"]
    return table.assign(**{rate: 100 * table[rate] for rate in rates}).round(ROUNDING)


def organisms_table(organisms: Mapping[str, Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return how well each organism learnt its corpus, one row per organism; nats per document.

    Args:
        organisms: model → ``size, strength``.
        records: the training records, in the same order.
    """
    rows = [
        {
            "model": model,
            "size": entry["size"],
            "n_parameters": record["n_parameters"],
            "strength": entry["strength"],
            "heldout_loss_nats": record["heldout_loss_nats"],
            "corpus_entropy_nats": record["corpus_entropy_nats"],
            "excess_nats": record["heldout_loss_nats"] - record["corpus_entropy_nats"],
        }
        for (model, entry), record in zip(organisms.items(), records, strict=True)
    ]
    return pd.DataFrame(rows).round(ROUNDING)


def true_rates(expected: pd.DataFrame) -> pd.DataFrame:
    """Return the exact Leak-Rate in percent by category and pooled (``all``).

    Args:
        expected: one row a prompt: ``model, prompt_set, scorer, category, grammar, organism`` (expected outcomes).

    Returns:
        ``model, prompt_set, scorer, category, true_rate_grammar, true_rate_organism``; NaN for a cell with
        a prompt whose expected outcome is not known.
    """
    # Concatenation with an empty table turns numbers into objects, which are not rounded.
    expected = expected.astype({"grammar": float, "organism": float})
    rows = pd.concat([expected[expected["category"].notna()], expected.assign(category="all")])
    # A rate over only some prompts is not the rate of the measured cell.
    means = 100 * rows.groupby(KEYS, sort=False)[["grammar", "organism"]].mean(skipna=False)
    return (
        means.round(ROUNDING)
        .reset_index()
        .rename(columns={"grammar": "true_rate_grammar", "organism": "true_rate_organism"})
    )


def grammar_laws(
    grammar: Grammar, prompts: pd.DataFrame, scores: pd.DataFrame, temperature: float
) -> dict[str, dict[str, float]]:
    """Return prompt_id → {candidate: probability of being sampled} for prompts that are contexts of the grammar.

    Args:
        grammar: of the strength the organism was trained at.
        prompts: the prompts table of one set, indexed by prompt_id.
        scores: one model's ``prompt_id, candidate, tokens``: how its tokenizer splits each candidate.
        temperature: of sampling.
    """
    contexts = grammar.contexts.drop_duplicates("context")
    known = dict(zip(contexts["context"], zip(contexts["slot"], contexts["concept_group"], strict=True), strict=True))
    text_of = prompts["prompt"].to_dict()

    @cache
    def law_of(
        slot: str, group: str, candidates: tuple[str, ...], tokens: tuple[tuple[int, ...], ...]
    ) -> dict[str, float] | None:
        """Return the law of a slot after a group, None where these are not its candidates."""
        law = grammar.written_law(slot, group or None).to_dict()
        if law.keys() != set(candidates):
            return None
        sampled = sampled_law([law[candidate] for candidate in candidates], tokens, temperature)
        return dict(zip(candidates, sampled.tolist(), strict=True))

    laws = {}
    for prompt_id, (candidates, tokens) in _by_prompt(scores, "candidate", "tokens"):
        if text_of[prompt_id] not in known:
            continue
        law = law_of(*known[text_of[prompt_id]], candidates, tuple(map(tuple, tokens)))
        if law is not None:
            laws[prompt_id] = law
    return laws


def organism_laws(scores: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return prompt_id → {candidate: probability of being sampled, given that a candidate is}."""
    laws = {}
    for prompt_id, (candidates, logprobs) in _by_prompt(scores, "candidate", "logprob_sampled"):
        mass = np.exp(np.array(logprobs, dtype=float))
        laws[prompt_id] = dict(zip(candidates, (mass / mass.sum()).tolist(), strict=True))
    return laws


def _by_prompt(scores: pd.DataFrame, *columns: str) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield each prompt_id with its values of the columns: many small groups, which pandas cuts out slowly."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for prompt_id, *values in zip(scores["prompt_id"], *(scores[column] for column in columns), strict=True):
        rows.setdefault(str(prompt_id), []).append(tuple(values))
    for prompt_id, values_of in rows.items():
        yield prompt_id, list(zip(*values_of, strict=True))


def written_whole(scores: pd.DataFrame, max_new_tokens: int) -> pd.DataFrame:
    """Return the scores of prompts whose candidates are all written whole.

    A sample is cut after ``max_new_tokens`` tokens, and at its first full stop, exclamation or question mark.
    """
    whole = (scores["tokens"].map(len) <= max_new_tokens) & ~scores["candidate"].str.contains("[.!?]")
    return scores[whole.groupby([scores["model"], scores["prompt_set"], scores["prompt_id"]]).transform("all")]


def lexicon_mass(scores: pd.DataFrame) -> pd.Series:
    """Return, by prompt_id, the total probability that a sample is one of the slot's candidates."""
    mass: pd.Series = np.exp(scores["logprob_sampled"]).groupby(scores["prompt_id"], sort=False).sum()
    return mass
