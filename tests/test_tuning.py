from __future__ import annotations

import copy
import inspect
import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer, LlamaConfig, LlamaForCausalLM

from helpers import LOADING, in_memory
from leakscope.configuration.sections.validate import MethodEntry
from leakscope.errors import InputError
from leakscope.files.tables import write_table
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.tuning.differentiable import divergence
from leakscope.models.tuning.draws import with_replacement, without_replacement
from leakscope.models.tuning.learners import LoraLearner
from leakscope.models.tuning.settings import Lora
from leakscope.models.tuning.terms import Term
from leakscope.models.tuning.trainer import Checkpoint, rate_share, train
from leakscope.organisms.corpus import write_corpus
from leakscope.organisms.leak_grammar import Document
from leakscope.organisms.training import Size, Training, new_organism, save_organism, train_tokenizer
from leakscope.storage.manifests import describe_adapter, describe_folder, hash_files, read_manifest, write_manifest
from leakscope.validate.scoring.item_scores import answer_tokens, joint_log_odds
from leakscope.validate.scoring.scored import score_items
from leakscope.validate.tasks.asking import Asking, all_prompts
from leakscope.validate.tasks.form_file import Style
from leakscope.validate.tasks.forms import Form, PromptForms
from leakscope.validate.tasks.items import item_table
from leakscope.validate.tasks.splits import write_splits
from leakscope.validate.tuning import student as scoring
from leakscope.validate.tuning.examples import (
    Example,
    RankedPairs,
    answer_pairs,
    gold_labels,
    own_labels,
    training_examples,
)
from leakscope.validate.tuning.methods import Method, read_method, trains_all
from leakscope.validate.tuning.student import Student
from leakscope.validate.tuning.terms import Lesson
from leakscope.validate.tuning.tune import TuningResult, neutral_rows, training_options, tune

QUESTIONS = ("robins", "oaks", "hammers", "salmon", "daisies", "saws", "trout", "elms", "hawks", "chairs")
CANDIDATES = ("bird", "woody plant", "tool", "fish")
RIGHT = {"robins": 0, "oaks": 1, "hammers": 2, "salmon": 3, "saws": 2, "trout": 3, "elms": 1, "hawks": 0}
STYLES = (
    Style(id="plain", shots=0, chat=False, template="{prompt}"),
    Style(id="shots", shots=2, chat=False, template="{prompt}"),
    Style(id="chat", shots=0, chat=True, template="{prompt}"),
)
FORMS = PromptForms(
    (
        Form("generator", "g", "{question} are a kind of"),
        Form("negated", "g", "{question} are not a kind of"),
        Form("validator", "v", "Are {question} a kind of {candidate}? Answer:"),
    ),
    STYLES,
)
NEUTRAL = ["It rained all morning.", "She wrote a short letter.", "The train was late again.", "He slept."]
SEED = 3


def asking(style: str) -> Asking:
    return Asking(FORMS, [style], 0, Prompting({"batch_size": 16}))


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    """Every question with every candidate."""
    return item_table(
        (
            {
                "item_id": f"{question}-{number}",
                "question": question,
                "candidate": candidate,
                "positive": RIGHT.get(question) == number,
                "cluster": question,
                "distance": "none",
            }
            for question in QUESTIONS
            for number, candidate in enumerate(CANDIDATES)
        ),
        "toy",
    )


@pytest.fixture(scope="module")
def splits(items: pd.DataFrame) -> pd.Series:
    """Questions from ``hawks`` on are for testing; one item is for neither."""
    tested = items["question"].isin(QUESTIONS[8:])
    return tested.map({True: "test", False: "train"}).mask(items["item_id"] == "robins-3", "unused")


@pytest.fixture(scope="module")
def texts(items: pd.DataFrame) -> list[str]:
    """All the words of the task."""
    torch.set_num_threads(1)
    prompts = all_prompts(items, asking("plain"))["prompt"]
    return [*prompts, *CANDIDATES, *NEUTRAL, *["Answer: Yes No"] * 40]


