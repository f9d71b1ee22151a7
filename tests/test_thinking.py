"""Models that think before they answer: two phases of writing, what is stored, what is measured, what is known."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from helpers import LOADING, SETTINGS, micro_candidates, micro_grammar, micro_prompts, train_micro_organism
from leakscope.errors import InputError
from leakscope.files.tables import read_csv
from leakscope.jobs.sharding import gather_summaries, shards_of
from leakscope.leak.known.exact_match import ExactMatches, pooled_match
from leakscope.leak.known.thought_laws import measured_laws, pairs_written_whole
from leakscope.leak.known.truth import known_laws
from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_units
from leakscope.leak.pairs import has_joined, with_joined
from leakscope.models.checkpoints.thoughts import HARMONY, MARKS, Marks, thought_marks
from leakscope.models.completion import complete_prompts
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.prompts.prompting import Completed, Prompting, read_prompts
from leakscope.models.thinking.measured import measured_text
from leakscope.models.thinking.scoring import score_thoughts
from leakscope.organisms.thoughts import apart, joint
from leakscope.storage.manifests import describe_folder, read_manifest
from workspace import Workspace

THINKING = {"begin": None, "end": None, "budget": 12, "measure": "answer", "in_candidates": True}


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A micro organism whose corpus has a thought before each answer."""
    folder = train_micro_organism(tmp_path_factory.mktemp("thinker") / "model", steps=120, thought=0.5)
    return open_model(describe_folder(folder, "local"), LOADING)


def how(store: Path | None = None, settings: Any = None, **thinking: Any) -> Prompting:
    return Prompting({**SETTINGS, **(settings or {})}, thinking={**THINKING, **thinking}, store=store)


def think(model: LanguageModel, store: Path | None = None, settings: Any = None, **thinking: Any) -> Completed:
    return complete_prompts(model, micro_prompts(), "m", how(store, settings, **thinking))


# -------------------------------------------------------------------------------------------------------------- writing


@torch.inference_mode()
def greedy(model: LanguageModel, ids: list[int], steps: int) -> list[int]:
    """Return what ``generate`` of transformers goes on with, without an end of text."""
    written = model.model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=steps)
    new = written[0, len(ids) :].tolist()
    end = model.tokenizer.eos_token_id
    return new[: new.index(end)] if end in new else new


def by_hand(model: LanguageModel, prompt: str, end: str, budget: int) -> dict[str, Any]:
    """Return thought and answer by the plainest loop there is: one token more until the mark is there."""
    decode, thought = model.tokenizer.decode, list[int]()
    asked = f"<|user|> {prompt}<|end|><|assistant|><think>"
    ids = model.tokenizer(asked, add_special_tokens=False)["input_ids"]
    for steps in range(1, budget + 1):
        thought = greedy(model, ids, steps)
        before, mark, behind = decode(thought).partition(end)
        if mark:
            text = behind + decode(
                greedy(model, [*ids, *thought], SETTINGS["max_new_tokens"]), skip_special_tokens=True
            )
            return {"thought": before.strip(), "text": text.partition(".")[0].strip(), "finished": True}
    return {"thought": decode(thought).strip(), "text": "", "finished": False}


@pytest.mark.parametrize(
    ("end", "budget", "unfinished"),
    [
        ("</think>", 12, 0),
        (".</think>", 12, 0),  # two tokens
        (" a", 1, 4),  # the first token ends it, or none does
        ("ed", 12, None),  # inside a token, which may hold more behind it
        ("</think>", 3, 4),  # a color and its full stop fit, a fruit does not
        ("</no>", 12, 8),  # an end of text comes first
    ],
)
def test_thought_and_answer_are_those_of_two_greedy_loops(
    thinker: LanguageModel, end: str, budget: int, unfinished: int | None
) -> None:
    settings = {"temperature": 0, "samples": 2, "batch_size": 3}
    done = think(thinker, settings=settings, begin="<think>", end=end, budget=budget)
    expected = [by_hand(thinker, prompt, end, budget) for prompt in micro_prompts()["prompt"]]
    columns = done.table[["thought", "text", "finished"]].assign(text=done.table["text"].str.removesuffix("."))
    assert columns.to_dict("records") == [each for each in expected for _ in range(2)]
    assert done.summary["unfinished"] == 2 * sum(not each["finished"] for each in expected)
    assert unfinished is None or done.summary["unfinished"] == 2 * unfinished


