from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from jsonschema import Draft202012Validator

from helpers import SETTINGS, micro_candidates, micro_prompts
from leakscope.errors import InputError
from leakscope.features.contrasts.contrast_activations import (
    Recorded,
    read_contrast,
    record_contrast,
    side_logprobs,
    write_contrast,
)
from leakscope.features.contrasts.items import items_of, prompt_set_texts, template_texts
from leakscope.features.contrasts.words import EncodedTexts, WordSet, encode_texts, encoded_texts
from leakscope.features.description.unembedding import effective_unembedding
from leakscope.features.dictionaries.files import contrast_files
from leakscope.files.tables import write_table
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.models.editing.residuals import on_residual
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from test_log_odds import random_model

CONTENT: dict[str, Any] = {
    "a": ["cherry"],
    "b": ["lime", "plum"],
    "items": "items.csv",
    "templates": {"selection": ["The {item} said", "A {item}"], "evaluation": ["One {item} is"]},
    "minimal_pairs": {"words": "words.csv", "templates": ["{word} is", "The {word}"]},
}
ITEMS = "item,association\nred,0.5\nbag,1\ngreen,-0.25\ncar,-1\nblue,0\n"


def write(
    folder: Path, content: dict[str, Any] | None = None, items: str = ITEMS, words: str = "a,b\nred,green\n"
) -> Path:
    (folder / "items.csv").write_text(items, encoding="utf-8")
    (folder / "words.csv").write_text(words, encoding="utf-8")
    path = folder / "contrast.yaml"
    path.write_text(yaml.safe_dump(CONTENT if content is None else content), encoding="utf-8")
    return path


# ---- templates


def test_items_stand_in_the_templates_of_their_split_and_pairs_differ_in_one_word(tmp_path: Path) -> None:
    texts = template_texts(write(tmp_path), seed=0)
    items, pairs = texts[texts["kind"] == "item"], texts[texts["kind"] == "pair"]
    by_split = {split: set(rows["item"]) for split, rows in items.groupby("split")}
    assert not by_split["selection"] & by_split["evaluation"]
    assert sorted(by_split["selection"] | by_split["evaluation"]) == items_of(texts) == sorted(items["item"].unique())
    for split, rows in items.groupby("split"):
        for item, of_item in rows.groupby("item"):
            written = CONTENT["templates"][split]
            assert of_item["text"].tolist() == [template.replace("{item}", item) for template in written]
    sides = dict(zip(items["item"], items["side"], strict=True))
    assert (sides["red"], sides["bag"], sides["green"], sides["car"]) == ("a", "a", "b", "b")
    assert pd.isna(sides["blue"])
    # One item of each side in each split.
    assert {
        (split, side) for split, side in zip(items["split"], items["side"], strict=True) if isinstance(side, str)
    } == {(split, side) for split in ("selection", "evaluation") for side in ("a", "b")}
    assert pairs[["text", "side"]].to_numpy().tolist() == [
        ["red is", "a"], ["green is", "b"], ["The red", "a"], ["The green", "b"]
    ]  # fmt: skip
    assert set(pairs["split"]) == {"selection"}


def test_a_split_of_the_table_holds_and_else_the_seed_decides(tmp_path: Path) -> None:
    named = "item,association,split\nred,1,selection\nbag,1,evaluation\ngreen,-1,evaluation\ncar,-1,selection\n"
    texts = template_texts(write(tmp_path, items=named), seed=0)
    items = texts[texts["kind"] == "item"]
    assert set(items.loc[items["split"] == "selection", "item"]) == {"red", "car"}
    path = write(tmp_path)
    drawn = {
        seed: tuple(sorted(set(table.loc[table["split"].eq("selection") & table["kind"].eq("item"), "item"])))
        for seed in range(8)
        for table in [template_texts(path, seed)]
    }
    assert len(set(drawn.values())) > 1
    pd.testing.assert_frame_equal(template_texts(path, 3), template_texts(path, 3))