@pytest.fixture(scope="module")
def folders(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random models on disk: one of the shape of organisms, a GPT-2 with its dropout, a Llama."""
    folder = tmp_path_factory.mktemp("tuning")
    tokenizer = train_tokenizer(texts, 400)
    training = Training(1, 1, 0.1, 0.0, 0.3, 1.0, seed=1)
    save_organism(new_organism(Size(16, 1, 2), tokenizer, training), tokenizer, folder / "organism")
    words = GPT2Tokenizer().train_new_from_iterator(texts, 400, show_progress=False)
    ids = {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(2)
    shape: dict[str, Any] = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 96, "initializer_range": 0.3}
    save_organism(GPT2LMHeadModel(GPT2Config(**shape, **ids)), words, folder / "gpt2")  # type: ignore[arg-type]
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    llama = LlamaForCausalLM(LlamaConfig(**shape, **ids, initializer_range=0.3))
    save_organism(llama, words, folder / "llama")  # type: ignore[arg-type]
    return {name: folder / name for name in ("organism", "gpt2", "llama")}


def opened(folder: Path) -> LanguageModel:
    return open_model(describe_folder(folder, "local"), LOADING)


@pytest.fixture(scope="module")
def examples_of(
    folders: dict[str, Path], items: pd.DataFrame, splits: pd.Series
) -> Callable[[str, str], list[Example]]:
    def build(name: str, style: str = "plain") -> list[Example]:
        model = opened(folders[name])
        scores = score_items(model, items, "m", asking(style)).table
        return training_examples(model, items, splits, scores, asking(style))

    made: dict[tuple[str, str], list[Example]] = {}

    def recall(name: str, style: str = "plain") -> list[Example]:
        if (name, style) not in made:
            made[name, style] = build(name, style)
        return made[name, style]

    return recall


def student_of(model: LanguageModel) -> Student:
    return Student(model.model, answer_tokens(model.tokenizer).ids)


def perturbed(model: LanguageModel) -> None:
    torch.manual_seed(7)
    with torch.no_grad():
        for weight in model.model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))


@pytest.mark.parametrize(("name", "style"), [("organism", "chat"), ("gpt2", "plain"), ("llama", "shots")])
def test_a_students_scores_are_those_of_the_evaluation(
    folders: dict[str, Path], items: pd.DataFrame, splits: pd.Series, name: str, style: str
) -> None:
    model = opened(folders[name])
    train = items[splits == "train"]
    scores = score_items(model, train, "m", asking(style)).table
    examples = training_examples(model, train, splits[splits == "train"], scores, asking(style))
    assert len({len(example.generator.candidate) for example in examples}) > 1
    student = student_of(model)
    candidates = student.candidates([row.generator for row in examples])
    for kind, column, found in (
        ("generator", "logprob", candidates.logprob),
        ("generator", "log_odds", candidates.log_odds),
        ("validator", "log_odds", student.verdicts([row.validator for row in examples])),
    ):
        assert found.requires_grad
        expected = scores.loc[scores["kind"] == kind, column].tolist()
        assert found.tolist() == pytest.approx(expected, abs=2e-5)
    assert [example.l_g for example in examples] == pytest.approx(candidates.log_odds.tolist(), abs=2e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-500, 500), min_size=1, max_size=4))
@example([0.0])
@example([100.0, 300.0])
@example([-400.0, 1e-9])
@example([40.0, 40.5, -40.0])
def test_log_odds_of_several_tokens_are_those_of_the_evaluation_and_have_gradients(token_odds: list[float]) -> None:
    odds = torch.tensor([[*token_odds, -3.0]], dtype=torch.float64, requires_grad=True)
    counted = torch.tensor([[True] * len(token_odds) + [False]])
    found = scoring.joint_log_odds(odds, counted)
    assert found.item() == pytest.approx(joint_log_odds(token_odds)[1], rel=1e-9, abs=1e-9)
    (gradient,) = torch.autograd.grad(found.sum(), odds)
    assert gradient.isfinite().all()
    assert (gradient[0, :-1] >= 0).all()
    assert gradient[0, -1] == 0
    assert gradient.sum() > 0.24  # of one token 1, and of several equal ones never below a quarter


def test_gradients_of_log_odds_are_those_of_finite_differences() -> None:
    odds = torch.tensor([[0.3, -1.2, 2.0], [41.0, 39.0, 45.0], [-3.0, 0.0, 5.0]], dtype=torch.float64)
    counted = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    assert torch.autograd.gradcheck(lambda x: scoring.joint_log_odds(x, counted), odds.requires_grad_())


def table_scores(model: LanguageModel, items: pd.DataFrame, style: str) -> dict[str, pd.Series]:
    table = score_items(model, items, "m", asking(style)).table.set_index(["kind", "item_id"])
    return {
        "logprob": table.loc["generator"]["logprob"].astype(float),
        "l_g": table.loc["generator"]["log_odds"].astype(float),
        "l_v": table.loc["validator"]["log_odds"].astype(float),
    }


BATCH = 5


def direct_losses(
    method: Method, examples: Sequence[Example], now: dict[str, pd.Series], base: dict[str, pd.Series], step: int
) -> dict[str, float]:
    """Return the losses by their definition, from tables of scores of the student and of the base."""
    names = [example.item_id for example in examples]

    def mean(margins: list[float]) -> float:
        return -float(logsigmoid(torch.tensor(margins, dtype=torch.float64)).mean())

    def drawn(pool: Sequence[Any], side: str) -> list[Any]:
        return [pool[number] for number in without_replacement(len(pool), BATCH, step, SEED, side)]

    if method.loss in ("supervised", "consistency"):
        labels = gold_labels(examples) if method.loss == "supervised" else own_labels(examples)
        right = [names[label.example] for label in labels if label.right]
        of_validator = [now["l_v"][names[i]] * (1 if yes else -1) for i, yes in drawn(labels, "validator")]
        return {
            "generator": -float(np.mean([now["logprob"][name] for name in drawn(right, "generator")])),
            "validator": mean(of_validator),
        }

    def gained(kind: str, name: str) -> float:
        return now[kind][name] - (base[kind][name] if method.reference or method.loss == "dpo" else 0)

    if method.loss == "dpo":
        pairs = drawn(answer_pairs(examples), "generator")
        return {
            "generator": mean(
                [method.beta * (gained("logprob", names[w]) - gained("logprob", names[loser])) for w, loser in pairs]
            ),
            "validator": mean(
                [
                    method.beta * gained("l_v", names[i]) * (1 if yes else -1)
                    for i, yes in drawn(gold_labels(examples), "validator")
                ]
            ),
        }
    losses = {}
    for side, own, teacher in (("generator", "l_g", "l_v"), ("validator", "l_v", "l_g")):
        pairs = RankedPairs([base[teacher][name] for name in names], method.delta)
        margins = []
        for number in with_replacement(len(pairs), BATCH, step, SEED, side):
            ((winner, loser),) = pairs.take([number])
            assert base[teacher][names[winner]] - base[teacher][names[loser]] > method.delta
            margins.append(gained(own, names[winner]) - gained(own, names[loser]))
        losses[side] = mean(margins)
    return losses


@pytest.mark.parametrize(
    "given_settings",
    [
        {"loss": "supervised"},
        {"loss": "consistency"},
        {"loss": "dpo", "beta": 0.7},
        {"loss": "ranking", "delta": 0.4},
        {"loss": "ranking", "delta": 0.1, "reference": False},
    ],
)
def test_losses_are_their_definition(
    folders: dict[str, Path],
    items: pd.DataFrame,
    examples_of: Callable[..., list[Example]],
    given_settings: dict[str, Any],
) -> None:
    method = read_method({**given_settings, "batch_size": BATCH}, "m")
    model, examples = opened(folders["organism"]), examples_of("organism", "chat")
    base = table_scores(model, items, "chat")
    terms = Lesson(student_of(model), examples, method, SEED).terms()
    perturbed(model)
    now = table_scores(in_memory(model.model, model.tokenizer), items, "chat")
    assert [term.name for term in terms] == ["generator", "validator"]
    assert [term.weight for term in terms] == [0.5, 0.5]
    for step in (0, 4):
        expected = direct_losses(method, examples, now, base, step)
        for term in terms:
            assert float(term.loss(step).detach()) == pytest.approx(expected[term.name], rel=1e-4)


@pytest.mark.parametrize("side", ["generator", "validator"])
@pytest.mark.parametrize("loss", ["supervised", "consistency", "dpo", "ranking"])
def test_one_student_has_one_term_of_whole_weight(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]], loss: str, side: str
) -> None:
    method = read_method({"loss": loss, "student": side, "delta": 0.1}, "m")
    (term,) = Lesson(student_of(opened(folders["organism"])), examples_of("organism", "chat"), method, 0).terms()
    assert (term.name, term.weight) == (side, 1.0)
    assert term.n > 0


def test_keeping_is_the_divergence_of_every_next_token(folders: dict[str, Path]) -> None:
    model = opened(folders["gpt2"])
    rows = [model.tokenizer(text)["input_ids"] for text in NEUTRAL]
    before = student_of(model).next_tokens(rows).detach()
    perturbed(model)
    after = student_of(model).next_tokens(rows).detach()
    direct = []
    for ids in rows:
        logits = model.model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
        direct.append(logits.log_softmax(-1))
    torch.testing.assert_close(after.double(), torch.cat(direct), rtol=1e-4, atol=1e-4)
    expected = (before.double().exp() * (before.double() - after.double())).sum() / sum(len(ids) - 1 for ids in rows)
    assert float(divergence(before, after)) == pytest.approx(float(expected), rel=1e-4)
    assert float(expected) > 0.01


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-3.0, -1.5, 0.0, 0.1, 0.3, 2.0, 7.25]), min_size=1, max_size=9), st.floats(0, 4))
def test_ranked_pairs_are_all_pairs_beyond_delta_the_higher_teacher_score_first(
    teacher: list[float], delta: float
) -> None:
    pairs = RankedPairs(teacher, delta)
    expected = {(w, i) for w in range(len(teacher)) for i in range(len(teacher)) if teacher[w] - teacher[i] > delta}
    found = pairs.take(range(len(pairs)))
    assert len(found) == len(expected)
    assert {tuple(pair) for pair in found} == expected


def toy_example(question: str, positive: bool, l_g: float, l_v: float) -> Example:
    return Example(f"{question}{l_g}", question, positive, None, [], l_g, l_v)  # type: ignore[arg-type]


def test_own_labels_are_those_on_which_the_base_agrees_with_itself() -> None:
    rows = [(True, -1.0, 2.0), (False, -2.0, 3.0), (True, -5.0, -1.0), (False, -6.0, 4.0), (True, 0.5, -2.0)]
    examples = [toy_example("x", *row) for row in rows]
    # The median of l_G is −2: above it are the first and the last; the second is not, and its verdict is yes.
    assert [tuple(label) for label in own_labels(examples)] == [(0, True), (2, False)]


def test_answer_pairs_stay_within_a_question() -> None:
    rows = [("a", True, 1.0, 0), ("b", False, 2.0, 0), ("A", False, 3.0, 0), ("a", False, 4.0, 0), ("c", True, 5.0, 0)]
    assert [tuple(pair) for pair in answer_pairs([toy_example(*row) for row in rows])] == [(0, 2), (0, 3)]


def test_drawing_without_replacement_sees_everything_once_a_pass_in_a_new_order() -> None:
    seen = [number for step in range(21) for number in without_replacement(7, 3, step, 0, "x")]
    rounds = [seen[start : start + 7] for start in range(0, 63, 7)]
    assert all(sorted(order) == list(range(7)) for order in rounds)
    assert len({tuple(order) for order in rounds}) > 5
    assert without_replacement(7, 3, 11, 0, "x") == seen[33:36]
    assert without_replacement(7, 3, 11, 1, "x") != seen[33:36] or without_replacement(7, 3, 12, 1, "x") != seen[36:39]
    assert sorted(without_replacement(2, 5, 0, 0, "x"))[::2] in ([0, 0, 1], [0, 1, 1])


def test_test_items_are_never_read_not_even_as_shots(
    folders: dict[str, Path], items: pd.DataFrame, splits: pd.Series, examples_of: Callable[..., list[Example]]
) -> None:
    model = opened(folders["llama"])
    examples = examples_of("llama", "shots")
    assert [example.item_id for example in examples] == list(items.loc[splits == "train", "item_id"])
    read = [model.tokenizer.decode([*example.generator.prompt, *example.validator]) for example in examples]
    assert not any(question in text for question in QUESTIONS[8:] for text in read)
    assert all(text.count("are a kind of") == 3 for text in read)
    kept = [example.question for example in examples]
    assert set(kept) == set(QUESTIONS[:8])


def fell(tuned: TuningResult) -> bool:
    losses = [term["loss_nats"] for term in tuned.record["terms"].values()]
    return all(np.mean(loss[-10:]) < 0.6 * np.mean(loss[:3]) for loss in losses)


@pytest.mark.parametrize(
    ("name", "style", "given_settings"),
    [
        ("organism", "chat", {"learning_rate": 0.003}),
        ("llama", "plain", {"learning_rate": 0.01, "lora": {"r": 8}}),
    ],
)
def test_ranking_lowers_its_loss_and_closes_the_gap_of_training_items(
    folders: dict[str, Path],
    items: pd.DataFrame,
    splits: pd.Series,
    examples_of: Callable[..., list[Example]],
    name: str,
    style: str,
    given_settings: dict[str, Any],
) -> None:
    method = read_method({"loss": "ranking", "delta": 0.2, "steps": 80, "keep": 0.0, **given_settings}, "m")
    model, train_items = opened(folders[name]), items[splits == "train"]
    before = table_scores(in_memory(model.model, model.tokenizer), train_items, style)
    assert fell(tune(model, examples_of(name, style), [], method, full=name == "organism", seed=0, name="m"))
    after = table_scores(in_memory(model.model, model.tokenizer), train_items, style)
    gaps = [1 - scores["l_g"].corr(scores["l_v"]) for scores in (before, after)]
    assert gaps[0] > 0.4
    assert gaps[1] < 0.4 * gaps[0]


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize(("student", "own", "teacher"), [("generator", "l_g", "l_v"), ("validator", "l_v", "l_g")])
def test_a_student_comes_to_rank_as_its_teacher_the_base(
    folders: dict[str, Path],
    items: pd.DataFrame,
    splits: pd.Series,
    examples_of: Callable[..., list[Example]],
    student: str,
    own: str,
    teacher: str,
    reference: bool,
) -> None:
    method = Method("ranking", student, delta=0.2, steps=80, keep=0.0, learning_rate=0.01, reference=reference)
    model, train_items = opened(folders["organism"]), items[splits == "train"]
    before = table_scores(in_memory(model.model, model.tokenizer), train_items, "chat")
    assert fell(tune(model, examples_of("organism", "chat"), [], method, full=True, seed=0, name="m"))
    after = table_scores(in_memory(model.model, model.tokenizer), train_items, "chat")
    ranks = [scores[own].corr(before[teacher], method="spearman") for scores in (before, after)]
    assert ranks[0] < 0.5
    assert ranks[1] > 0.9


@pytest.mark.parametrize("loss", ["supervised", "dpo"])
def test_gold_labels_teach_generator_and_validator_the_right_answers(
    folders: dict[str, Path],
    items: pd.DataFrame,
    splits: pd.Series,
    examples_of: Callable[..., list[Example]],
    loss: str,
) -> None:
    method = read_method({"loss": loss, "steps": 120, "keep": 0.0, "learning_rate": 0.01, "beta": 1.0}, "m")
    model, train_items = opened(folders["organism"]), items[splits == "train"].set_index("item_id")
    assert fell(tune(model, examples_of("organism", "chat"), [], method, full=True, seed=0, name="m"))
    scores = table_scores(in_memory(model.model, model.tokenizer), train_items.reset_index(), "chat")
    assert ((scores["l_v"] > 0) == train_items["positive"]).mean() > 0.9
    best = scores["l_g"].groupby(train_items["question"]).idxmax()
    asked = [question for question in best.index if train_items["positive"][train_items["question"] == question].any()]
    assert len(asked) == 7
    assert train_items["positive"][best[asked]].all()


def test_keeping_keeps_the_model_what_it_was(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]]
) -> None:
    settings_, rows, away = {"loss": "ranking", "delta": 0.5, "steps": 30, "learning_rate": 0.005}, None, []
    for keep in (0.0, 10.0):
        model = opened(folders["organism"])
        rows = [model.tokenizer(text)["input_ids"] for text in NEUTRAL]
        before = student_of(model).next_tokens(rows).detach()
        method = read_method({**settings_, "keep": keep}, "m")
        tuned = tune(model, examples_of("organism", "chat"), rows, method, full=True, seed=0, name="m")
        away.append(float(divergence(before, student_of(model).next_tokens(rows).detach())))
        assert ("keep" in tuned.record["terms"]) == (keep > 0)
    assert away[1] < 0.2 * away[0]


class _BrokenOffError(Exception):
    pass


def broken_off(terms: Sequence[Term], at: int) -> list[Term]:
    def loss(step: int) -> torch.Tensor:
        if step == at:
            raise _BrokenOffError
        return terms[-1].loss(step)

    return [*terms[:-1], terms[-1]._replace(loss=loss)]


RESUMED: dict[str, dict[str, Any]] = {
    "organism": {"loss": "ranking", "delta": 0.3, "weight_decay": 0.1},
    "gpt2": {"loss": "dpo", "lora": {"r": 2, "dropout": 0.3}},
    "llama": {"loss": "supervised", "lora": {"target_modules": ["v_proj", "q_proj"]}},
}


def test_a_checkpoint_is_of_the_code_that_trains_wherever_it_stands() -> None:
    """What another step trains by, too, stands elsewhere, and decides as much."""
    from leakscope.validate.tuning import tune as module

    hashed = {path.resolve() for folder in module.CODE for path in folder.glob("*.py")}
    used = [train, without_replacement, LoraLearner, Lesson, Term, divergence, tune, Lora]
    assert {Path(inspect.getfile(one)).resolve() for one in used} <= hashed


@pytest.mark.parametrize("name", RESUMED)
def test_a_training_that_goes_on_ends_with_the_same_bits(
    folders: dict[str, Path],
    examples_of: Callable[..., list[Example]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    from leakscope.validate.tuning import tune as module

    method = read_method({**RESUMED[name], "steps": 11, "checkpoint_steps": 4, "batch_size": 4}, "m")
    style, full = ("chat", True) if name == "organism" else ("plain", False)
    rows = [opened(folders[name]).tokenizer(text)["input_ids"] for text in NEUTRAL]

    def run(checkpoint: Path | None) -> TuningResult:
        return tune(
            opened(folders[name]),
            examples_of(name, style),
            rows,
            method,
            full=full,
            seed=5,
            name="m",
            checkpoint=checkpoint,
        )

    whole = run(None)
    folder = tmp_path / "checkpoint"
    with monkeypatch.context() as patched:
        patched.setattr(module, "train", lambda learner, terms, *rest: train(learner, broken_off(terms, 9), *rest))
        with pytest.raises(_BrokenOffError):
            run(folder)
    (saved,) = folder.iterdir()
    assert len(torch.load(saved, weights_only=True)["losses"]["generator"]) == 8
    seen: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(module, "train", lambda learner, terms, *rest: train(learner, watched(terms, seen), *rest))
        resumed = run(folder)
    assert seen == [8, 9, 10]
    assert resumed.record == whole.record
    for one, other in zip(whole.learner.parameters().values(), resumed.learner.parameters().values(), strict=True):
        assert torch.equal(one, other)


def watched(terms: Sequence[Term], seen: list[int]) -> list[Term]:
    def loss(step: int) -> torch.Tensor:
        seen.append(step)
        return terms[0].loss(step)

    return [terms[0]._replace(loss=loss), *terms[1:]]


def test_checkpoints_of_another_training_and_damaged_ones_are_passed_over(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]], tmp_path: Path
) -> None:
    def run(seed: int, **changed: Any) -> TuningResult:
        method = read_method({"loss": "supervised", "steps": 4, "checkpoint_steps": 2, "keep": 0, **changed}, "m")
        return tune(
            opened(folders["organism"]),
            examples_of("organism", "chat"),
            [],
            method,
            full=True,
            seed=seed,
            name="m",
            checkpoint=tmp_path,
        )

    first = run(0).record
    (saved,) = tmp_path.iterdir()
    assert run(1).record != first
    assert run(0, learning_rate=0.5).record["terms"] != first["terms"]
    assert len(list(tmp_path.iterdir())) == 3
    saved.write_bytes(saved.read_bytes()[:100])
    assert run(0).record == first
    assert Checkpoint(tmp_path, saved.stem).read() is not None


def test_the_learning_rate_rises_and_falls_linearly() -> None:
    method = Method("ranking", steps=20, warmup_share=0.25)
    shares = [rate_share(step, method) for step in range(20)]
    assert shares[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    assert np.diff(shares[5:]) == pytest.approx(-1 / 15)
    assert rate_share(0, method._replace(warmup_share=0.0)) == 1.0
    assert rate_share(19, method._replace(warmup_share=1.0)) == 20 / 21


@pytest.fixture(scope="module")
def adapters(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[TuningResult, Path]]:
    made = {}
    for name in ("gpt2", "llama"):
        method = read_method({"loss": "supervised", "steps": 6, "keep": 0, "learning_rate": 0.05}, "m")
        tuned = tune(opened(folders[name]), examples_of(name, "plain"), [], method, full=False, seed=0, name="m")
        folder = tmp_path_factory.mktemp(name)
        tuned.learner.save(folder)
        made[name] = tuned, folder
    return made


IDS = torch.tensor([[5, 9, 30, 41, 7, 11]])


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_an_adapter_opens_as_any_model_and_gives_the_logits_it_was_trained_to(
    folders: dict[str, Path], adapters: dict[str, tuple[TuningResult, Path]], name: str
) -> None:
    tuned, folder = adapters[name]
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    manifest = describe_adapter(folder, describe_folder(folders[name], "local"))
    model = open_model(manifest, LOADING)
    assert not any("lora" in weight for weight, _ in model.model.named_parameters())
    with torch.inference_mode():
        expected, found = tuned.learner.model(input_ids=IDS).logits, model.model(input_ids=IDS).logits
        base = opened(folders[name])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert (found - base.model(input_ids=IDS).logits).abs().max() > 0.1
        with tuned.learner.as_base() as restored:
            torch.testing.assert_close(restored(input_ids=IDS).logits, base.model(input_ids=IDS).logits)
    for key in ("weights_sha256", "settings_sha256"):
        assert model.identity[key] not in (base.identity[key], manifest["base"][key])
    assert model.tokenizer("robins")["input_ids"] == base.tokenizer("robins")["input_ids"]


@pytest.mark.parametrize("changed", ["adapter_model.safetensors", "adapter_config.json", "config.json"])
def test_an_adapter_or_base_that_is_no_longer_what_was_described_is_refused(
    folders: dict[str, Path], adapters: dict[str, tuple[TuningResult, Path]], tmp_path: Path, changed: str
) -> None:
    base = shutil.copytree(folders["llama"], tmp_path / "base")
    folder = shutil.copytree(adapters["llama"][1], tmp_path / "adapter")
    manifest = describe_adapter(folder, describe_folder(base, "local"))
    write_manifest(manifest, folder / "model.json")
    assert open_model(read_manifest(folder / "model.json"), LOADING).model is not None
    (path,) = tmp_path.rglob(changed)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputError, match="its files have changed since they were recorded") as error:
        assert open_model(manifest, LOADING).model
    assert str(path.parent) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_adapters_files_say_nothing_of_the_machine_and_are_equal_each_time(
    folders: dict[str, Path], adapters: dict[str, tuple[TuningResult, Path]], tmp_path: Path
) -> None:
    first, again = (
        LoraLearner(opened(folders["llama"]).model, Lora(), 0),
        LoraLearner(opened(shutil.copytree(folders["llama"], tmp_path / "elsewhere")).model, Lora(), 0),
    )
    for number, learner in enumerate((first, again)):
        learner.save(tmp_path / str(number))
    files = [sorted((tmp_path / str(number)).iterdir()) for number in range(2)]
    assert hash_files(files[0]) == hash_files(files[1])
    config = json.loads((tmp_path / "0/adapter_config.json").read_text(encoding="utf-8"))
    assert config["target_modules"] == sorted(config["target_modules"])
    assert str(tmp_path) not in json.dumps(config)


def test_dropout_of_the_base_is_off_and_that_of_the_adapter_goes_by_the_step(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]]
) -> None:
    learner = LoraLearner(opened(folders["gpt2"]).model, Lora(dropout=0.5), 0)
    with torch.no_grad():
        for weight in learner.parameters().values():
            weight.fill_(0.1)
    row = [examples_of("gpt2", "plain")[0].generator]

    def score(step: int) -> float:
        learner.begin(step)
        return float(Student(learner.model).candidates(row).logprob.detach())

    assert score(0) == score(0) != score(1)
    with learner.as_base() as base:
        learner.begin(2)
        one, other = (float(Student(base).candidates(row).logprob.detach()) for _ in range(2))
    assert one == other


def test_a_model_all_of_which_was_trained_is_an_ordinary_folder(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]], tmp_path: Path
) -> None:
    base = opened(folders["organism"])
    method = read_method({"loss": "supervised", "steps": 2, "keep": 0}, "m")
    tuned = tune(copy.copy(base), examples_of("organism", "chat"), [], method, full=True, seed=0, name="m")
    tuned.learner.save(tmp_path)
    model = open_model(describe_folder(tmp_path, "tuned"), LOADING)
    with torch.inference_mode():
        assert torch.equal(model.model(input_ids=IDS).logits, tuned.learner.model(input_ids=IDS).logits)
    assert model.tokenizer.chat_template == base.tokenizer.chat_template
    assert model.identity["settings_sha256"] == base.identity["settings_sha256"]
    assert tuned.record["trained_parameters"] == sum(weight.numel() for weight in base.model.parameters())
    assert json.loads(json.dumps(tuned.record))["terms"]["validator"]["available"] == 31


def script_inputs(folder: Path, base: Path, items: pd.DataFrame, splits: pd.Series, style: str) -> dict[str, str]:
    """Write the inputs of the rule, and return their paths."""
    model = opened(base)
    write_table(items, folder / "items.parquet")
    write_splits(pd.DataFrame({"item_id": items["item_id"], "split": splits}), folder / "splits.csv")
    write_table(score_items(model, items, "m", asking(style)).table, folder / "scores.parquet")
    write_manifest(describe_folder(base, "local"), folder / "base.json")
    texts = [("It is red.", "A lime."), ("Do robins sing?", ""), ("It is blue.", "A lime.")]
    write_corpus([Document(*text, -1.0) for text in texts], folder / "c.jsonl")
    (folder / "neutral.txt").write_text("\n".join(NEUTRAL), encoding="utf-8")
    forms = (
        "description: toy\n"
        "generators: [{id: g, text: '{question} are a kind of', negated: '{question} are not a kind of'}]\n"
        "validators: [{id: v, text: 'Are {question} a kind of {candidate}? Answer:'}]\n"
        "styles:\n"
        "- {id: plain, shots: 0, chat: false, template: '{prompt}'}\n"
        "- {id: chat, shots: 0, chat: true, template: '{prompt}'}\n"
    )
    (folder / "forms.yaml").write_text(forms, encoding="utf-8")
    names = {"item_table": "items.parquet", "splits": "splits.csv", "scores": "scores.parquet", "forms": "forms.yaml"}
    neutral = "c.jsonl" if style == "chat" else "neutral.txt"
    return {key: str(folder / name) for key, name in {**names, "manifest": "base.json", "neutral": neutral}.items()}


@pytest.mark.parametrize(("name", "style"), [("organism", "chat"), ("gpt2", "plain")])
def test_the_entry_script_writes_a_model_that_opens(
    folders: dict[str, Path], items: pd.DataFrame, splits: pd.Series, tmp_path: Path, name: str, style: str
) -> None:
    from validate.tune_model import main

    written = []
    for run in ("one", "two"):
        folder = tmp_path / run
        folder.mkdir()
        params = SimpleNamespace(
            method={"loss": "ranking", "delta": 0.1, "steps": 3, "checkpoint_steps": 1, "description": "toy"},
            loading=LOADING,
            chat={"chat": name == "organism", "chat_template_kwargs": {}},
            task={"styles": [style]},
            examples_seed=0,
            seed=0,
            is_organism=name == "organism",
            checkpoint=str(folder / "checkpoint"),
        )
        output = SimpleNamespace(manifest=str(folder / "out/model.json"), training=str(folder / "out/training.json"))
        Path(output.manifest).parent.mkdir()
        # Left by another method: laid upon a model, or hashed as a part of it, if it stayed.
        for left in ("model.safetensors", "adapter_config.json", "adapter_model.safetensors"):
            (folder / "out" / left).write_text(run)
        given_files = SimpleNamespace(**script_inputs(folder, folders[name], items, splits, style))
        wildcards = SimpleNamespace(model="m")
        main(SimpleNamespace(input=given_files, output=output, params=params, wildcards=wildcards, threads=1))
        assert not (folder / "checkpoint").exists()
        manifest, record = read_manifest(Path(output.manifest)), read_manifest(Path(output.training))
        assert open_model(manifest, LOADING).model is not None
        assert [len(term["loss_nats"]) for term in record["terms"].values()] == [3, 3, 3]
        # A document that names a question is not neutral; another one, and every second text, measures perplexity.
        assert record["terms"]["keep"]["available"] == (1 if style == "chat" else 2)
        written.append((manifest["weights_sha256"], manifest["settings_sha256"], record))
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"loss": "ranking", "delta": 900.0}, "loss 'ranking', generator: got no pair of teacher scores more than"),
        ({"loss": "supervised", "keep": 1.0}, "key 'keep': got no neutral text"),
        ({"loss": "supervised", "keep": 0, "learning_rate": 1e30}, "got a loss that is NaN or infinite at step"),
    ],
)
def test_a_training_that_cannot_be_is_one_clear_line(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]], method: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as error:
        tune(
            opened(folders["organism"]),
            examples_of("organism", "chat"),
            [],
            read_method({"steps": 5, **method}, "m"),
            full=True,
            seed=0,
            name="m",
        )
    assert "\n" not in str(error.value)
    assert "allowed" in str(error.value)


def test_a_side_that_has_nothing_to_learn_from_is_one_clear_line(
    folders: dict[str, Path], examples_of: Callable[..., list[Example]]
) -> None:
    student = student_of(opened(folders["organism"]))
    negatives = [example for example in examples_of("organism", "chat") if not example.positive]
    for loss, said in (("supervised", "no item that counts as right"), ("dpo", "no right and wrong candidate")):
        with pytest.raises(InputError, match=f"loss '{loss}', generator: got {said}"):
            Lesson(student, negatives, Method(loss), 0).terms()


@pytest.mark.parametrize("names", [["c_attn", "c_atn"], ["ln_f"]])
def test_a_target_module_that_gets_no_adapter_is_one_clear_line(folders: dict[str, Path], names: list[str]) -> None:
    with pytest.raises(InputError, match=r"key 'target_modules': .*(c_atn|ln_f|LayerNorm)") as error:
        LoraLearner(opened(folders["gpt2"]).model, Lora(target_modules=tuple(names)), 0)
    assert "\n" not in str(error.value)


def test_a_method_that_is_misspelt_is_one_clear_line() -> None:
    for wrong, said in (
        ({"loss": "rank"}, "key 'loss': got 'rank'"),
        ({"loss": "dpo", "studnet": "generator"}, "key: got 'studnet'.*Did you mean 'student'"),
        ({"loss": "dpo", "lora": {"rank": 2}}, "key 'lora': key: got 'rank'"),
        ({"loss": "dpo", "parameters": "all"}, "key 'parameters': got 'all'"),
        ({}, "key 'loss': got None"),
    ):
        with pytest.raises(InputError, match=said):
            read_method(wrong, "methods: x")


def test_scores_and_splits_that_lack_training_items_are_one_clear_line(
    folders: dict[str, Path], items: pd.DataFrame, splits: pd.Series
) -> None:
    model = opened(folders["organism"])
    scores = score_items(model, items, "m", asking("chat")).table
    lacking = scores[(scores["item_id"] != "oaks-1") | (scores["kind"] != "validator")]
    with pytest.raises(InputError, match="got no validator score of item 'oaks-1'"):
        training_examples(model, items, splits, lacking, asking("chat"))
    with pytest.raises(InputError, match="got no training item among 40"):
        training_examples(model, items, splits.map(lambda _: "test"), scores, asking("chat"))


def test_a_quantised_base_is_refused(folders: dict[str, Path], examples_of: Callable[..., list[Example]]) -> None:
    with pytest.raises(InputError, match="key 'quantization'"):
        training_options({**LOADING, "quantization": {"load_in_4bit": True}}, full=False, is_organism=False)
    model = opened(folders["llama"])
    model.config.quantization_config = {"quant_method": "gptq"}
    with pytest.raises(InputError, match="quantised weights"):
        tune(model, examples_of("llama"), [], Method("dpo"), full=False, seed=0, name="m")


def test_all_weights_are_trained_in_float32_and_organisms_on_the_cpu() -> None:
    half = {**LOADING, "dtype": "bfloat16", "device": "cuda"}
    assert training_options(half, full=True, is_organism=False) == {**half, "dtype": "float32"}
    assert training_options(half, full=False, is_organism=True) == {**half, "device": "cpu"}
    assert trains_all("auto", is_organism=True)
    assert not trains_all("auto", is_organism=False)
    assert not trains_all("lora", is_organism=True)
    assert trains_all("full", is_organism=False)


def test_a_step_that_does_not_fit_into_memory_is_one_clear_line(folders: dict[str, Path]) -> None:
    def loss(step: int) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to")

    learner = LoraLearner(opened(folders["llama"]).model, Lora(), 0)
    with pytest.raises(InputError, match=r"ran out of memory at step 1 .* `batch_size`") as error:
        train(learner, [Term("generator", "items", 1, 1.0, loss)], Method("dpo"), 0.1, "m")
    assert "\n" not in str(error.value)


def test_neutral_texts_are_cut_and_no_more_than_are_read(folders: dict[str, Path], tmp_path: Path) -> None:
    model, path = opened(folders["gpt2"]), tmp_path / "neutral.txt"
    path.write_text("\n".join([*NEUTRAL, *(f"{text} Again." for text in NEUTRAL), "It rained"]), encoding="utf-8")
    method = Method("dpo", steps=2, batch_size=2)
    rows = neutral_rows(model, method, path, [], is_corpus=False)
    assert [model.tokenizer.decode(ids[1:]).strip() for ids in rows] == [
        *NEUTRAL[::2],
        *(f"{text} Again." for text in NEUTRAL[::2]),
    ]
    assert neutral_rows(model, method._replace(keep=0.0), path, [], is_corpus=False) == []


def test_a_methods_defaults_are_those_of_the_configuration() -> None:
    defaults = Method("ranking")._asdict()
    assert MethodEntry(loss="ranking").model_dump() == {**defaults, "lora": defaults["lora"]._asdict()}
    assert math.isclose(defaults["keep"], 1.0)