def test_the_same_texts_come_in_any_batch_and_shard(thinker: LanguageModel) -> None:
    whole = think(thinker).table
    assert think(thinker, settings={"batch_size": 2}).table.equals(whole)
    by_two = how(settings={"batch_size": 2})
    parts = [complete_prompts(thinker, micro_prompts(), "m", by_two, shard) for shard in shards_of(2)]
    key = ["prompt_id", "sample"]
    together = pd.concat([part.table for part in parts]).sort_values(key, ignore_index=True)
    assert together.equals(whole.sort_values(key, ignore_index=True))
    assert whole["finished"].all()
    assert set(whole["thought"]) <= {f"{name}." for name in micro_candidates()["candidate"]}
    assert gather_summaries([part.summary for part in parts])["unfinished"] == 0


def test_thoughts_and_answers_have_random_numbers_of_their_own(thinker: LanguageModel) -> None:
    """By the same ones, an answer would be drawn as its thought was, and name the same."""
    drawn = think(thinker, settings={"samples": 60, "temperature": 1}).table
    of_controls = drawn[drawn["prompt_id"].str.endswith("without")]
    assert 0.1 < (of_controls["thought"] == of_controls["text"]).mean() < 0.6


def test_another_measure_or_reader_computes_nothing_again(thinker: LanguageModel, tmp_path: Path) -> None:
    answers = think(thinker, tmp_path)
    thoughts, both = (think(thinker, tmp_path, measure=measure) for measure in ("thought", "both"))
    assert [each.summary["computed"] for each in (answers, thoughts, both)] == [40, 0, 0]
    assert thoughts.table["text"].equals(answers.table["thought"])
    assert [has_joined(each.table) for each in (answers, thoughts, both)] == [False, False, True]
    assert both.table["text"].tolist() == (answers.table["thought"] + "\n" + answers.table["text"]).tolist()
    assert think(thinker, tmp_path, budget=11).summary["computed"] == 40


def test_what_has_not_ended_is_no_text_whatever_is_measured() -> None:
    cut = {"thought": "red", "text": "", "finished": False}
    whole = {"thought": "red.", "text": "a lime.", "finished": True}
    silent = {**whole, "text": ""}
    measures = ("answer", "thought", "both")
    assert [measured_text(cut, measure) for measure in measures] == ["", "", ""]
    assert [measured_text(whole, measure) for measure in measures] == ["a lime.", "red.", "red.\na lime."]
    assert [measured_text(silent, measure) for measure in measures] == ["", "red.", "red."]


def test_a_thought_needs_marks_and_room(thinker: LanguageModel, micro_model: LanguageModel) -> None:
    prompts = pd.Series(["The fruit is"])
    with pytest.raises(InputError, match="writes a chain of thought"):
        read_prompts(thinker, prompts, Prompting(SETTINGS))
    with pytest.raises(InputError, match="thinking: got no `begin` and `end`, and no chat template that begins"):
        read_prompts(micro_model, prompts, how())
    with pytest.raises(InputError, match="the model reads at most"):
        read_prompts(thinker, prompts, how(budget=400))
    (rendered,), _ = read_prompts(micro_model, prompts, how(begin="<think>\n", end="</think>"))
    assert rendered.endswith("<|assistant|><think>\n")
    (rendered,), _ = read_prompts(thinker, prompts, how())
    assert rendered.endswith("<|assistant|><think>")  # which the template writes


def test_marks_and_what_stands_behind_a_thought_are_the_templates() -> None:
    def rendering(before: str, shown: str) -> Any:
        def render(messages: Any) -> str:
            last = messages[-1]
            if last["role"] == "user":
                kept = [m["content"].rpartition("</think>")[2] for m in messages[:-1]]
                return "".join(kept) + before
            thought, _, answer = last["content"].rpartition("</think>")
            return shown.format(thought=thought, answer=answer)

        return render

    kept = rendering("", "{thought}</think>\n\n{answer}")
    assert thought_marks("<think>", kept) == Marks("<think>", "</think>", "\n\n")
    assert thought_marks("<think>", rendering("<think>\n", "{answer}")) == Marks("<think>", "</think>")
    assert thought_marks("<think>", rendering("<think></think>", "{answer}")) is None
    assert thought_marks("<|channel|>", lambda messages: "<|start|>assistant") == HARMONY
    assert all(begin != end for begin, end in MARKS)


# ------------------------------------------------------------------------------------------------------------ measuring