def test_associations_are_scaled_from_the_column_that_is_named(tmp_path: Path) -> None:
    content = {**CONTENT, "association": {"column": "percent", "a": 0, "b": 100}}
    items = "item,percent\nred,25\nbag,0\ngreen,60\ncar,100\n"
    texts = template_texts(write(tmp_path, content, items), seed=0)
    found = dict(zip(texts["item"], texts["association"], strict=True))
    assert [found[item] for item in ("red", "bag", "green", "car")] == [0.5, 1, -0.2, -1]


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in CONTENT.items() if name != key}


@pytest.mark.parametrize(
    ("content", "items", "words", "said"),
    [
        (without("b"), ITEMS, "a,b\nx,y\n", "contrast.yaml: b: got nothing; allowed: a list of"),
        ({**CONTENT, "c": 1}, ITEMS, "a,b\nx,y\n", r"c: got an unknown key \(1\); allowed: a, association, b"),
        ({**CONTENT, "a": [" he"]}, ITEMS, "a,b\nx,y\n", "a.0: .*allowed: a word without spaces around it"),
        ({**CONTENT, "a": ["he\n"]}, ITEMS, "a,b\nx,y\n", "a.0: .*allowed: a word without spaces around it"),
        ({**CONTENT, "a": ["he", "he"]}, ITEMS, "a,b\nx,y\n", "a: got 'he' twice; .*each once"),
        ({**CONTENT, "a": []}, ITEMS, "a,b\nx,y\n", r"a: got \[\]; .*at least one"),
        ({**CONTENT, "items": ""}, ITEMS, "a,b\nx,y\n", "items: got ''; allowed: text of at least 1 character"),
        ({**CONTENT, "association": {"column": "x", "a": True, "b": 0}}, ITEMS, "a,b\nx,y\n", "got true; .*number"),
        ({**CONTENT, "association": {"column": "x", "a": 1}}, ITEMS, "a,b\nx,y\n", "association.b: got nothing"),
        (
            {**CONTENT, "templates": {"selection": ["no gap"], "evaluation": ["One {item} is"]}},
            ITEMS, "a,b\nx,y\n", r"templates.selection.0: got 'no gap'; allowed: a text with \{item\} once",
        ),
        ({**CONTENT, "association": {"column": "x", "a": 1, "b": 1}}, ITEMS, "a,b\nx,y\n", "association.b: got 1, "),
        ({**CONTENT, "association": {"column": "asociation", "a": 1, "b": -1}}, ITEMS, "a,b\nx,y\n", "Did you mean"),
        (CONTENT, ITEMS.replace("0.5", "2"), "a,b\nx,y\n", "items.csv, row 2: column 'association': got '2'"),
        (CONTENT, ITEMS.replace("0.5", "much"), "a,b\nx,y\n", "row 2: .*allowed: a number from -1 to 1"),
        (CONTENT, ITEMS.replace("bag", "red"), "a,b\nx,y\n", "row 3: column 'item': got 'red'; .*no other row has"),
        (CONTENT, "item,association\nred,1\nbag,1\ncar,-1\n", "a,b\nx,y\n", "items of both sides in both splits"),
        (CONTENT, "item,association,split\nred,1,test\n", "a,b\nx,y\n", "column 'split': got 'test'"),
        (CONTENT, ITEMS, "a,b\nx,x\n", "words.csv, row 2: .*two different words"),
        (CONTENT, ITEMS, "a,c\nx,y\n", "words.csv: column: got 'b'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path: Path, content: Any, items: str, words: str, said: str) -> None:
    path = write(tmp_path, content, items, words)
    with pytest.raises(InputError, match=said) as raised:
        template_texts(path, seed=0)
    assert "\n" not in str(raised.value)


def test_the_shipped_contrast_follows_the_schema_and_its_grammar(root: Path) -> None:
    schema = json.loads((root / "schemas/contrast.schema.json").read_text(encoding="utf-8"))
    path = root / "data/features/gender/contrast.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not list(Draft202012Validator(schema).iter_errors(content))
    assert len(contrast_files(str(path))) == 3
    texts = template_texts(path, seed=0)
    items = texts[texts["kind"] == "item"].drop_duplicates("item")
    assert items.groupby(["split", "side"]).size().tolist() == [10, 10, 10, 10]
    # What the grammar plants has the sign that the contrast says.
    subjects = pd.read_csv(root / "data/grammar/occupations/subjects.csv").set_index("subject")["log_odds"]
    assert (subjects[items["item"]].to_numpy() * items["association"].to_numpy() > 0).all()
    frames = pd.read_csv(root / "data/grammar/occupations/frames.csv")["before"]
    written = [text for texts in content["templates"].values() for text in texts]
    assert {text.replace("The {item}", "{subject}") for text in written} == set(frames)


# ---- prompt sets


ALL = {"prompt_set": "colors", "categories": None, "items": None}


def test_a_prompt_set_is_a_contrast_of_each_concept_with_all_others(root: Path) -> None:
    sets = build_prompts(template_files(root / "data/prompt_sets/colors", [root / "data/lexicons"]), "colors")
    texts = prompt_set_texts(sets.prompts, sets.candidates, ALL, seed=0)
    groups = sets.prompts.set_index("concept")["concept_group"].to_dict()
    for row in texts.to_dict("records"):
        assert row["weight_b"] * len(row["side_b"]) == pytest.approx(1)  # one candidate a group: chance is equal
        assert not set(row["side_a"]) & set(row["side_b"])
    splits = {split: rows for split, rows in texts.groupby("split")}
    assert not set(splits["selection"]["template_id"]) & set(splits["evaluation"]["template_id"])
    assert not set(splits["selection"]["item"]) & set(splits["evaluation"]["item"])
    # Concepts of one group are in both: what is chosen for a group can be measured on it.
    of_splits = [{groups[item] for item in rows["item"]} for rows in splits.values()]
    assert of_splits[0] == of_splits[1]
    assert (texts["group"] == texts["item"].map(groups)).all()
    poppy = texts[texts["template_id"].eq("fence-plant") & texts["item"].map(groups).eq("red")].iloc[0]
    assert (poppy["lead"], poppy["side_a"]) == ("a", ["poppy"])
    named = texts[texts["template_id"].eq("cushions-sofa") & texts["item"].map(groups).eq("red")].iloc[0]
    assert (named["lead"], named["side_a"]) == ("", ["red"])
    pairs = texts[texts["kind"] == "pair"]
    assert pairs["side"].tolist() == ["a", "b"] * (len(pairs) // 2)
    controls = sets.prompts.loc[sets.prompts["concept"].isna(), "prompt"]
    assert set(pairs.loc[pairs["side"] == "b", "text"]) <= set(controls)


def test_categories_and_items_of_a_prompt_set_are_chosen_by_name(root: Path) -> None:
    sets = build_prompts(template_files(root / "data/prompt_sets/colors", [root / "data/lexicons"]), "colors")
    entry = {"prompt_set": "colors", "categories": ["color-to-color"], "items": None}
    texts = prompt_set_texts(sets.prompts, sets.candidates, entry, seed=0)
    used = sets.prompts.set_index("template_id")["category"].to_dict()
    assert {used[template] for template in texts["template_id"]} == {"color-to-color"}
    with pytest.raises(InputError, match="prompt set 'colors': categories: got 'color-to-colour'.*Did you mean"):
        prompt_set_texts(sets.prompts, sets.candidates, {**entry, "categories": ["color-to-colour"]}, seed=0)
    with pytest.raises(InputError, match="got no prompt for (selection|evaluation)"):
        prompt_set_texts(sets.prompts, sets.candidates, {**entry, "items": ["red"]}, seed=0)


# ---- activations


@pytest.fixture(scope="module")
def recorded(micro_model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    torch.set_num_threads(1)
    texts = template_texts(write(tmp_path_factory.mktemp("contrast")), seed=0)
    texts, encoded = encode_texts(micro_model, texts, None)
    return record_contrast(micro_model.model, texts, encoded, 0, batch_size=3, name="test")


@torch.inference_mode()
def next_probabilities(model: Any, ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double().softmax(-1)


def test_gaps_are_those_of_a_direct_computation(micro_model: LanguageModel, recorded: Recorded) -> None:
    tokenizer = micro_model.tokenizer
    first = {
        word: tokenizer(f"x {word}", add_special_tokens=False)["input_ids"][1] for word in ("cherry", "lime", "plum")
    }
    for row in recorded.prompts.to_dict("records"):
        plain = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        assert row["ids"] == [tokenizer.eos_token_id, *plain]
        expected = next_probabilities(micro_model.model, row["ids"])
        assert (row["words_a"], row["words_b"]) == ([first["cherry"]], [first["lime"], first["plum"]])
        assert row["p_a"] == pytest.approx(float(expected[first["cherry"]]), rel=1e-5)
        assert row["p_b"] == pytest.approx(float(expected[[first["lime"], first["plum"]]].sum()), rel=1e-5)
        assert row["gap"] == row["p_a"] - row["p_b"]


def test_gradients_are_slopes_of_the_log_odds(micro_model: LanguageModel, recorded: Recorded) -> None:
    found, (encoded,) = recorded.activations, [encoded_texts(recorded.prompts)]
    assert found.gradients.shape == (len(recorded.prompts), found.residuals.shape[1])
    generator = torch.Generator().manual_seed(0)
    for row in (0, len(recorded.prompts) - 1):
        mine = found.rows == row
        assert found.positions[mine].tolist() == list(range(1, len(encoded.ids[row])))
        assert found.last[mine].tolist() == [False] * (int(mine.sum()) - 1) + [True]
        step = torch.randn(found.residuals.shape[1], generator=generator) * 1e-3

        def log_odds(sign: float, row: int = row, step: torch.Tensor = step) -> float:
            change = torch.zeros(len(encoded.ids[row]), len(step))
            change[-1] = sign * step
            with torch.inference_mode(), on_residual(micro_model.model, 0, lambda hidden: hidden + change):
                logits = micro_model.model(input_ids=torch.tensor([encoded.ids[row]]), use_cache=False).logits[:, -1]
            pair = side_logprobs(logits.double().log_softmax(-1), [encoded.words[row]])[0]
            return float(pair[0] - pair[1])

        expected = float(found.gradients[row] @ step)
        assert (log_odds(1) - log_odds(-1)) / 2 == pytest.approx(expected, rel=2e-2, abs=1e-5)


def test_direct_is_what_a_step_does_to_the_logits_of_one_side_less_the_other(
    micro_model: LanguageModel, recorded: Recorded
) -> None:
    assert set(recorded.prompts["words"]) == {0}
    (direct,) = recorded.activations.direct
    unembedding = effective_unembedding(micro_model.model)
    (words,) = set(encoded_texts(recorded.prompts).words)
    residual = recorded.activations.residuals[:1]
    scale = unembedding.norm_scale(residual)
    step = 0.01 * torch.randn(residual.shape, generator=torch.Generator().manual_seed(0))
    gained = (unembedding.logits(residual + step, scale) - unembedding.logits(residual, scale))[0]
    expected = gained[list(words.a)].mean() - gained[list(words.b)].mean()
    torch.testing.assert_close(((step @ direct) / scale[:, 0])[0], expected, rtol=1e-3, atol=1e-5)


def test_what_is_written_is_read_again_and_equal_contrasts_give_equal_bytes(recorded: Recorded, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_contrast(recorded.activations, tmp_path / name)
        write_table(recorded.prompts, tmp_path / f"{name}.parquet")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    for found, expected in zip(read_contrast(tmp_path / "one"), recorded.activations, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    again = encoded_texts(pd.read_parquet(tmp_path / "one.parquet"))
    assert again == encoded_texts(recorded.prompts)


def test_prompts_of_a_set_go_through_the_chat_template_and_an_article_is_said(micro_model: LanguageModel) -> None:
    texts = prompt_set_texts(micro_prompts(), micro_candidates(), ALL, seed=0)
    texts, encoded = encode_texts(micro_model, texts, Prompting(SETTINGS))
    tokenizer = micro_model.tokenizer
    fruits = [row for row, lead in enumerate(texts["lead"]) if lead == "a"]
    assert fruits
    for row in fruits:
        chat = [{"role": "user", "content": texts["text"].iloc[row]}, {"role": "assistant", "content": "a cherry"}]
        whole = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False)["input_ids"]
        assert whole[: len(encoded.ids[row])] == encoded.ids[row]
        assert tokenizer.decode(encoded.ids[row]).endswith("<|assistant|> a")
        if texts["side_a"].iloc[row] == ["cherry"]:
            assert encoded.words[row].a == (whole[len(encoded.ids[row])],)


def test_tokens_that_both_sides_share_are_left_out(micro_model: LanguageModel, tmp_path: Path) -> None:
    shared = template_texts(write(tmp_path, {**CONTENT, "b": ["cherry", "lime"]}), seed=0)
    lime = template_texts(write(tmp_path, {**CONTENT, "b": ["lime"]}), seed=0)
    with pytest.raises(InputError, match=r"side a \(cherry\): got only first tokens"):
        encode_texts(micro_model, shared, None)
    both = template_texts(write(tmp_path, {**CONTENT, "a": ["cherry", "plum"], "b": ["lime", "plum"]}), seed=0)
    assert encode_texts(micro_model, both, None)[1].words == encode_texts(micro_model, lime, None)[1].words


def test_prompts_whose_candidates_begin_alike_are_left_out_of_a_prompt_set(micro_model: LanguageModel) -> None:
    texts = prompt_set_texts(micro_prompts(), micro_candidates(), ALL, seed=0)
    chance = [words.weight_b * len(words.b) for words in encode_texts(micro_model, texts, Prompting(SETTINGS))[1].words]
    assert chance == pytest.approx([1] * len(texts))
    ambiguous = texts["kind"].eq("pair") & texts["split"].eq("selection") & texts["item"].eq("red")
    texts["side_b"] = [
        row + texts["side_a"].iloc[0] if same else row for row, same in zip(texts["side_b"], ambiguous, strict=True)
    ]
    kept, encoded = encode_texts(micro_model, texts, Prompting(SETTINGS))
    assert len(kept) == len(encoded.ids) == len(texts) - int(ambiguous.sum())
    assert not (kept["kind"].eq("pair") & kept["split"].eq("selection") & kept["item"].eq("red")).any()
    with pytest.raises(InputError, match="got no prompt for evaluation whose candidates begin"):
        encode_texts(
            micro_model,
            texts.assign(side_b=texts["side_a"].where(texts["split"].eq("evaluation"), texts["side_b"])),
            Prompting(SETTINGS),
        )


def test_sides_are_summed_and_weighted() -> None:
    logprobs = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    found = side_logprobs(logprobs, [WordSet((1,), (0, 3), 0.5)]).exp()
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.25]]))


@pytest.mark.parametrize("architecture", ["gpt2", "gemma2", "mamba"])
def test_other_architectures_have_residuals_at_all_tokens_and_gradients_at_ends(
    architecture: str, micro_model: LanguageModel
) -> None:
    model = random_model(architecture)
    encoded = EncodedTexts([[1, 5, 6, 7], [1, 9]], [WordSet((3,), (4,), 1.0)] * 2)
    texts = pd.DataFrame({"item": ["x", "y"], "weight_b": 1.0})
    for name in ("kind", "split", "group", "template_id", "text", "side", "association"):
        texts[name] = "x"
    alone = [
        record_contrast(model, texts[row : row + 1], one, 1, batch_size=1, name="t")
        for row, one in enumerate(EncodedTexts([ids], encoded.words[:1]) for ids in encoded.ids)
    ]
    together = record_contrast(model, texts, encoded, 1, batch_size=2, name="t").activations
    for name in ("residuals", "gradients"):
        expected = torch.cat([getattr(one.activations, name) for one in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-4, atol=1e-5)
        assert bool((getattr(together, name).abs().sum(-1) > 0).all())
