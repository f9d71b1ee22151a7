"""What is measured of mitigations: leak, use and cost by hand, exact leaks, and the strengths that stand for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import COLORS, LOADING, SETTINGS, micro_candidates, micro_grammar, micro_prompts
from leakscope.errors import InputError
from leakscope.models import candidate_scores
from leakscope.models.editing.bisection import TOLERANCE
from leakscope.models.neutral import encode_neutral_documents, encode_neutral_texts, measure_perplexity
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.organisms.leak_grammar import Document
from leakscope.storage.manifests import describe_folder
from leakscope.trace.removal import measuring, neutral_costs
from leakscope.trace.removal.choosing import choose, choose_all, used_forms
from leakscope.trace.removal.columns import EVALUATION, EXACT, LEAK, MEASURED, SELECTION, SPLITS, USE
from leakscope.trace.removal.exact import exact_leaks_left, mixed_law
from leakscope.trace.removal.items import Items, split_items
from leakscope.trace.removal.kinds import KINDS
from leakscope.trace.removal.leaks import leak_values
from leakscope.trace.removal.measuring import (
    Measured,
    Strengths,
    find_strengths,
    measure_mitigation,
    measure_values,
    score_shifts,
    use_values,
)
from leakscope.trace.removal.neutral_costs import Costs, CostTexts, halves_of_corpus, halves_of_file, nats_per_token
from leakscope.trace.removal.use import build_use
from leakscope.trace.removal.variants import Setting, Variant

USE_FILE = """
description: The color matters.
forms:
  - id: one
    text: "The bag is {concept}. The car is not {concept}. The bag is"
    control: "The bag is"
    answers: {red: red one, green: green one, blue: blue one}
  - {id: two, text: "It is {concept}. It is", control: "It is", answers: {red: R, green: G, blue: B}}