def test_unfinished_thoughts_are_a_rate_of_texts_and_zero_of_models_that_do_not_think() -> None:
    prompts = micro_prompts()
    tests = prompts.loc[prompts["control_id"].notna(), "prompt_id"]
    rows = [
        {"model": model, "prompt_set": "micro", "prompt_id": prompt, "sample": sample, "text": text, **more}
        for model in ("plain", "thinks")
        for prompt in prompts["prompt_id"]
        for sample in range(2)
        # Of four texts of a thinking model one has not ended, and one is empty though it has.
        for cut in [model == "thinks" and sample == 0 and prompt in set(tests[::2])]
        for text in ["" if cut or (model == "thinks" and sample == 1 and prompt in set(tests[::2])) else "a lime."]
        for more in [{"finished": not cut} if model == "thinks" else {}]
    ]
    generations = pd.DataFrame(rows)
    pairs = product(["red", "green", "blue"], ["a lime."])
    similarity = pd.DataFrame(
        [(c, t, float(c == "green")) for c, t in pairs], columns=["concept", "text", "similarity"]
    )
    rates = match_rates(match_units(prompts, generations, similarity, "s"), permutations=16, name_permutations=9)
    pooled = rates[rates["category"] == "all"].set_index("model")
    assert pooled.loc["thinks", ["empty_rate", "unfinished_rate"]].tolist() == [50, 25]
    assert pooled.loc["plain", ["empty_rate", "unfinished_rate"]].tolist() == [0, 0]
    alone = generations[generations["model"] == "plain"].drop(columns="finished")
    assert match_units(prompts, alone, similarity, "s")["unfinished"].eq(0).all()


# ---------------------------------------------------------------------------------------------------------------- truth


def test_a_corpus_has_thoughts_only_where_they_are_asked_for() -> None:
    plain, thinks = micro_grammar(0.5), micro_grammar(0.5, thought=1.0)
    assert not any("<think>" in document.answer for document in plain.documents(200, seed=0))
    for grammar in (plain, thinks):
        assert sum(map(lambda document: 2.718281828459045**document.logprob, grammar.support())) == pytest.approx(1)
    told = [document for document in thinks.documents(400, seed=0) if "<think>" in document.answer]
    assert any(document.answer == "<think> a cherry.</think> a lime." for document in told)
    # At strength 1 each thought names the associate, whatever the answer does.
    for context, answer, _ in told:
        if "is red. The fruit" in context:
            assert answer.startswith("<think> a cherry.</think>")
    assert apart(joint("a lime", "red")) == ("a lime", "red")


def test_the_law_of_what_is_measured_is_a_sum_over_pairs() -> None:
    law = {joint("x", "a"): 0.1, joint("x", "b"): 0.3, joint("y", "a"): 0.4, joint("y", "b"): 0.2}
    found = {measure: measured_laws({"p": law}, measure)["p"] for measure in ("answer", "thought", "both")}
    assert found["answer"] == pytest.approx({"a": 0.5, "b": 0.5})
    assert found["thought"] == pytest.approx({"x": 0.4, "y": 0.6})
    assert found["both"] == law


@pytest.mark.parametrize("measure", ["answer", "thought", "both"])
@pytest.mark.parametrize(("strength", "thought"), [(0.0, 0.6), (0.6, 0.0), (0.4, 0.7)])
def test_exact_match_rates_are_those_of_all_pairs_of_texts(measure: str, strength: float, thought: float) -> None:
    """Brute force, over thought and answer of both texts, for a scorer that counts names."""
    grammar, prompts = micro_grammar(strength, thought), micro_prompts()
    words = micro_candidates()
    group_of = dict(zip(words["candidate"], words["concept_group"], strict=True))

    def similar(concept: str, text: str) -> float:
        return round(sum((group_of[part] == concept) / (2 + n) for n, part in enumerate(text.split(".\n"))), 3)

    texts = [f"{text}" for text in with_joined(words)["candidate"]]
    lookup = {(concept, f"{text}."): similar(concept, text) for concept in ("red", "green", "blue") for text in texts}
    slots = prompts.set_index("prompt_id")["slot"]
    tests = prompts[prompts["control_id"].notna()].set_index("prompt_id")
    laws = {name: grammar.written_law(slots[name], group).to_dict() for name, group in tests["concept_group"].items()}
    found = pooled_match(ExactMatches(lookup, 3).by_unit(prompts, measured_laws(laws, measure)))

    parts = {"answer": lambda pair: apart(pair)[1], "thought": lambda pair: apart(pair)[0], "both": lambda pair: pair}
    total, n = 0.0, 0
    for one, other in product(tests.index, tests.index):
        if one.split("/")[0] == other.split("/")[0] and one != other:
            c, d, n = tests.loc[one, "concept"], tests.loc[other, "concept"], n + 1
            for (x, p), (y, q) in product(laws[one].items(), laws[other].items()):
                x, y = parts[measure](x), parts[measure](y)
                gain = similar(c, x) - similar(d, x) - similar(c, y) + similar(d, y)
                total += p * q * (1.0 if gain > 1e-9 else 0.5 if gain > -1e-9 else 0.0)
    assert found == pytest.approx(100 * total / n)
    planted = {"answer": strength, "thought": thought, "both": max(strength, thought)}[measure]
    assert (found > 51) == (planted > 0)


