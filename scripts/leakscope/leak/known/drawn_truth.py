"""True rates of organisms that write sentences, estimated from many texts drawn from their law, with standard errors.

The possible sentences are too many to enumerate. So a few thousand texts per prompt are drawn from the grammar and from
the organism, with random numbers other than those of the measured texts, and all pairs of two prompts' texts are
compared. With

    D(c, x; c′, x′) = a(x) + b(x′),   a(x) = s(c, x) − s(c′, x),   b(x′) = s(c′, x′) − s(c, x′)

the share of pairs with D > 0 takes a sort and a binary search, O(n log n), and no table of n². The same holds for
Leak-Rates, with a = s(c, test) and b = −s(c, control).

A rate is a U-statistic of several samples: with h(x) the mean of what is compared over all partners of x, its variance
is Σ over prompts Var h / n, but for terms of order 1/n² (Hoeffding 1948, Ann. Math. Statist. 19, 293; van der Vaart
1998, Asymptotic Statistics, ch. 12).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.files.names import POOLED
from leakscope.leak.known.truth import sampled_law, splits
from leakscope.leak.measures.leak_rate import KEYS, ROUNDING
from leakscope.leak.measures.matching import DIGITS
from leakscope.leak.measures.similarities import similarity_matrix
from leakscope.leak.pairs import tests_by_unit
from leakscope.organisms.leak_grammar import Grammar
from leakscope.organisms.sentence_grammar import SILENCE, SentenceGrammar

Floats = NDArray[np.float64]
Tokenize = Callable[[str], list[int]]  # an answer's token ids, end included

GRAMMAR, ORGANISM = "grammar", "organism"
COLUMNS = ["model", "prompt_set", "prompt_id", "law", "text", "n"]
ERRORS = ["true_rate_error", "true_match_rate_error"]


def compared_prompts(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the prompts whose texts are compared: tests, and their controls without the clause."""
    tests = prompts["concept"].notna()
    return prompts[tests | prompts["prompt_id"].isin(prompts.loc[tests, "control_id"].dropna())]


def draw_taught(
    grammar: SentenceGrammar, prompts: pd.DataFrame, n: int, seed: int, temperature: float, tokenize: Tokenize
) -> pd.DataFrame:
    """Return ``n`` texts per prompt of a perfect learner, for prompts that the grammar knows.

    Args:
        grammar: what the organism was taught.
        prompts: ``prompt_set, prompt_id, prompt``.
        n: texts a prompt.
        seed: with the prompt it decides the random numbers.
        temperature: of sampling; it acts on tokens (see ``truth.sampled_law``).
        tokenize: the organism's tokenizer.

    Returns:
        ``prompt_set, prompt_id, text``.
    """
    rows = []
    for prompt_set, prompt_id, prompt in zip(*(prompts[c] for c in ("prompt_set", "prompt_id", "prompt")), strict=True):
        law = grammar.answer_law(prompt)
        if law is None:
            continue
        if temperature != 1:
            tokens = [tokenize(text or SILENCE) for text in law.texts]
            law = law._replace(probabilities=sampled_law(law.probabilities.tolist(), tokens, temperature))
        key = np.frombuffer(hashlib.sha256(prompt.encode()).digest()[:16], dtype="<u4")
        chosen = law.draw(n, np.random.default_rng([seed, *map(int, key)]))
        rows += [(prompt_set, prompt_id, law.texts[place]) for place in chosen]
    return pd.DataFrame(rows, columns=["prompt_set", "prompt_id", "text"])