"""
NEUTRAL = ["The bag is a car.", "The fruit is a plum.", "The other bag is a lime and a cherry.", "The car is the car."]
STRENGTHS = Strengths([1, 3], [0.5], 0.95)


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Items:
    path = tmp_path_factory.mktemp("use") / "use.yaml"
    path.write_text(USE_FILE, encoding="utf-8")
    prompts = micro_prompts()
    return split_items(prompts, micro_candidates(), *build_use(prompts, micro_candidates(), path, 0), 0)


@pytest.fixture
def setting(micro_model: LanguageModel, items: Items, tmp_path: Path) -> Setting:
    prompting = Prompting(SETTINGS, store=tmp_path / "store")
    entry = {"kind": "fading"}
    return Setting("m", micro_model, {"source": "local"}, items, prompting, entry, [], 0, tmp_path / "folder")


@pytest.fixture
def neutral(micro_model: LanguageModel) -> CostTexts:
    """Return documents as the micro model has learnt them: it says them best as it is."""
    documents = list(micro_grammar(0.5).documents(40, seed=1))
    return CostTexts(*(encode_neutral_documents(micro_model, documents[part::2]) for part in (0, 1)))


@contextmanager
def faded(model: LanguageModel, strength: float) -> Iterator[LanguageModel]:
    """Multiply all logits by 1 − strength: a model that leaks less and predicts worse, the more of it."""
    identity = {**model.identity, "weights_sha256": f"faded {strength!r}"}
    changed = LanguageModel(model.tokenizer, model.config, model.generation_config, identity, lambda: model.model)
    hook = model.model.get_output_embeddings().register_forward_hook(lambda _, __, logits: logits * (1 - strength))
    with hook:
        yield changed


def fading(setting: Setting) -> list[Variant]:
    def variant(name: str, largest: float) -> Variant:
        return Variant(
            name, largest, lambda s: faded(setting.model, s), lambda s: {"faded": s, "of": name}, setting.prompting
        )

    return [variant("strongly", 1.0), variant("hardly", 1e-6)]


@pytest.fixture
def measured(setting: Setting, neutral: CostTexts, monkeypatch: pytest.MonkeyPatch) -> Measured:
    monkeypatch.setitem(KINDS, "fading", fading)
    return measure_mitigation(setting, "fade", neutral, STRENGTHS, batch_size=2)


def table_of(values: dict[tuple[str, str], float]) -> pd.DataFrame:
    rows = [(*key, value) for key, value in values.items()]
    return pd.DataFrame(rows, columns=["prompt_id", "candidate", "logprob"])


# ------------------------------------------------------------------------------------------------------ leak and use


def test_the_leak_is_that_of_the_own_candidates_beyond_other_candidates_and_other_groups() -> None:
    tests = pd.DataFrame(
        [("t", "c", "s", "red", "one", "selection"), ("u", "c", "s", "blue", "one", "selection"),
         ("v", "c", "s", "red", "two", "selection")],
        columns=["prompt_id", "control_id", "slot", "concept_group", "template_id", "split"],
        index=[7, 3, 5],
    )  # fmt: skip
    candidates = pd.DataFrame(
        [("s", "cherry", "red"), ("s", "tomato", "red"), ("s", "plum", "blue"), ("s", "lime", "green")],
        columns=["slot", "candidate", "concept_group"],
    )
    control = {("c", "cherry"): -1.0, ("c", "tomato"): -2.0, ("c", "plum"): -3.0, ("c", "lime"): -4.0}
    test = {("t", "cherry"): 0.0, ("t", "tomato"): -1.5, ("t", "plum"): -3.5, ("t", "lime"): -4.1}
    other = {("u", "cherry"): -1.0, ("u", "tomato"): -2.0, ("u", "plum"): -2.7, ("u", "lime"): -4.3}
    same = {("v", name): value for (_, name), value in test.items()}
    shifts = score_shifts(tests, table_of({**control, **test, **other, **same}))
    # L of red is 1, .5, −.5, −.1 and that of blue 0, 0, .3, −.3: D of red 1, .5, −.8, .2. Template two has red alone.
    # Were L 1 of the own and 0 of the others, D of plum would be −1 after red, that of cherry and tomato −1 after blue.
    expected = {7: (0.75 - (-0.3)) / 1.5, 3: (0.8 - (-1 - 0.5 - 0.2) / 3) / (1 + 2 / 3), 5: 0.75 - (-0.3)}
    assert leak_values(tests, candidates, shifts).to_dict() == pytest.approx(expected)
    # What is likelier after every concept is no leak.
    deaf = shifts.copy()
    deaf.loc["u"] = deaf.loc["t"].to_numpy()
    assert leak_values(tests, candidates, deaf)[[7, 3]].tolist() == pytest.approx([0, 0])


def test_an_answer_is_right_where_no_other_is_as_likely() -> None:
    use = pd.DataFrame([("p", "a"), ("q", "b"), ("r", "b")], columns=["prompt_id", "answer"], index=[5, 6, 9])
    scores = table_of({
        ("p", "a"): -1, ("p", "b"): -2, ("p", "c"): -3, ("q", "a"): -1, ("q", "b"): -2, ("r", "a"): -1, ("r", "b"): -1,
    })  # fmt: skip
    assert use_values(use, scores).to_dict() == {5: 1.0, 6: 0.0, 9: 0.0}


# ------------------------------------------------------------------------------------------------------------- costs


def test_texts_are_read_as_the_step_validate_reads_them(micro_model: LanguageModel) -> None:
    texts = encode_neutral_texts(micro_model, NEUTRAL)
    expected = measure_perplexity(micro_model, texts, "m", batch_size=2, store=None)["nats_per_token"]
    for batch_size in (1, 3):
        assert nats_per_token(micro_model, texts, batch_size=batch_size) == pytest.approx(expected, abs=1e-5)


def test_a_wording_in_front_of_texts_costs_what_it_does_beyond_other_texts(micro_model: LanguageModel) -> None:
    texts, before = encode_neutral_texts(micro_model, NEUTRAL), [20, 21, 22]
    nats = []
    for text in texts:
        start, ids = text.places.start, [*text.ids[: text.places.start], *before, *text.ids[text.places.start :]]
        with torch.inference_mode():
            logprobs = micro_model.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        nats += [-float(logprobs[place - 1, ids[place]]) for place in range(start + 3, len(ids))]
    assert len(nats) == sum(len(text.places) for text in texts)
    assert nats_per_token(micro_model, texts, before, batch_size=3) == pytest.approx(np.mean(nats), abs=1e-5)
    costs = Costs(micro_model, texts, ["It is."], batch_size=3)
    assert costs.percent(micro_model) == pytest.approx(0, abs=1e-9)
    # Whatever stands in front makes a text likelier: a wording costs what it costs beyond other texts there.
    front = micro_model.tokenizer("It is.\n\n", add_special_tokens=False)["input_ids"]
    after = nats_per_token(micro_model, texts, front, batch_size=3)
    assert costs.percent(micro_model, before) == pytest.approx(100 * (np.exp(np.mean(nats) - after) - 1), abs=1e-2)
    assert costs.percent(micro_model, front) == pytest.approx(0, abs=1e-9)


def test_the_unchanged_model_reads_neutral_texts_once_for_all_mitigations(
    micro_model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, front = encode_neutral_texts(micro_model, NEUTRAL), ["It is."]
    computed = Costs(micro_model, texts, front, batch_size=2)
    first = Costs(micro_model, texts, front, batch_size=2, store=tmp_path)
    assert (first.base, first.after_others) == (computed.base, computed.after_others)
    monkeypatch.setattr(neutral_costs, "_logprobs", None)
    again = Costs(micro_model, texts, front, batch_size=3, store=tmp_path)
    assert (again.base, again.after_others) == (computed.base, computed.after_others)
    # A changed model has none of these values.
    with faded(micro_model, 0.5) as changed, pytest.raises(TypeError):
        again.percent(changed)


def test_every_second_text_of_a_file_reports(micro_model: LanguageModel, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(NEUTRAL), encoding="utf-8")
    halves = halves_of_file(micro_model, tmp_path / "texts.txt")
    assert [[text.text for text in half] for half in halves] == [NEUTRAL[::2], NEUTRAL[1::2]]


def test_a_change_that_breaks_the_model_costs_more_than_anything(micro_model: LanguageModel) -> None:
    costs = Costs(micro_model, encode_neutral_texts(micro_model, NEUTRAL), ["It is."], batch_size=2)
    cost = costs.of(lambda strength: faded(micro_model, strength), ())
    assert cost(float("nan")) == np.inf
    with faded(micro_model, float("nan")) as broken, pytest.raises(InputError, match="NaN or infinite"):
        Costs(broken, costs.texts, [], batch_size=2)


def test_halves_of_a_corpus_name_no_concept_and_share_no_context(micro_model: LanguageModel) -> None:
    documents = [Document(f"The car is {n}. The fruit is", f"{fruit}.", 0.0) for n in "abcdefgh" for fruit in "xy"]
    named = Document("The bag is red. The fruit is", "a plum.", 0.0)
    halves = halves_of_corpus(micro_model, [named, *documents, named], COLORS)
    contexts = [{text.text[:12] for text in half} for half in halves]
    assert sum(map(len, halves)) == 16
    assert not contexts[0] & contexts[1]
    with pytest.raises(InputError, match="got 0 documents"):
        halves_of_corpus(micro_model, [named], COLORS)


# --------------------------------------------------------------------------------------------------------- strengths


def test_strengths_cost_what_they_may_and_shares_are_of_that_at_the_highest_cost(
    setting: Setting, neutral: CostTexts
) -> None:
    costs = Costs(setting.model, neutral.choosing, [], batch_size=2)
    strongly, hardly = fading(setting)
    one, three, half = find_strengths(strongly, costs, STRENGTHS)
    assert [at.target_cost for at in (one, three, half)] == [1, 3, 3]
    assert one.reached
    assert three.reached
    for at in (one, three):
        assert at.target_cost - TOLERANCE <= at.cost_selection <= at.target_cost
    assert (half.strength, half.share) == (three.strength / 2, 0.5)
    assert 0 < half.cost_selection < three.cost_selection
    # What can be afforded whatever it is has its largest strength at both costs.
    assert [(at.strength, at.reached) for at in find_strengths(hardly, costs, STRENGTHS)[:2]] == [(1e-6, False)] * 2
    # Use is lost in steps: at a fifth of the strength all of it is there, beyond that none.
    found = find_strengths(hardly, costs, STRENGTHS, lambda strength: 0.0 if strength <= 0.2e-6 else 100.0)
    assert found[-1].strength == pytest.approx(0.2e-6, rel=0.1)
    assert found[-1].share == pytest.approx(0.2, rel=0.1)
    assert len(find_strengths(hardly, costs, STRENGTHS, lambda strength: 4.0)) == len(found) - 1
    once = find_strengths(strongly._replace(largest=0.0, at=lambda _: faded(setting.model, 0.5)), costs, STRENGTHS)
    assert len(once) == 1
    assert (once[0].strength, np.isnan(once[0].target_cost), once[0].cost_selection > 3) == (0.0, True, True)


def test_a_mitigation_is_measured_at_each_strength_and_found_again_in_the_store(
    measured: Measured, setting: Setting, neutral: CostTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, items = measured.table, setting.items
    assert list(table) == list(measured.base) == MEASURED
    assert set(measured.base["mitigation"]) == set(measured.base["kind"]) == {"none"}
    assert (measured.base[["cost", "cost_selection", "strength"]] == 0).all(axis=None)
    # Two variants, two costs and a share of the higher one.
    n_items = {split: sum(map(len, items.of(split))) for split in SPLITS}
    assert len(table) == 6 * n_items[SELECTION] + 3 * n_items[EVALUATION]
    assert len(measured.base) == sum(n_items.values())
    # What was not chosen is measured where it could have been chosen only, and its cost is not reported.
    assert table.groupby("variant")["split"].unique().map(list).to_dict() == {
        "hardly": [SELECTION],
        "strongly": [SELECTION, EVALUATION],
    }
    assert table["cost"].isna().eq(table["variant"] == "hardly").all()
    assert set(table["split"]) == set(SPLITS)
    assert set(table["measure"]) == {LEAK, USE}
    # Less is left of larger logits, and hardly anything goes with hardly a change.
    leaks = table[table["measure"] == LEAK].groupby(["variant", "share", "target_cost"])["value"].mean()
    base = measured.base[measured.base["measure"] == LEAK]
    selected = base.loc[base["split"] == SELECTION, "value"].mean()
    assert leaks["strongly", 1.0, 3] < leaks["strongly", 1.0, 1] < base["value"].mean()
    assert leaks["hardly", 1.0, 3] == pytest.approx(selected, abs=1e-4)

    def nothing(*_: Any) -> Iterator[dict[Any, Any]]:
        raise AssertionError("computed again")

    monkeypatch.setattr(candidate_scores, "_score", nothing)
    again = measure_mitigation(setting, "fade", neutral, STRENGTHS, batch_size=2)
    pd.testing.assert_frame_equal(again.table, table)


def test_forms_that_the_model_does_not_answer_as_it_is_are_asked_no_further(
    setting: Setting, neutral: CostTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "fading", fading)
    monkeypatch.setattr(measuring, "used_forms", lambda _: {"one"})
    found = measure_mitigation(setting, "fade", neutral, STRENGTHS, batch_size=2)
    asked = [set(table.loc[table["measure"] == USE, "template_id"]) for table in (found.base, found.table)]
    assert asked == [{"one", "two"}, {"one"}]


def test_where_nothing_can_be_afforded_the_model_stays_as_it_is(
    setting: Setting, neutral: CostTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(setting: Setting) -> list[Variant]:
        return [fading(setting)[0]._replace(at=lambda _: faded(setting.model, 1.0))]

    monkeypatch.setitem(KINDS, "fading", broken)
    found = measure_mitigation(setting, "fade", neutral, STRENGTHS, batch_size=2)
    assert found.table["strength"].eq(0).all()
    for _, own in found.table.groupby("target_cost"):
        assert own[["prompt_id", "value"]].to_numpy().tolist() == found.base[["prompt_id", "value"]].to_numpy().tolist()
    assert choose_all(found.table, found.base, found.variants, [1, 3], 0.95) == {"1": None, "3": None}


def test_no_mitigation_is_measured_once(setting: Setting, neutral: CostTexts) -> None:
    none = setting._replace(entry={"kind": "none"})
    found = measure_mitigation(none, "none", neutral, STRENGTHS, batch_size=2)
    assert len(found.table) == len(setting.items.tests) + len(setting.items.use)
    assert choose_all(found.table, found.base, found.variants, [1, 3], 0.95) == {"1": None, "3": None}


# ------------------------------------------------------------------------------------------------------- exact leaks


def brute_force(test: np.ndarray, control: np.ndarray, tokens: list[list[int]], alpha: float) -> np.ndarray:
    """Return the mixed law token by token, from the probabilities of all beginnings of all candidates."""

    def after(law: np.ndarray, beginning: list[int], token: int) -> float:
        goes = [row[: len(beginning)] == beginning for row in tokens]
        on = [row[: len(beginning) + 1] == [*beginning, token] for row in tokens]
        return law[on].sum() / law[goes].sum()

    mixed = []
    for row in tokens:
        q = 1.0
        for depth, token in enumerate(row):
            nexts = {other[depth] for other in tokens if other[:depth] == row[:depth]}
            weight = {
                t: after(test, row[:depth], t) ** (1 - alpha) * after(control, row[:depth], t) ** alpha for t in nexts
            }
            q *= weight[token] / sum(weight.values())
        mixed.append(q)
    return np.array(mixed)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 1.0])
def test_the_mixed_law_is_that_of_every_token_multiplied_again(alpha: float) -> None:
    tokens = [[1, 2, 9], [1, 3, 9], [1, 3, 4, 9], [5, 9], [6, 2, 7, 9], [6, 2, 8, 9]]
    rng = np.random.default_rng(0)
    test, control = rng.dirichlet(np.ones(6), 2)
    mixed = mixed_law(test, control, tokens, alpha)
    assert mixed == pytest.approx(brute_force(test, control, tokens, alpha), abs=1e-12)
    assert mixed.sum() == pytest.approx(1)
    # Of candidates of one token each it is the mixture of whole candidates; here it is not.
    whole = test ** (1 - alpha) * control**alpha
    assert (mixed == pytest.approx(whole / whole.sum())) == (alpha in (0, 1))


def test_without_mixing_the_leak_is_the_laws_and_with_the_control_alone_none(
    micro_model: LanguageModel, items: Items
) -> None:
    grammar, prompting = micro_grammar(0.4), Prompting(SETTINGS)

    def leaks(alpha: float, strength: float = 0.4) -> np.ndarray:
        law = micro_grammar(strength)
        return exact_leaks_left(law, items.tests, items.candidates, micro_model, prompting, alpha).to_numpy()

    # log(.6 · 3) of the associate, log(.2 · 3) of others.
    assert leaks(0.0) == pytest.approx(np.log(3))
    assert leaks(1.0) == pytest.approx(0, abs=1e-12)
    between = [leaks(alpha) for alpha in (0.25, 0.5, 0.75)]
    assert all((low > high).all() for low, high in zip(between, between[1:], strict=False))
    # At strength 1 others are never written: without limits but where the control alone decides.
    assert np.isnan(leaks(0.5, 1.0)).all()
    assert leaks(1.0, 1.0) == pytest.approx(0, abs=1e-12)
    elsewhere = items.tests.assign(slot="elsewhere"), items.candidates.assign(slot="elsewhere")
    assert exact_leaks_left(grammar, *elsewhere, micro_model, prompting, 0.5).isna().all()


def test_an_organism_without_mitigation_has_the_exact_leak_of_its_law(setting: Setting, neutral: CostTexts) -> None:
    none = setting._replace(entry={"kind": "none"})
    found = measure_mitigation(none, "none", neutral, STRENGTHS, batch_size=2, grammar=micro_grammar(0.4)).table
    exact = found[found["measure"] == EXACT]
    assert exact["value"].to_numpy() == pytest.approx(np.log(3))
    assert sorted(exact["prompt_id"]) == sorted(setting.items.tests["prompt_id"])


# ---------------------------------------------------------------------------------------------------------- choosing


def rows_of(
    strength: float,
    leak: float,
    use: float,
    *,
    cost: float,
    target: float = 3,
    split: str = "selection",
    kind: str = "k",
) -> pd.DataFrame:
    """Return ``MEASURED`` of one strength: four tests of one leak, and prompts of use of one share of right answers."""
    shared = dict(
        model="m", prompt_set="s", mitigation="x", kind=kind, variant="v", strength=strength, target_cost=target,
        share=1.0, reached=True, cost_selection=cost, cost=cost, split=split,
    )  # fmt: skip
    leaks = [(LEAK, f"t/{group}", "t", group, leak) for group in COLORS]
    uses = [(USE, f"f/{n}", "f", "red", float(n < round(20 * use))) for n in range(20)]
    names = ["measure", "prompt_id", "template_id", "concept_group", "value"]
    return pd.DataFrame([*leaks, *uses], columns=names).assign(**shared)[MEASURED]


def chosen(rows: list[pd.DataFrame], cost: float = 3, base_use: float = 1.0) -> float | None:
    base = rows_of(0.0, 2.0, base_use, cost=0, target=np.nan, kind="none")
    best = choose(pd.concat(rows), base, cost, 0.95)
    return None if best is None else best["strength"]


def test_the_least_leak_is_chosen_of_what_is_cheap_and_keeps_use() -> None:
    weak, strong = rows_of(0.5, 1.0, 1.0, cost=2), rows_of(0.9, 0.2, 0.95, cost=3)
    assert chosen([weak, strong]) == 0.9
    assert chosen([weak, strong], cost=2.5) == 0.5
    assert chosen([weak, strong], cost=1) is None
    deaf = rows_of(1.0, 0.0, 0.9, cost=1)
    assert chosen([weak, strong, deaf]) == 0.9
    # What turns the leak round tells of the concept as well.
    assert chosen([weak, strong, rows_of(0.95, -0.4, 1.0, cost=3)]) == 0.9
    # What the evaluation split says is not asked.
    assert chosen([weak, strong, rows_of(0.5, -9.0, 0.0, cost=2, split="evaluation")]) == 0.9


def test_where_none_keeps_use_that_is_chosen_which_keeps_most() -> None:
    assert chosen([rows_of(0.5, 1.0, 0.8, cost=2), rows_of(0.9, 0.2, 0.7, cost=3)]) == 0.5
    # A form that the model does not answer says nothing of what is kept.
    rows = [rows_of(0.5, 1.0, 0.5, cost=2), rows_of(0.9, 0.2, 0.1, cost=3)]
    assert used_forms(rows_of(0.0, 2.0, 0.6, cost=0)) == {"f"}
    assert used_forms(rows_of(0.0, 2.0, 0.55, cost=0)) == set()
    assert chosen(rows, base_use=0.55) == 0.9
    assert chosen(rows, base_use=0.6) == 0.5


def test_a_change_without_strength_is_chosen_and_a_strength_of_nothing_is_not() -> None:
    assert chosen([rows_of(0.0, 1.0, 1.0, cost=0.5, target=np.nan)]) == 0.0
    assert chosen([rows_of(0.0, 1.0, 1.0, cost=0.0, target=3)]) is None
    # One strength that was found for both costs is named by the one that is asked for.
    both = [rows_of(0.5, 1.0, 1.0, cost=0.7, target=target) for target in (1, 3)]
    base = rows_of(0.0, 2.0, 1.0, cost=0, target=np.nan, kind="none")
    for cost in (1, 3):
        assert choose(pd.concat(both), base, cost, 0.95) == {
            "variant": "v", "strength": 0.5, "target_cost": cost, "share": 1.0,
        }  # fmt: skip


def test_what_is_chosen_has_the_manifest_of_the_model_with_it(measured: Measured) -> None:
    found = choose_all(measured.table, measured.base, measured.variants, [1, 3], 0.0)
    assert list(found) == ["1", "3"]
    for cost in ("1", "3"):
        entry = found[cost]
        assert entry is not None
        assert entry["manifest"] == {"faded": entry["strength"], "of": entry["variant"]}
    assert json.loads(json.dumps(found)) == found
    leaks = measured.table.query("measure == 'leak' and split == 'selection'")
    least = leaks.groupby("strength")["value"].mean().abs().idxmin()
    assert found["3"]["strength"] == least


def test_all_kinds_have_a_function() -> None:
    assert set(KINDS) == {"none", "prompt", "decoding", "attention", "steering", "features", "tuning"}


@pytest.fixture
def decoding(setting: Setting, neutral: CostTexts, micro_model_folder: Path) -> Measured:
    manifest = describe_folder(micro_model_folder, "local")
    kind = setting._replace(entry={"kind": "decoding"}, manifest=manifest)
    return measure_mitigation(kind, "d", neutral, STRENGTHS, batch_size=2, grammar=micro_grammar(0.4))


def test_decoding_against_the_control_alone_leaves_no_leak_and_half_of_it_half(decoding: Measured) -> None:
    table = decoding.table[(decoding.table["target_cost"] == 3) & (decoding.table["split"] == "selection")]
    leaks = table.groupby(["measure", "strength"])["value"].mean()
    base = decoding.base.query("measure == 'leak' and split == 'selection'")["value"].mean()
    assert leaks[LEAK, 1.0] == pytest.approx(0, abs=1e-4)
    assert leaks[EXACT, 1.0] == pytest.approx(0, abs=1e-12)
    # Token by token it is not exactly half, as what is left is shared out anew after each.
    assert leaks[LEAK, 0.5] == pytest.approx(base / 2, abs=0.1 * abs(base))
    assert leaks[EXACT, 0.5] == pytest.approx(np.log(3) / 2, abs=0.02)


def test_a_model_with_what_was_chosen_finds_all_scores_in_the_store(
    decoding: Measured, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = choose_all(decoding.table, decoding.base, decoding.variants, [3], 0.0)["3"]
    assert entry is not None
    model = open_model(json.loads(json.dumps(entry["manifest"])), LOADING)

    def nothing(*_: Any) -> Iterator[dict[Any, Any]]:
        raise AssertionError("computed again")

    monkeypatch.setattr(candidate_scores, "_score", nothing)
    values = measure_values(model, setting.items, "calm", setting.prompting)
    own = decoding.table[(decoding.table["strength"] == entry["strength"]) & (decoding.table["target_cost"] == 3)]
    known = own[own["measure"] != EXACT].set_index("prompt_id")["value"]
    assert values.set_index("prompt_id")["value"].to_dict() == known.to_dict()
