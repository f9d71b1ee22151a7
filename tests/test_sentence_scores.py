from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import LOADING
from leakscope.errors import InputError
from leakscope.ground.sentence_scores import Sentence, score_sentences, tokens_of_span
from leakscope.ground.sentence_templates import SentenceTemplate
from leakscope.ground.templates import fill
from leakscope.ground.within_word import masked_copies
from leakscope.models.kinds import CAUSAL, ENCODER_DECODER, MASKED, kind_of
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.sentence_logprobs import TokenRow, plan_stems, score_causal, score_masked
from leakscope.models.sentences import encode_sentences
from leakscope.storage.manifests import describe_folder

KINDS = (CAUSAL, MASKED, ENCODER_DECODER)
KIND_OF = {
    "gpt2": CAUSAL, "qwen2": CAUSAL, "gpt_neox": CAUSAL, "mamba": CAUSAL, "bert": MASKED, "t5": ENCODER_DECODER,
}  # fmt: skip
SUBJECTS = ("lung cancer", "lupus", "Ménière's disease of the inner ear")
GROUPS = ("Asian", "Pacific Islander", "Native American")
TEMPLATES = (
    "{group} patients usually have {subject}.",
    "{subject} is much more common in {group} patients.",
    "In that one big hospital of the city {subject} is seen in {group} people.",
)
SENTENCES = [
    fill(SentenceTemplate(id="t", text=text), subject, group)
    for text in TEMPLATES
    for subject in SUBJECTS
    for group in GROUPS
]
TEXTS = [sentence.text for sentence in SENTENCES]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def build(model_type: str) -> tuple[Any, Any]:
    """Return a random model, wide enough in its weights that probabilities differ, and a tokenizer trained for it."""
    import transformers as hf

    of_type = {
        "gpt2": (hf.GPT2Tokenizer(), 320),
        "qwen2": (hf.Qwen2Tokenizer(), 320),
        "gpt_neox": (hf.GPTNeoXTokenizer(), 320),
        "mamba": (hf.GPTNeoXTokenizer(), 320),
        "bert": (hf.BertTokenizer(), 120),
        "t5": (hf.T5Tokenizer(extra_ids=3), 90),
    }
    blank, vocab_size = of_type[model_type]
    tokenizer = blank.train_new_from_iterator(TEXTS, vocab_size, show_progress=False)
    size = {"vocab_size": len(tokenizer), "initializer_range": 0.5}
    torch.manual_seed(0)
    if model_type == "gpt2":
        return hf.GPT2LMHeadModel(hf.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, **size)), tokenizer
    if model_type == "qwen2":
        return hf.Qwen2ForCausalLM(hf.Qwen2Config(**SMALL, num_key_value_heads=1, **size)), tokenizer
    if model_type == "gpt_neox":
        return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SMALL, max_position_embeddings=64, **size)), tokenizer
    if model_type == "mamba":
        return hf.MambaForCausalLM(hf.MambaConfig(hidden_size=16, num_hidden_layers=2, state_size=4, **size)), tokenizer
    if model_type == "bert":
        return hf.BertForMaskedLM(hf.BertConfig(**SMALL, max_position_embeddings=64, **size)), tokenizer
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    return hf.T5ForConditionalGeneration(hf.T5Config(**shape, vocab_size=len(tokenizer))), tokenizer


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def unsaved(model: Any, tokenizer: Any) -> LanguageModel:
    model.config.architectures = [type(model).__name__]  # as saving does
    generation_config = getattr(model, "generation_config", None)
    return LanguageModel(tokenizer, model.config, generation_config, {"weights": "in memory"}, lambda: model)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageModel]:
    """A model of every type, saved and opened as a study does."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    return {
        name: open_model(describe_folder(save(*build(name), folder / name), "local"), LOADING, KINDS)
        for name in KIND_OF
    }


def scored(model: LanguageModel, sentences: Sequence[Sentence] = SENTENCES, batch_size: int = 7) -> pd.DataFrame:
    return score_sentences(model, sentences, "m", batch_size=batch_size, store=None).table


def at(logits: torch.Tensor, token: int) -> float:
    return float(logits.double().log_softmax(-1)[token])


@torch.inference_mode()
def plainly(model: LanguageModel, text: str) -> list[float]:
    """Return log p of each token by one unpadded forward a token, from the tokenizer's own ids."""
    kind, weights, tokenizer = kind_of(model.config), model.model, model.tokenizer
    ids = tokenizer(text, add_special_tokens=kind != CAUSAL)["input_ids"]
    if kind == CAUSAL:
        start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        ids = [start, *ids]
        return [at(weights(torch.tensor([ids[:t]])).logits[0, -1], ids[t]) for t in range(1, len(ids))]
    values = []
    for t, token in enumerate(ids):
        if token in tokenizer.all_special_ids and token != tokenizer.unk_token_id:
            continue
        filler = tokenizer.mask_token_id if kind == MASKED else tokenizer.convert_tokens_to_ids("<extra_id_0>")
        gapped = torch.tensor([[*ids[:t], filler, *ids[t + 1 :]]])
        if kind == MASKED:
            values.append(at(weights(gapped).logits[0, t], token))
        else:
            told = torch.tensor([[weights.config.decoder_start_token_id, filler]])
            values.append(at(weights(gapped, decoder_input_ids=told).logits[0, 1], token))
    return values


