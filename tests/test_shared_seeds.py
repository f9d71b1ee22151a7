"""Texts whose samples share a seed are noticed, and independent ones are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.leak.measures.shared_seeds import shared_seed_warnings

N_TEMPLATES, N_CONCEPTS, N_SAMPLES = 4, 6, 5


def study(shared: float, seed: int = 0, multiple: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return prompts, and texts that are numbers: near to each other, by ``shared``, where samples have one number.

    A test's text is a little larger than the control's of the same number: position by position it always wins.
    """
    rng = np.random.default_rng(seed)
    rows, texts = [], []
    for template in range(N_TEMPLATES):
        common = rng.normal(size=N_SAMPLES * multiple)
        for name in ("control", *range(N_CONCEPTS)):
            n = len(common) if name == "control" else N_SAMPLES
            own = shared * common[:n] + (1 - shared) * rng.normal(size=n) + (name != "control") * 0.3
            control = None if name == "control" else f"{template}/control"
            concept = None if name == "control" else "red"
            rows.append((f"{template}/{name}", control, None, concept, concept, str(template)))
            texts += [("m", "set", f"{template}/{name}", k, f"{value:.6f}") for k, value in enumerate(own)]
    columns = ["prompt_id", "control_id", "neutral_control_id", "concept", "concept_group", "template_id"]
    prompts = pd.DataFrame(rows, columns=columns, dtype=object).assign(prompt_set="set", category=None, prompt="A")
    return prompts, pd.DataFrame(texts, columns=["model", "prompt_set", "prompt_id", "sample", "text"])


def pairs_of(prompts: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    similarity = pd.DataFrame({"concept": "red", "text": texts["text"].unique(), "cut": False})
    similarity["similarity"] = similarity["text"].astype(float)
    return compare_pairs(prompts, texts, similarity, "s", decimals=6)


def test_samples_that_share_a_seed_are_named_in_one_line() -> None:
    pairs = pairs_of(*study(shared=1))
    assert pairs["outcome"].mean() == 1
    (line,) = shared_seed_warnings(pairs)
    assert line.startswith("model m, set, s: the Leak-Rate is 100.0 by position and ")
    assert f"{100 * pairs['outcome_all_pairs'].mean():.1f} over all pairs" in line
    assert "\n" not in line
    # One line for each scorer and model that it holds for.
    independent = pairs_of(*study(shared=0)).assign(model="other")
    both = pd.concat([pairs, pairs.assign(scorer="t"), independent])
    assert [found.split(":")[0] for found in shared_seed_warnings(both)] == ["model m, set, s", "model m, set, t"]


@pytest.mark.parametrize("multiple", [1, 5])
def test_independent_samples_are_hardly_ever_named(multiple: int) -> None:
    """Tests share four controls, and with these their noise: that is no reason for a line."""
    studies = [pairs_of(*study(0, seed, multiple)).assign(model=f"m{seed}") for seed in range(60)]
    difference = [100 * (pairs["outcome"] - pairs["outcome_all_pairs"]).mean() for pairs in studies]
    assert max(map(abs, difference)) > (5 if multiple == 1 else 2)  # what the number of errors has to let through
    assert shared_seed_warnings(pd.concat(studies)) == []


def test_a_few_points_are_not_worth_a_line() -> None:
    prompts, texts = study(shared=1)
    pairs = pairs_of(prompts, texts)
    pairs["outcome"] = pairs["outcome_all_pairs"] + 0.049
    assert shared_seed_warnings(pairs) == []
    pairs["outcome"] += 0.002
    assert len(shared_seed_warnings(pairs)) == 1


def test_no_pairs_give_no_line() -> None:
    assert shared_seed_warnings(pairs_of(*study(shared=1)).head(0)) == []