def counted(model: str, drawn: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return each distinct text of each prompt with its count, ``COLUMNS``.

    Args:
        model: the organism.
        drawn: law → ``prompt_set, prompt_id, text``.
    """
    keys = ["prompt_set", "prompt_id", "text"]
    counts = [
        table.groupby(keys, sort=False).size().rename("n").reset_index().assign(law=law) for law, table in drawn.items()
    ]
    return pd.concat(counts, ignore_index=True).assign(model=model)[COLUMNS]


class _Sample(NamedTuple):
    """The distinct texts drawn for one prompt, or for several prompts of one concept."""

    place: NDArray[np.intp]  # (texts,), among all texts of the category
    n: Floats  # (texts,), how often each

    @property
    def weights(self) -> Floats:
        weights: Floats = self.n / self.n.sum()
        return weights

    def variance(self, values: Floats) -> float:
        """Return the variance of the mean of ``values``, (texts,), over independent draws."""
        mean = float(self.weights @ values)
        return float(self.weights @ (values - mean) ** 2 / self.n.sum())


class _Category(NamedTuple):
    """Texts drawn from one organism and law for a category, with a scorer's similarities."""

    tests: pd.DataFrame  # of ``tests_by_unit``, with a row a prompt
    samples: dict[str, _Sample]  # by prompt, of tests and controls
    concepts: pd.Index
    similarity: Floats  # (concepts, texts), rounded; NaN for an empty text


class _Outcome(NamedTuple):
    """The expected outcome of one test prompt, 0 to 1, with the parts of its standard error."""

    category: str | None
    prompt_id: str
    outcome: float
    variance: float  # of the test's texts
    control_id: str
    control: _Sample
    of_control: Floats  # (texts of the control,), the mean outcome against each


class DrawnTruth(NamedTuple):
    """Rates from drawn texts, in the forms of ``truth``.

    expected: as ``truth.expected_by_prompt`` returns it.
    matches: as ``truth.true_match_rates`` returns it.
    errors: ``KEYS`` and ``ERRORS``: standard errors of the organism's two rates, in points.
    """

    expected: pd.DataFrame
    matches: pd.DataFrame
    errors: pd.DataFrame


def drawn_truth(
    drawn: pd.DataFrame | None,
    prompts: pd.DataFrame,
    grammars: Mapping[str, Grammar],
    similarities: Mapping[str, pd.DataFrame],
    decimals: int,
) -> DrawnTruth:
    """Return the rates implied by drawn texts for every organism, prompt set and scorer.

    Args:
        drawn: ``COLUMNS``, of all organisms and sets; None: no organism has drawn texts.
        prompts: the prompts tables of all sets.
        grammars: organism → the grammar it was trained on.
        similarities: scorer → ``concept, text, similarity``.
        decimals: to which similarities are rounded before comparison.
    """
    expected, matches, errors = [], [], []
    for keys, of_model in drawn.groupby(["model", "prompt_set"], sort=False) if drawn is not None else ():
        model, prompt_set = map(str, keys)
        own = prompts[prompts["prompt_set"] == prompt_set]
        base = own.set_index("prompt_id")[["category", "prompt"]]
        base = base.assign(model=model, prompt_set=prompt_set, split=splits(grammars[model], own), lexicon_mass=np.nan)
        for scorer, similarity in similarities.items():
            outcomes: dict[str, list[_Outcome]] = {}
            units = {}
            for law in (GRAMMAR, ORGANISM):
                categories = _categories(own, of_model[of_model["law"] == law], similarity, scorer, decimals)
                outcomes[law] = [outcome for category in categories for outcome in _outcomes(category)]
                units[law] = [unit for category in categories for unit in _units(category)]
            by_prompt = {
                law: pd.Series({o.prompt_id: o.outcome for o in found}, dtype=float) for law, found in outcomes.items()
            }
            tests = own.loc[own["control_id"].notna(), "prompt_id"]
            expected.append(base.assign(scorer=scorer, **by_prompt).loc[tests])
            for category in [*own["category"].dropna().unique(), POOLED]:
                key = (model, prompt_set, scorer, category)
                rates = [_pooled([u for u in units[law] if category in (POOLED, u.category)]) for law in units]
                matches.append((*key, rates[0][0], rates[1][0]))
                mine = [o for o in outcomes[ORGANISM] if category in (POOLED, o.category)]
                errors.append((*key, _rate_error(mine), rates[1][1]))
    columns = [*KEYS, "prompt_id", "split", "lexicon_mass", GRAMMAR, ORGANISM]
    names = [f"true_match_rate_{law}" for law in (GRAMMAR, ORGANISM)]
    return DrawnTruth(
        pd.concat(expected).reset_index(names="prompt_id")[columns] if expected else pd.DataFrame(columns=columns),
        pd.DataFrame(matches, columns=[*KEYS, *names]).round(ROUNDING),
        pd.DataFrame(errors, columns=[*KEYS, *ERRORS]).round(ROUNDING),
    )


def with_errors(truth: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Return the table of true rates with ``ERRORS``: 0 for enumerated laws, NaN for unknown rates."""
    joined = truth.merge(errors, on=KEYS, how="left")
    enumerated = ~joined["model"].isin(errors["model"].unique())
    for error, rate in zip(ERRORS, ("true_rate_organism", "true_match_rate_organism"), strict=True):
        joined[error] = joined[error].astype(float).mask(enumerated, 0.0).where(joined[rate].notna())
    return joined


def win_shares(left: Floats, right: Floats, weights: Floats) -> Floats:
    """Return, for each a in ``left``, the share of b in ``right`` with a + b > 0, plus half the share with a + b = 0.

    NaN (an empty text) ties with everything.

    Args:
        left: (texts,).
        right: (partners,).
        weights: of the partners, (partners,), summing to 1.
    """
    # Whole numbers: sums of rounded differences are exact.
    first, second = (np.round(values * 10**DIGITS) for values in (left, right))
    known = ~np.isnan(second)
    order = np.argsort(second[known], kind="stable")
    ranked = second[known][order]
    below = np.concatenate([[0.0], np.cumsum(weights[known][order])])
    less, no_more = (below[np.searchsorted(ranked, -first, side)] for side in ("left", "right"))
    won = below[-1] - (less + no_more) / 2 + (1 - below[-1]) / 2
    return np.where(np.isnan(first), 0.5, won)


def _categories(
    prompts: pd.DataFrame, drawn: pd.DataFrame, similarity: pd.DataFrame, scorer: str, decimals: int
) -> list[_Category]:
    """Return the categories of a prompt set with their drawn texts, including categories without any."""
    found = []
    for _, tests in tests_by_unit(prompts).groupby("category", sort=False, dropna=False):
        mine = drawn[drawn["prompt_id"].isin({*tests["prompt_id"], *tests["control_id"].dropna()})]
        texts, concepts = pd.Index(mine["text"].unique()), pd.Index(tests["concept"].unique())
        matrix = np.round(similarity_matrix(similarity, concepts.to_list(), texts, scorer), decimals)
        samples = {
            str(prompt_id): _Sample(texts.get_indexer(pd.Index(rows["text"])), rows["n"].to_numpy(dtype=float))
            for prompt_id, rows in mine.groupby("prompt_id", sort=False)
        }
        found.append(_Category(tests, samples, concepts, matrix))
    return found


def _outcomes(category: _Category) -> list[_Outcome]:
    """Return the expected outcomes of a category's test prompts with drawn texts for test and control."""
    found = []
    tests = category.tests[category.tests["control_id"].notna()]
    columns = ("prompt_id", "control_id", "concept", "category")
    for prompt_id, control_id, concept, name in zip(*(tests[column] for column in columns), strict=True):
        if prompt_id not in category.samples or control_id not in category.samples:
            continue
        test, control = category.samples[prompt_id], category.samples[control_id]
        scores = category.similarity[category.concepts.get_loc(concept)]
        left, right = scores[test.place], -scores[control.place]
        wins = win_shares(left, right, control.weights)
        against = win_shares(right, left, test.weights)
        mean, variance = float(test.weights @ wins), test.variance(wins)
        found.append(_Outcome(name, prompt_id, mean, variance, control_id, control, against))
    return found


def _rate_error(outcomes: Sequence[_Outcome]) -> float:
    """Return the standard error in points of 100 × mean outcome; NaN without outcomes. Tests share control texts."""
    if not outcomes:
        return np.nan
    variance = sum(outcome.variance for outcome in outcomes)
    by_control: dict[str, Floats] = {}
    samples = {outcome.control_id: outcome.control for outcome in outcomes}
    for outcome in outcomes:
        by_control[outcome.control_id] = by_control.get(outcome.control_id, 0.0) + outcome.of_control
    variance += sum(samples[control].variance(values) for control, values in by_control.items())
    return 100 * float(np.sqrt(variance)) / len(outcomes)


class _DrawnUnit(NamedTuple):
    """match_u, 0 to 1, and its variance from drawing; NaN if a prompt's texts were not drawn."""

    category: str | None
    n_groups: int
    match: float
    variance: float


def _units(category: _Category) -> list[_DrawnUnit]:
    """Return the units with partners of a category."""
    found = []
    for _, tests in category.tests.groupby("unit", sort=False):
        first = tests.drop_duplicates("concept")
        n_groups = first["concept_group"].nunique()
        if n_groups < 2:
            continue
        whole = tests["prompt_id"].isin(list(category.samples)).all()
        match = _match(category, tests, first) if whole else (np.nan, np.nan)
        found.append(_DrawnUnit(tests["category"].iloc[0], n_groups, *match))
    return found


def _match(category: _Category, tests: pd.DataFrame, concepts: pd.DataFrame) -> tuple[float, float]:
    """Return match_u and its variance: the weighted sum of V(c, c′) over pairs of concepts of different groups."""
    samples = {concept: _joined(category, rows["prompt_id"]) for concept, rows in tests.groupby("concept", sort=False)}
    group = dict(zip(concepts["concept"], concepts["concept_group"], strict=True))
    size = concepts["concept_group"].value_counts()
    n_pairs = len(size) * (len(size) - 1) / 2
    match, influence = 0.0, {concept: np.zeros(len(sample.n)) for concept, sample in samples.items()}
    for one, other in combinations(samples, 2):
        if group[one] == group[other]:
            continue
        weight = 1 / (n_pairs * size[group[one]] * size[group[other]])
        first, second = (category.similarity[category.concepts.get_loc(concept)] for concept in (one, other))
        left = (first - second)[samples[one].place]
        right = (second - first)[samples[other].place]
        wins = win_shares(left, right, samples[other].weights)
        match += weight * float(samples[one].weights @ wins)
        influence[one] += weight * wins
        influence[other] += weight * win_shares(right, left, samples[one].weights)
    return match, sum(samples[concept].variance(values) for concept, values in influence.items())


def _joined(category: _Category, prompt_ids: pd.Series) -> _Sample:
    """Return the texts of all prompts of one concept as one sample."""
    samples = [category.samples[prompt_id] for prompt_id in prompt_ids]
    return _Sample(np.concatenate([s.place for s in samples]), np.concatenate([s.n for s in samples]))


def _pooled(units: Sequence[_DrawnUnit]) -> tuple[float, float]:
    """Return the match rate in percent and its standard error in points; NaN without units, or if any is unknown."""
    n = np.array([unit.n_groups for unit in units], dtype=float)
    if not len(n):
        return np.nan, np.nan
    match, variance = (np.array([getattr(unit, name) for unit in units]) for name in ("match", "variance"))
    return 100 * float(n @ match / n.sum()), 100 * float(np.sqrt(n**2 @ variance) / n.sum())