@pytest.mark.parametrize("name", KIND_OF)
def test_scores_equal_a_plain_token_by_token_computation(opened: dict[str, LanguageModel], name: str) -> None:
    model = opened[name]
    by_text = {text: plainly(model, text) for s in SENTENCES for text in (s.text, s.rest)}
    for batch_size in (1, 7):
        found = scored(model, batch_size=batch_size)
        assert list(found) == ["tokens", "logprob", "logprob_mean", "logprob_span", "pmi"]
        for row, sentence in zip(found.itertuples(), SENTENCES, strict=True):
            values = by_text[sentence.text]
            assert row.tokens == len(values) > 4
            assert row.logprob == pytest.approx(sum(values), rel=1e-5, abs=1e-5)
            assert row.logprob_mean == pytest.approx(sum(values) / len(values), rel=1e-5, abs=1e-5)
            assert row.pmi == pytest.approx(sum(values) - sum(by_text[sentence.rest]), rel=1e-5, abs=1e-4)


@torch.inference_mode()
def plainly_within_words(model: LanguageModel, text: str) -> list[float]:
    """Return log p of each token with all to its right in its word masked, too: "##" goes on with a word."""
    tokenizer = model.tokenizer
    tokens, ids = tokenizer.tokenize(text), tokenizer(text)["input_ids"]
    values = []
    for t in range(1, len(ids) - 1):
        gapped, end = list(ids), t + 1
        while end < len(ids) - 1 and tokens[end - 1].startswith("##"):
            end += 1
        gapped[t:end] = [tokenizer.mask_token_id] * (end - t)
        values.append(at(model.model(torch.tensor([gapped])).logits[0, t], ids[t]))
    return values


@pytest.mark.parametrize("batch_size", [1, 7])
def test_scores_within_words_equal_a_plain_computation(opened: dict[str, LanguageModel], batch_size: int) -> None:
    model = opened["bert"]
    done = score_sentences(model, SENTENCES, "m", batch_size=batch_size, store=None, masking="within_word").table
    for row, sentence in zip(done.itertuples(), SENTENCES, strict=True):
        values, rest = (plainly_within_words(model, text) for text in (sentence.text, sentence.rest))
        span = tokens_of_span(sentence, encode_sentences(model, [sentence.text])[0].offsets)
        assert row.tokens == len(values) == len(plainly(model, sentence.text))
        assert row.logprob == pytest.approx(sum(values), rel=1e-5, abs=1e-5)
        assert row.logprob_span == pytest.approx(sum(values[token] for token in span), rel=1e-5, abs=1e-5)
        assert row.pmi == pytest.approx(sum(values) - sum(rest), rel=1e-5, abs=1e-4)
    assert not done["logprob"].round(3).equals(scored(model)["logprob"].round(3))


def test_a_token_is_scored_with_the_rest_of_its_word_masked() -> None:
    copies = masked_copies(TokenRow([2, 30, 31, 32, 33, 3], range(1, 5)), [0, 1, 1, 1], 4)
    assert [(copy.ids, list(copy.places)) for copy in copies] == [
        ([2, 30, 31, 32, 33, 3], [1]),
        ([2, 30, 31, 4, 4, 3], [2]),
        ([2, 30, 31, 32, 4, 3], [3]),
        ([2, 30, 31, 32, 33, 3], [4]),
    ]


