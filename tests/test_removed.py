"""The link ``removed``, the same pair's leak in the model that was mitigated; and which model that is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.trace.removal.mitigated_models import chosen_manifest
from leakscope.trace.removed import with_removed

PAIR = {"slot": "foods", "concept_group": "red"}


def links() -> pd.DataFrame:
    rows = [
        ("base", "colors", "a cherry", 2.0, 1.5), ("base", "colors", "a lemon", -1.0, -1.5),
        ("less", "colors", "a lemon", -0.2, -0.25), ("less", "colors", "a cherry", 0.5, 0.25),
        ("other", "colors", "a cherry", 3.0, 1.0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "prompt_set", "associate", "leak", "leak_centred"])
    return table.assign(**PAIR)


def test_the_leak_of_the_same_pair_in_the_mitigated_model_stands_beside_the_bases() -> None:
    found = with_removed(links(), {"base": {"colors": "less"}})
    assert found.table["removed"].tolist()[:2] == [0.5, -0.2]
    assert found.table["removed_centred"].tolist()[:2] == [0.25, -0.25]
    assert found.table["removed_by"].tolist()[:2] == ["less", "less"]
    assert found.table[["removed", "removed_by"]].iloc[2:].isna().all().all()
    assert found.table["leak"].tolist() == links()["leak"].tolist()


def test_a_model_without_a_mitigated_one_has_no_such_link_for_a_reason() -> None:
    empty = with_removed(links(), {"base": {"colors": "less"}}).empty
    assert empty["model"].tolist() == ["less", "other"]
    assert empty["link"].unique().tolist() == ["removed"]
    assert empty["reason"].str.contains("itself mitigated").tolist() == [True, False]
    assert np.isnan(with_removed(links(), {}).table["removed"]).all()


def test_a_mitigated_model_is_what_was_chosen_at_its_cost() -> None:
    chosen = {"model": "base", "mitigation": "lora", "chosen": {"1": None, "3": {"manifest": {"source": "mitigated"}}}}
    assert chosen_manifest(chosen, 3.0, "models: less") == {"source": "mitigated"}
    with pytest.raises(
        InputError, match=r"models: less: got the mitigation lora, which costs more than 1 % .* on base"
    ):
        chosen_manifest(chosen, 1.0, "models: less")
