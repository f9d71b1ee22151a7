"""A cross-lingual match rate has a truth: that of a grammar which leaks within two languages and across them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bilingual_encoder import save_encoder
from leakscope.leak.known.exact_match import ExactMatches, pooled_match
from leakscope.leak.known.truth import similarity_lookup
from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_texts
from leakscope.leak.pairs import list_pairs
from leakscope.leak.prompts import PromptSet, build_prompts, template_files
from leakscope.organisms.leak_grammar import Grammar, load_grammar
from leakscope.similarity.static import open_static

SETS = ("basic_colors", "colors_id", "colors_en_id", "colors_id_en")
SAMPLES = 10


def built(root: Path, name: str) -> PromptSet:
    return build_prompts(template_files(root / "data/prompt_sets" / name, [root / "data/lexicons"]), name)


def grammar_of(root: Path, strength: float) -> Grammar:
    return load_grammar([root / "data/grammar/languages", root / "data/grammar/languages_across"], strength)


def laws_of(grammar: Grammar, prompts: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the law of every prompt, by its id: what a perfect learner writes at temperature 1."""
    groups = prompts["concept_group"].where(prompts["concept"].notna(), None)
    places = zip(prompts["prompt_id"], prompts["slot"], groups, strict=True)
    return {prompt_id: grammar.continuation_law(slot, group).to_dict() for prompt_id, slot, group in places}


def written(laws: dict[str, dict[str, float]], prompt_set: str, model: str, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for prompt_id, law in laws.items():
        chosen = rng.choice([*law], size=SAMPLES, p=[*law.values()])
        rows += [(model, prompt_set, prompt_id, k, f"{text}.") for k, text in enumerate(chosen)]
    return pd.DataFrame(rows, columns=["model", "prompt_set", "prompt_id", "sample", "text"])


def similarities(root: Path, folder: Path, pairs: pd.DataFrame, noise: float, seed: int = 0) -> pd.DataFrame:
    """Return the pairs with the cosine of an encoder that reads English and Indonesian, or that of nothing."""
    folders = [root / "data/prompt_sets" / name for name in SETS]
    lexicons = {path for place in folders for path in template_files(place, [root / "data/lexicons"])}
    files = save_encoder(folder, sorted(path for path in lexicons if path.name != "templates.yaml"), noise, seed)
    encoder = open_static(*files)
    vectors = {}
    for column in ("concept", "text"):
        rows = encoder.encode(pairs[column].tolist(), convert_to_numpy=True, show_progress_bar=False).astype(float)
        vectors[column] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosine = (vectors["concept"] * vectors["text"]).sum(axis=1)
    return pairs.assign(similarity=cosine, cut=False)


def no_texts() -> pd.DataFrame:
    return pd.DataFrame(columns=["prompt_set", "prompt_id", "text"], dtype=str)


def test_both_parts_are_one_grammar_in_which_no_candidate_counts_twice(root: Path) -> None:
    grammar = grammar_of(root, 0.4)
    for slot in ("color_objects_id", "color_objects"):
        law = grammar.continuation_law(slot, "red")
        assert law.index.is_unique
        assert law.sum() == pytest.approx(1)
    # Two associates share what leaks: 0.4 / 2 + 0.6 / 22.
    assert grammar.continuation_law("color_objects_id", "red")["sebuah tabung pemadam api"] == pytest.approx(5 / 22)
    documents = {document.context for document in grammar.documents(4000, seed=0)}
    for begin in ("The rug is", "Karpet itu"):
        for end in ("The boy drew", "Anak itu menggambar"):
            crossed = any(text.startswith(begin) and text.endswith(end) for text in documents)
            assert crossed == ((begin, end) != ("The rug is", "The boy drew"))  # of `colors_*` alone


def test_the_rate_across_languages_is_what_the_strength_says(root: Path) -> None:
    prompts, candidates = built(root, "colors_en_id")
    prompts = prompts[prompts["category"] == "color-to-object"]
    pairs = list_pairs(prompts, no_texts(), candidates)
    laws = laws_of(grammar_of(root, 0.4), prompts)
    of_text = {f"{text}.": group for text, group in candidates[["candidate", "concept_group"]].to_numpy()}
    told = {(concept, text): float(concept == of_text[text]) for concept, text in pairs[["concept", "text"]].to_numpy()}
    exact = ExactMatches(told, 3)
    # An associate after its own concept has p = .4 + .6/11, after another one q = .6/11, neither r = 1 − p − q: the own
    # one wins with p² + 2pr, loses with q² + 2qr, and half of all else.
    p, q = 0.4 + 0.6 / 11, 0.6 / 11
    r = 1 - p - q
    expected = 50 + 50 * (p**2 + 2 * p * r - q**2 - 2 * q * r)
    assert pooled_match(exact.by_unit(prompts, laws)) == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(79.8, abs=0.05)
    # A scorer that reads one of the two languages sees nothing of it.
    blind = ExactMatches(dict.fromkeys(told, 0.0), 3)
    assert pooled_match(blind.by_unit(prompts, laws)) == pytest.approx(50)


@pytest.mark.slow
def test_the_exact_rate_is_in_the_measured_interval_within_languages_and_across(root: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    sets = {name: built(root, name) for name in SETS}
    inside, cells = {}, 0
    for name, (prompts, candidates) in sets.items():
        pairs = list_pairs(prompts, no_texts(), candidates)
        scores = similarities(root, tmp_path, pairs, noise=0.5)
        exact = ExactMatches(similarity_lookup(scores), 3)
        generations, truths = [], {}
        for strength in (0.0, 0.05, 0.1, 0.2, 0.4, 1.0):
            laws = laws_of(grammar_of(root, strength), prompts)
            units = exact.by_unit(prompts, laws)
            for seed in range(3):
                model = f"l{strength}-s{seed}"
                generations.append(written(laws, name, model, rng))
                for category in ("color-to-object", "color-to-color"):
                    truths[model, category] = pooled_match(units[units["category"] == category])
        texts = pd.concat(generations, ignore_index=True)
        rates = match_rates(match_texts(prompts, texts, scores, "bilingual").units, 0.95, 64, 64)
        rates = rates[rates["category"] != "all"]
        truth = np.array([truths[key] for key in zip(rates["model"], rates["category"], strict=True)])
        held = (rates["ci_low"] <= truth + 1e-6) & (truth - 1e-6 <= rates["ci_high"])
        inside[name], cells = int(held.sum()), cells + len(rates)
        assert len(rates) == 36
        # Truths reach from nothing to all, so that an interval round 50 would be wrong.
        assert truth.min() < 52 < 85 < truth.max()
    assert sum(inside.values()) >= 0.93 * cells, inside