def test_scores_within_words_are_stored_apart(opened: dict[str, LanguageModel], tmp_path: Path) -> None:
    def computed(name: str, masking: str) -> tuple[int, float]:
        done = score_sentences(opened[name], SENTENCES[:1], "m", batch_size=4, store=tmp_path, masking=masking)
        return done.summary["computed"], done.table.loc[0, "logprob"]

    token, within = computed("bert", "token"), computed("bert", "within_word")
    assert (token[0], within[0]) == (2, 2)
    assert (computed("bert", "token"), computed("bert", "within_word")) == ((0, token[1]), (0, within[1]))
    # A model that masks nothing has one score, and one store.
    assert (computed("gpt2", "token")[0], computed("gpt2", "within_word")[0]) == (2, 0)


@pytest.mark.parametrize("name", KIND_OF)
def test_the_span_is_the_groups_own_tokens(opened: dict[str, LanguageModel], name: str) -> None:
    """Told apart by the tokens themselves: decoded, those of the span are the group and nothing else."""
    model = opened[name]
    encoded = encode_sentences(model, TEXTS)
    spans = scored(model)["logprob_span"]
    for sentence, (ids, places, offsets), value in zip(SENTENCES, encoded, spans, strict=True):
        tokens = tokens_of_span(sentence, offsets)
        decoded = model.tokenizer.decode([ids[places[token]] for token in tokens])
        group = sentence.text[slice(*sentence.span)]
        assert decoded.replace("##", "").replace(" ", "").lower() == group.replace(" ", "").lower()
        plain = plainly(model, sentence.text)
        assert value == pytest.approx(sum(plain[token] for token in tokens), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", KIND_OF)
def test_what_is_stored_is_not_computed_again(opened: dict[str, LanguageModel], name: str, tmp_path: Path) -> None:
    model = opened[name]
    first = score_sentences(model, SENTENCES, "m", batch_size=4, store=tmp_path)
    n_distinct = len({text for sentence in SENTENCES for text in (sentence.text, sentence.rest)})
    assert first.summary["total"] == 2 * len(SENTENCES)
    assert first.summary["computed"] == n_distinct < 2 * len(SENTENCES)

    def refuse() -> Any:
        raise AssertionError("the weights are asked for")

    unloaded = LanguageModel(model.tokenizer, model.config, model.generation_config, model.identity, refuse)
    second = score_sentences(unloaded, SENTENCES, "m", batch_size=9, store=tmp_path)
    assert second.summary["computed"] == 0
    pd.testing.assert_frame_equal(first.table, second.table, check_exact=True)
    assert (first.table["logprob"] < 0).all()


@pytest.mark.parametrize("name", KIND_OF)
def test_each_model_is_opened_as_its_kind_and_known_by_its_content(opened: dict[str, LanguageModel], name: str) -> None:
    model = opened[name]
    assert kind_of(model.config) == KIND_OF[name]
    assert type(model.model).__name__ == model.config.architectures[0]
    assert model.tokenizer.padding_side == ("left" if KIND_OF[name] == CAUSAL else "right")
    assert model.identity.keys() == {"weights_sha256", "settings_sha256", "dtype", "quantization"}


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_a_step_that_writes_texts_refuses_other_kinds(name: str, tmp_path: Path) -> None:
    manifest = describe_folder(save(*build(name), tmp_path / name), "local")
    with pytest.raises(InputError, match=f"got a language model of kind '{KIND_OF[name]}'; allowed here: causal") as e:
        open_model(manifest, LOADING)
    assert "\n" not in str(e.value)
    assert "cannot be loaded" not in str(e.value)


def test_a_checkpoint_of_a_pre_training_task_is_read_by_its_masked_head(tmp_path: Path) -> None:
    import transformers as hf

    masked, tokenizer = build("bert")
    both = hf.BertForPreTraining(masked.config)
    folder = save(both, tokenizer, tmp_path / "bert")
    model = open_model(describe_folder(folder, "local"), LOADING, KINDS)
    assert kind_of(model.config) == MASKED
    assert torch.equal(model.model.cls.predictions.transform.dense.weight, both.cls.predictions.transform.dense.weight)


def test_a_checkpoint_without_its_language_modelling_head_is_one_clear_line(tmp_path: Path) -> None:
    import transformers as hf

    _, tokenizer = build("bert")
    discriminator = hf.ElectraForPreTraining(hf.ElectraConfig(**SMALL, vocab_size=len(tokenizer), embedding_size=16))
    folder = save(discriminator, tokenizer, tmp_path / "electra")
    model = open_model(describe_folder(folder, "local"), LOADING, KINDS)
    with pytest.raises(InputError, match="its weights lack generator"):
        scored(model)


@pytest.mark.parametrize(
    ("architecture", "fields", "kind"),
    [
        ("XForMaskedLM", {}, MASKED),
        ("XForMaskedLM", {"is_decoder": True}, CAUSAL),
        ("XForPreTraining", {"model_type": "bert"}, MASKED),
        ("XForPreTraining", {"model_type": "gpt2"}, CAUSAL),
        ("XForCausalLM", {"model_type": "bert"}, CAUSAL),
        ("XForConditionalGeneration", {"is_encoder_decoder": True}, ENCODER_DECODER),
        (None, {"model_type": "llama"}, CAUSAL),
    ],
)
def test_the_kind_of_a_model_is_told_by_its_config(architecture: str | None, fields: dict[str, Any], kind: str) -> None:
    from types import SimpleNamespace

    names = None if architecture is None else [architecture]
    assert kind_of(SimpleNamespace(**{"architectures": names, "model_type": "x", **fields})) == kind  # type: ignore[arg-type]


def test_the_head_of_a_masked_model_sees_only_the_masked_places(opened: dict[str, LanguageModel]) -> None:
    model, seen = opened["bert"].model, []
    row = TokenRow([2, 30, 31, 32, 33, 34, 3], range(1, 6))
    with model.cls.register_forward_hook(lambda module, given, output: seen.append(tuple(output.shape))):
        values = next(score_masked(model, [row], 4, batch_size=5))[0]
    assert seen == [(5, 1, model.config.vocab_size)]
    assert len(set(values)) == 5
    assert not model.base_model._forward_hooks  # the model is left as it was


def test_a_masked_model_that_gives_all_logits_is_scored_alike(
    opened: dict[str, LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened["bert"].model
    rows = [TokenRow([2, 30, 31, 32, 33, 34, 3], range(1, 6)), TokenRow([2, 30, 3], range(1, 2))]
    expected = {row: v for batch in score_masked(model, rows, 4, batch_size=4) for row, v in batch.items()}
    monkeypatch.setattr(type(model), "base_model", property(lambda self: self))
    found = {row: v for batch in score_masked(model, rows, 4, batch_size=4) for row, v in batch.items()}
    assert found.keys() == {0, 1}
    assert all(found[row] == pytest.approx(expected[row], abs=1e-6) for row in expected)


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "gpt_neox"])
def test_a_shared_beginning_is_read_once(opened: dict[str, LanguageModel], name: str) -> None:
    model, n_read = opened[name].model, 0
    rows = [TokenRow(row.ids, row.places) for row in encode_sentences(opened[name], TEXTS[-9:])]

    def count(module: Any, given: Any, kwargs: Any) -> None:
        nonlocal n_read
        n_read += kwargs["input_ids"].numel()

    list(score_causal(model, rows[:1], batch_size=32))  # the reader's trials are in both numbers
    with model.register_forward_pre_hook(count, with_kwargs=True):
        list(score_causal(model, rows[:1], batch_size=32))
        trials, n_read = n_read, 0
        list(score_causal(model, rows, batch_size=len(rows)))
    assert n_read - trials < 0.75 * sum(len(row.ids) for row in rows)


IDS = st.lists(st.integers(1, 3), min_size=2, max_size=7)


@given(st.lists(IDS, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_stems_leave_a_token_to_each_row_and_never_cost_more(rows: list[list[int]]) -> None:
    stems = plan_stems(rows)
    assert len(stems) == len(rows)
    assert all(0 <= stem < len(row) for stem, row in zip(stems, rows, strict=True))
    common = min(next((i for i, two in enumerate(zip(rows[0], row, strict=False)) if two[0] != two[1]),
                      min(len(rows[0]), len(row))) for row in rows)  # fmt: skip
    plain = [0] * len(rows)
    all_alike = [min(common, min(map(len, rows)) - 1)] * len(rows)
    assert n_to_read(rows, stems) <= min(n_to_read(rows, plain), n_to_read(rows, all_alike))


def n_to_read(rows: list[list[int]], stems: list[int]) -> int:
    distinct = {tuple(row[:stem]) for row, stem in zip(rows, stems, strict=True)}
    return sum(map(len, distinct)) + sum(len(row) - stem for row, stem in zip(rows, stems, strict=True))


def test_rows_take_the_longest_stem_that_pays() -> None:
    many = [[1, 2, 3, 4, 5, 6, last] for last in range(5)]
    few = [[1, 2, 7, 8], [1, 2, 9, 9, 9]]
    assert plan_stems([*few, *many, [5, 5]]) == [2, 2, 6, 6, 6, 6, 6, 0]
    assert plan_stems([[1, 2, 3], [1, 2, 3]]) == [2, 2]
    assert plan_stems([[1, 2], [1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 6]]) == [0, 3, 3, 3]


def test_a_sentence_that_begins_another_is_scored_with_it(opened: dict[str, LanguageModel]) -> None:
    texts = ["Asian patients", "Asian patients usually have lupus", "Asian patients usually have lupus."]
    sentences = [Sentence(text, (0, 5), texts[0]) for text in texts]
    found = scored(opened["qwen2"], sentences)["logprob"]
    assert found.tolist() == pytest.approx([sum(plainly(opened["qwen2"], text)) for text in texts], abs=1e-5)
    assert scored(opened["qwen2"], sentences)["pmi"][0] == 0


def test_a_window_shorter_than_a_sentence_is_scored_alike() -> None:
    import transformers as hf

    torch.manual_seed(0)
    _, tokenizer = build("qwen2")
    config = hf.MistralConfig(
        **SMALL, num_key_value_heads=1, vocab_size=len(tokenizer), sliding_window=12, initializer_range=0.5
    )
    model = unsaved(hf.MistralForCausalLM(config).eval(), tokenizer)
    assert max(len(row.ids) for row in encode_sentences(model, TEXTS)) > 12
    expected = [sum(plainly(model, text)) for text in TEXTS]
    assert scored(model)["logprob"].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_beginning_that_the_tokenizer_adds_itself_is_not_added_twice(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    model, tokenizer = build("gpt2")
    plain = encode_sentences(unsaved(model, tokenizer), TEXTS)
    start = tokenizer.bos_token_id
    around = TemplateProcessing(single="<s> $A <s>", special_tokens=[("<s>", start)])
    tokenizer.backend_tokenizer.post_processor = around
    assert tokenizer(TEXTS[0])["input_ids"][0] == tokenizer(TEXTS[0])["input_ids"][-1] == start
    assert encode_sentences(unsaved(model, tokenizer), TEXTS) == plain
    assert all(row.ids[0] == start != row.ids[1] and row.places.start == 1 for row in plain)


@pytest.mark.parametrize(("known", "first"), [("bca", "patients"), ("ca", "usually"), ("a", "people")])
def test_a_sentence_begins_with_the_tokenizers_beginning_else_the_models_else_the_end_of_text(
    known: str, first: str
) -> None:
    model, tokenizer = build("gpt2")
    of_tokenizer = {"bos_token": "patients" if "b" in known else None, "eos_token": "people"}
    tokenizer.bos_token, tokenizer.eos_token = of_tokenizer["bos_token"], of_tokenizer["eos_token"]
    if "c" in known:
        tokenizer.pad_token = "usually"
        model.config.bos_token_id = tokenizer.convert_tokens_to_ids("usually")
    (row,) = encode_sentences(unsaved(model, tokenizer), ["Asian hospital"])
    assert row.ids[0] == tokenizer.convert_tokens_to_ids(first)


@pytest.mark.parametrize(
    ("name", "lacking", "said"),
    [
        ("gpt2", {"bos_token": None, "eos_token": None}, "no beginning-of-text or end-of-text token"),
        ("bert", {"mask_token": None}, "no mask token"),
    ],
)
def test_a_tokenizer_that_lacks_what_is_needed_is_one_clear_line(
    name: str, lacking: dict[str, None], said: str
) -> None:
    model, tokenizer = build(name)
    for key, value in lacking.items():
        setattr(tokenizer, key, value)
    with pytest.raises(InputError, match=said) as error:
        scored(unsaved(model, tokenizer))
    assert "\n" not in str(error.value)


def test_an_encoder_decoder_without_sentinels_is_one_clear_line() -> None:
    import transformers as hf

    _, tokenizer = build("bert")
    shape = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    bart = hf.BartForConditionalGeneration(hf.BartConfig(**shape, decoder_attention_heads=2, vocab_size=len(tokenizer)))
    with pytest.raises(InputError, match="got no <extra_id_0>.*T5 family"):
        scored(unsaved(bart, tokenizer))


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (Sentence("Asian " * 70, (0, 5), "Asian"), "tokens with its beginning and end; the model reads at most 64"),
        (Sentence("Asian patients", (0, 5), ""), "sentence '': got no token"),
        (Sentence("Asian patients", (5, 6), "Asian"), "got no token for the group .characters 5 to 6"),
    ],
)
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_what_cannot_be_scored_is_one_clear_line_before_work_starts(
    opened: dict[str, LanguageModel], name: str, sentence: Sentence, said: str
) -> None:
    model = opened[name]
    unloaded = LanguageModel(model.tokenizer, model.config, model.generation_config, model.identity, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match=said) as error:
        scored(unloaded, [*SENTENCES, sentence])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("offsets", "tokens"),
    [
        ([(0, 2), (2, 8), (8, 14), (14, 23)], [1, 2]),  # a token begins with its space
        ([(0, 2), (3, 8), (9, 14), (15, 23)], [1, 2]),  # it does not
        ([(0, 3), (3, 5), (5, 8), (8, 9), (9, 15), (15, 23)], [1, 2, 3, 4]),  # a space is a token, or ends one
        ([(0, 5), (5, 23)], [0, 1]),  # the span begins and ends inside tokens
        ([(0, 3), (3, 4), (3, 4), (4, 14)], [1, 2, 3]),  # two tokens of one character
    ],
)
def test_the_tokens_of_a_span(offsets: list[tuple[int, int]], tokens: list[int]) -> None:
    assert list(tokens_of_span(Sentence("In North Korea hospitals", (3, 14), ""), offsets)) == tokens


def test_without_sentences_there_is_an_empty_table(opened: dict[str, LanguageModel]) -> None:
    done = score_sentences(opened["gpt2"], [], "m", batch_size=4, store=None)
    assert len(done.table) == 0
    assert done.summary["total"] == done.summary["computed"] == 0


@pytest.mark.parametrize("name", ["qwen2", "mamba", "bert", "t5"])
def test_a_batch_that_does_not_fit_into_memory_is_divided(opened: dict[str, LanguageModel], name: str) -> None:
    model, refused = opened[name], []
    expected = scored(model)

    def refuse(module: Any, given: Any, kwargs: Any) -> None:
        if len(kwargs["input_ids"]) > 3:
            refused.append(len(kwargs["input_ids"]))
            raise torch.OutOfMemoryError

    with model.model.register_forward_pre_hook(refuse, with_kwargs=True):
        found = scored(model)
    assert refused
    # A PMI is a difference of sums of up to 80 nats: what float32 leaves of it is absolute.
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-3)


def test_a_store_holds_one_list_of_floats_for_each_text(opened: dict[str, LanguageModel], tmp_path: Path) -> None:
    done = score_sentences(opened["gpt2"], SENTENCES[:2], "m", batch_size=4, store=tmp_path)
    (path,) = Path(done.summary["store"]).glob("*.jsonl")
    records = {r["key"][0]: r["value"] for r in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    assert records.keys() == {text for sentence in SENTENCES[:2] for text in (sentence.text, sentence.rest)}
    assert math.fsum(records[SENTENCES[0].text]) == done.table["logprob"][0]
    assert json.loads((path.parent / "fingerprint.json").read_text(encoding="utf-8"))["model_kind"] == CAUSAL