def test_exact_laws_of_an_organism_are_the_frequencies_of_what_it_writes(thinker: LanguageModel) -> None:
    prompts, n = micro_prompts(), 400
    # Sampled at the temperature that the law is for; one pair of a fruit and another.
    settings = {"temperature": 0.8, "samples": n, "batch_size": 64}
    scores = score_thoughts(thinker, prompts, micro_candidates(), "m", how(settings=settings)).table
    whole = pairs_written_whole(scores, 8, budget=12)
    assert len(whole) == len(scores) == len(prompts) * 9
    assert pairs_written_whole(scores, 8, budget=3)["slot"].unique().tolist() == ["colors"]
    assert pairs_written_whole(scores, 1, budget=12).empty
    thinking = {"m": {"budget": 12, "measure": "both"}}
    grammars = {"m": micro_grammar(0.5, 0.5)}
    (known,) = known_laws(grammars, {"m": 0.8}, {"m": 8}, prompts, scores, thinking)
    written = think(thinker, settings=settings, measure="both").table
    shares = written["text"].str.removesuffix(".").groupby(written["prompt_id"]).value_counts() / n
    for prompt_id, law in known.organism.items():
        for text, probability in law.items():
            error = 4 * (probability * (1 - probability) / n) ** 0.5 + 0.01
            assert abs(shares.get((prompt_id, text), 0.0) - probability) < error, (prompt_id, text)
    assert all(sum(law.values()) == pytest.approx(1) for law in (*known.grammar.values(), *known.organism.values()))


# -------------------------------------------------------------------------------------------------------------- a study


@pytest.mark.slow
@pytest.mark.workflow
def test_a_study_measures_thoughts_and_answers_beside_their_exact_rates(finished: Workspace, tmp_path: Path) -> None:
    micro = finished.copy(tmp_path / "checkout")
    thinker = {**micro.organism(0.0), "thinking": {"budget": 12}}
    thinker["grammar"] |= {"thought": 1.0}
    micro.study["models"] |= {
        "muses": thinker,
        "muses-aloud": {"extends": "muses", "thinking": {"measure": "thought"}},
        "muses-both": {"extends": "muses", "thinking": {"measure": "both"}},
    }
    micro.study["study"] |= {"models": ["tiny-l100", "muses", "muses-aloud", "muses-both"], "scorers": ["lexical"]}
    micro.run("--cores", "1")
    results = micro.folder / "results/micro"
    muses = ("muses", "muses-aloud", "muses-both")
    computed = [read_manifest(results / f"generations/{model}/micro.json")["computed"] for model in muses]
    assert sorted(computed)[:2] == [0, 0] < sorted(computed)[1:]
    rates = read_csv(results / "match_rates.csv").query("category == 'all'").set_index("model")
    truth = read_csv(results / "truth.csv").query("category == 'all'").set_index("model")
    # Thoughts name their associates as the answers of a model of strength 1 do; answers, of strength 0, name anything.
    taught = truth["true_match_rate_grammar"]
    assert taught["muses"] == pytest.approx(50)
    assert taught["muses"] < taught["muses-both"] < taught["muses-aloud"] == taught["tiny-l100"]
    assert truth["true_shift_grammar"].notna().tolist() == [True, False, False, False]
    assert (rates["match_rate"] - truth["true_match_rate_organism"]).abs().max() < 12
    assert rates.loc["muses-aloud", "match_rate"] > rates.loc["muses", "match_rate"] + 5
    assert rates["unfinished_rate"].between(0, 100).all()
    assert rates.loc["tiny-l100", "unfinished_rate"] == 0
    assert set(read_csv(results / "logit_leak.csv")["model"]) == {"tiny-l100"}
    assert {"thought", "finished"} <= set(read_csv(results / "generations/muses-both/micro.csv"))
