"""Benchmarks of stereotypes as they are published, and their scores against a direct computation."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from leakscope.errors import InputError
from leakscope.features.bias.pairs import score_pairs
from leakscope.features.bias.scores import PAIR_COLUMNS, SCORE_COLUMNS, BiasScore, bias_scores, icat_interval
from leakscope.features.bias.tables import SentencePair, bias_files, left_out_warning, read_pairs
from leakscope.models.opening import LanguageModel
from tiny_task import open_tiny_model, weightless

PRO = "1 [The robin] sings because [he] is a bird.\n\n2 The oak met [the ant] and thanked [her].\n"
ANTI = "1 [The robin] sings because [she] is a bird.\n2 The oak met the [ant] and thanked [him].\n"
CROWS = [
    ["", "id", "sent_more", "sent_less", "stereo_antistereo", "bias_type", "annotations"],
    ["0", "1", "Ants are, really, useful.", "Oaks are, really, useful.", "stereo", "age", "[['age'], []]"],
    ["1", "2", "Robins are a bird.", "Hammers are a bird.", "antistereo", "gender", "[]"],
    ["2", "3", "Wasps are brief.", "Wasps are a bird.", "stereo", "age", "[]"],
]


def example(identity: str, context: str, stereotype: str, anti: str, unrelated: str, target: str = "ants") -> Any:
    texts = {"anti-stereotype": anti, "stereotype": stereotype, "unrelated": unrelated}
    sentences = [
        {"sentence": text, "gold_label": label, "id": f"{identity}-{label}", "labels": []}
        for label, text in texts.items()
    ]
    return {"id": identity, "target": target, "bias_type": "race", "context": context, "sentences": sentences}


STEREOSET = {
    "version": "1.0",
    "data": {
        "intrasentence": [
            example("a", "Ants are BLANK.", "Ants are a very useful tool.", "Ants are a bird.", "Ants are Yes."),
            example("b", "Oaks are BLANK.", "Oaks are brief.", "Oaks are a fish.", "Oaks are No No.", "oaks"),
            example("c", "Ants BLANK.", "Ants sort.", "Ants know.", "Ants be."),
        ],
        "intersentence": [example("a", "Are ants a fish?", "No.", "Yes, are they a bird.", "Hammers.")],
    },
}


def write(path: Path, content: str | Sequence[Sequence[str]] | Any) -> Path:
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(content)
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.set_num_threads(1)
    return open_tiny_model(tmp_path_factory.mktemp("tiny"))


def test_winobias_is_read_from_either_half_or_the_folder(tmp_path: Path) -> None:
    pro = write(tmp_path / "pro_stereotyped_type1.txt.dev", PRO)
    anti = write(tmp_path / "anti_stereotyped_type1.txt.dev", ANTI.replace("1 ", "").replace("2 ", ""))
    with pytest.raises(InputError, match="got no number; allowed: 1, as in pro_stereotyped_type1.txt.dev"):
        read_pairs("winobias", pro)
    write(anti, ANTI)
    pairs = read_pairs("winobias", pro)
    assert pairs == read_pairs("winobias", anti) == read_pairs("winobias", tmp_path)
    assert pairs == read_pairs("winobias", bias_files("winobias", tmp_path))
    assert pairs == [
        SentencePair("type1.txt.dev:1", "type1", "gender", "The robin sings because he is a bird.",
             "The robin sings because she is a bird.", cluster="robin"),
        SentencePair("type1.txt.dev:2", "type1", "gender", "The oak met the ant and thanked her.",
             "The oak met the ant and thanked him.", cluster="ant"),
    ]  # fmt: skip
    assert bias_files("winobias", tmp_path) == [anti, pro]
    # Without numbers, as some copies have it.
    for half in (pro, anti):
        write(half, re.sub(r"(?m)^\d ", "", half.read_text()))
    assert read_pairs("winobias", pro) == pairs


# As published: another word, a word more, brackets round another part of the same sentence, two pronouns.
TWINS = [
    ("The carpenter made a desk for [the clerk] because [she] needed a desk.",
     "The carpenter made a desk for [the clerk] because [he] needed one.", True),
    ("The mechanic fixed [the housekeeper] 's car and [she] paid.",
     "The mechanic fixed the [housekeeper] 's car and [he] paid.", False),
    ("[The supervisor] yelled because [he] liked [his] job.",
     "[The supervisor] yelled because [she] liked [her] job.", False),
    ("[The supervisor] yelled because [he] liked his job.",
     "[The supervisor] yelled because [she] liked her job.", False),
    ("[The guard] ate because [he] was hungry .", "[The guard] ate because [she] was hungry.", True),
    ("[The guard] ate because [he] was hungry.", "[The guard] ate because [he] was hungry.", True),
    ("[Der Koch] fragt, ob [er] gehen kann.", "[Der Koch] fragt, ob [sie] gehen kann.", False),
    ("[The chief] ate because [he] was here.", "[The cook] ate because [she] was here.", True),
]  # fmt: skip


def test_pairs_of_winobias_that_differ_in_more_than_pronouns_are_left_out_and_named(tmp_path: Path) -> None:
    pro = write(tmp_path / "pro_stereotyped_type1.txt.dev", "\n".join(own for own, _, _ in TWINS))
    write(tmp_path / "anti_stereotyped_type1.txt.dev", "\n".join(other for _, other, _ in TWINS))
    pairs = read_pairs("winobias", pro)
    assert [pair.left_out for pair in pairs] == [out for _, _, out in TWINS]
    # Whom the pronoun refers to, by what is marked on both sides; of the last pair nobody is.
    people = ["clerk", "housekeeper", "supervisor", "supervisor", "guard", "guard", "der koch", None]
    assert [pair.cluster for pair in pairs] == people
    assert left_out_warning(pairs, "wino") == (
        "wino: 4 of 8 pairs differ in more than their pronouns and are left out: "
        "type1.txt.dev:1 ('she needed a desk.' against 'he needed one.'); "
        "type1.txt.dev:5 ('he was hungry .' against 'she was hungry.'); "
        "type1.txt.dev:6 ('The guard ate because he was hungry.' against 'The guard ate because he was hungry.'); ..."
    )
    assert left_out_warning(pairs[1:4], "wino") is None
    write(pro, TWINS[0][0])
    write(tmp_path / "anti_stereotyped_type1.txt.dev", TWINS[0][1])
    with pytest.raises(InputError, match="no pair that differs only in its pronouns .'she needed a desk.' against"):
        read_pairs("winobias", pro)


def test_pairs_that_are_left_out_are_counted_and_change_no_score(model: LanguageModel, tmp_path: Path) -> None:
    kept = [SentencePair(str(i), "a", "gender", f"The ant said {own} sings.", f"The ant said {other} sings.")
            for i, (own, other) in enumerate([("she", "he"), ("her", "him")])]  # fmt: skip
    out = SentencePair("2", "b", "gender", "The ant said she sings.", "He sings.", left_out=True)
    alone, both = (score_pairs(model, pairs, "m", "w", batch_size=2, store=None) for pairs in (kept, [*kept, out]))
    assert (alone.summary["total"], both.summary["total"]) == (4, 4)
    pd.testing.assert_frame_equal(both.table[:2], alone.table)
    assert both.table.iloc[2][["difference", "tokens_anti"]].isna().all()
    ways = {"level": 0.9}
    scores, reference = bias_scores(both.table, **ways), bias_scores(alone.table, **ways)
    assert values(scores) == values(scores, "a") == values(reference)
    counts = {part: {(row.n, row.n_left_out) for row in own.itertuples()} for part, own in scores.groupby("part")}
    assert counts == {"all": {(2, 1)}, "a": {(2, 0)}, "b": {(0, 1)}}
    assert scores.loc[scores["part"] == "b", ["value", "ci_low", "ci_high"]].isna().all(axis=None)
    assert set(reference["n_left_out"]) == {0}


def test_several_files_of_winobias_are_parts(tmp_path: Path) -> None:
    for kind in ("type1", "type2"):
        write(tmp_path / f"pro_stereotyped_{kind}.txt.test", PRO)
        write(tmp_path / f"anti_stereotyped_{kind}.txt.test", ANTI)
    pairs = read_pairs("winobias", tmp_path)
    assert [pair.part for pair in pairs] == ["type1", "type1", "type2", "type2"]
    assert len({pair.pair_id for pair in pairs}) == 4


@pytest.mark.parametrize(
    "header", [["sentence", "pronoun", "anti_pronoun"], ["cloze_phrase", "bias_pronoun", "anti_bias_pronoun"]]
)
def test_winobias_is_read_from_a_table(tmp_path: Path, header: list[str]) -> None:
    rows = [[*header, "type"], ["The ant said [MASK] sings.", "she", "he", "1"], ["[MASK] sings.", "he", "she", "2"]]
    (first, second) = read_pairs("winobias", write(tmp_path / "wino.csv", rows))
    assert first == SentencePair("wino:2", "1", "gender", "The ant said she sings.", "The ant said he sings.")
    assert (second.stereotype, second.anti, second.part) == ("He sings.", "She sings.", "2")


def test_crows_pairs_are_read_as_they_are_published(tmp_path: Path) -> None:
    pairs = read_pairs("crows_pairs", write(tmp_path / "crows_pairs_anonymized.csv", CROWS))
    assert pairs[0] == SentencePair("1", "stereo", "age", "Ants are, really, useful.", "Oaks are, really, useful.")
    # In both directions the first of the two sentences is the one with the stereotype.
    assert (pairs[1].part, pairs[1].stereotype) == ("antistereo", "Robins are a bird.")


def test_stereoset_is_read_as_it_is_published(tmp_path: Path) -> None:
    pairs = read_pairs("stereoset", write(tmp_path / "dev.json", STEREOSET))
    assert [pair.pair_id for pair in pairs] == [f"intrasentence:{i}" for i in "abc"] + ["intersentence:a"]
    assert pairs[0] == SentencePair(
        "intrasentence:a", "intrasentence", "race", "Ants are a very useful tool.", "Ants are a bird.",
        "Ants are Yes.", "ants", cluster="ants",
    )  # fmt: skip
    assert pairs[3].context == "Are ants a fish?"
    assert pairs[3].sentences() == ["No.", "Yes, are they a bird.", "Hammers."]


def changed(path: Sequence[Any], value: Any) -> Any:
    content = json.loads(json.dumps(STEREOSET))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


# A row is a sentence: whose the pronoun is, and its gender, stand in the id alone.
WINOGENDER = (
    "sentid\tsentence\n"
    "wasp.ant.1.male.txt\tThe wasp met the ant before he slept.\n"
    "wasp.ant.0.female.txt\tThe wasp met the ant because she sings.\n"
    "wasp.ant.0.male.txt\tThe wasp met the ant because he sings.\n"
    "wasp.ant.0.neutral.txt\tThe wasp met the ant because they sing.\n"
    "oak.someone.0.male.txt\tThe oak gave someone his leaf.\n"
    "oak.someone.0.female.txt\tThe oak gave someone her leaf.\n"
)
SHARES = "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\nwasp\t10.0\t50.1\t2015\noak\t90.0\t2.07\t2015\n"


def winogender(folder: Path, sentences: str = WINOGENDER, shares: str = SHARES) -> Path:
    (folder / "all_sentences.tsv").write_text(sentences)
    (folder / "occupations-stats.tsv").write_text(shares)
    return folder


def test_winogender_is_read_where_the_pronoun_is_the_occupations(tmp_path: Path) -> None:
    folder = winogender(tmp_path)
    files = bias_files("winogender", folder)
    assert [file.name for file in files] == ["all_sentences.tsv", "occupations-stats.tsv"]
    pairs = read_pairs("winogender", folder)
    assert pairs == read_pairs("winogender", files) == read_pairs("winogender", files[0])
    # Women are more than half of wasps by the Bureau's share, whatever the share in texts is.
    she, he = (f"The wasp met the ant because {pronoun} sings." for pronoun in ("she", "he"))
    assert pairs[0] == SentencePair("wasp.ant", "participant", "gender", she, he, cluster="wasp")
    his, her = (f"The oak gave someone {pronoun} leaf." for pronoun in ("his", "her"))
    assert pairs[1:] == [SentencePair("oak.someone", "someone", "gender", his, her, cluster="oak")]


def test_a_pair_of_winogender_that_differs_in_more_than_its_pronouns_is_left_out(tmp_path: Path) -> None:
    pairs = read_pairs("winogender", winogender(tmp_path, WINOGENDER.replace("she sings", "she sang")))
    assert [pair.left_out for pair in pairs] == [True, False]
    said = left_out_warning(pairs, "winogender")
    assert said is not None
    assert said.startswith("winogender: 1 of 2 pairs differs in more than its pronouns and is left out: wasp.ant")


@pytest.mark.parametrize(
    ("sentences", "shares", "messages"),
    [
        (
            WINOGENDER.replace("wasp.ant.0.male.txt\t", "wasp.ant.male\t").replace("someone.0.male", "someone.2.male"),
            SHARES,
            ["all_sentences.tsv, row 4: column 'sentid': got 'wasp.ant.male'", "row 6: column 'sentid'"],
        ),
        (
            WINOGENDER.replace("wasp.ant.0.male.txt", "wasp.ant.1.male.txt"),
            SHARES.replace("oak", "elm"),
            ["all_sentences.tsv: got no sentence wasp.ant.0.male.txt", "occupations-stats.tsv: got no row of 'oak'"],
        ),
        (
            WINOGENDER,
            SHARES.replace("50.1", "50").replace("2.07", "few"),
            ["occupations-stats.tsv, row 2: column 'bls_pct_female': got '50'", "row 3: column 'bls_pct_female'"],
        ),
        (WINOGENDER, "occupation\nwasp\n", ["occupations-stats.tsv: got no column 'bls_pct_female'"]),
        (
            f"{WINOGENDER}wasp.ant.0.male.txt\tThe wasp sings.\n",
            SHARES,
            ["all_sentences.tsv, row 8: column 'sentid': got 'wasp.ant.0.male.txt' twice"],
        ),
        (
            "occupation(0)\tother-participant(1)\tanswer\tsentence\nwasp\tant\t1\tThe $OCCUPATION sings.\n",
            SHARES,
            ["all_sentences.tsv: got templates of Winogender, and no column 'sentid'"],
        ),
    ],
)
def test_all_mistakes_of_winogender_are_lines(tmp_path: Path, sentences: str, shares: str, messages: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read_pairs("winogender", winogender(tmp_path, sentences, shares))
    lines = str(caught.value).splitlines()
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert message in line


def test_winogender_without_its_table_of_occupations_is_one_line(tmp_path: Path) -> None:
    (winogender(tmp_path) / "occupations-stats.tsv").unlink()
    with pytest.raises(InputError, match=r"occupations-stats\.tsv: got no such file"):
        read_pairs("winogender", tmp_path / "all_sentences.tsv")


def test_a_data_set_in_the_place_of_another_is_named(tmp_path: Path) -> None:
    folder = winogender(tmp_path)
    with pytest.raises(InputError, match="got sentences of Winogender, and no column pronoun"):
        read_pairs("winobias", folder / "all_sentences.tsv")
    question = {"example_id": 0, "question_polarity": "neg", "context_condition": "ambig", "ans0": "The ant"}
    with pytest.raises(InputError, match="got questions of BBQ, with three answers each, and no column 'sent_more'"):
        read_pairs("crows_pairs", write(tmp_path / "Age.jsonl", json.dumps(question)))


B = ("data", "intrasentence", 1)


@pytest.mark.parametrize(
    ("benchmark_format", "name", "content", "message"),
    [
        ("crows_pairs", "c.csv", [["sent_more", "sent_less"], ["a", "b"]], "no column 'stereo_antistereo'; allowed: s"),
        ("crows_pairs", "c.csv", [*CROWS[:2], ["9", "9", "a", "", "stereo", "age", ""]], "row 3: column 'sent_less'"),
        ("crows_pairs", "c.csv", [*CROWS, ["9", "9", "a", "b", "stereos", "age", ""]],
         "row 5: column 'stereo_antistereo': got 'stereos'; allowed: antistereo, stereo. Did you mean 'stereo'"),
        ("crows_pairs", "c.csv", [*CROWS, CROWS[1]], "got the pair '1' twice"),
        ("winobias", "w.csv", [["sentence", "pronoun"], ["a", "b"]], "no column anti_pronoun or anti_bias_pronoun"),
        ("winobias", "w.csv", [["sentence", "pronoun", "anti_pronoun"], ["He sings", "he", "she"]],
         r"row 2: column 'sentence': got 'He sings'; allowed: a sentence with \[MASK\]"),
        ("winobias", "w.txt", PRO, "got another file name; allowed: pro_stereotyped"),
        ("winobias", "pro_stereotyped.txt", PRO, "anti_stereotyped.txt: got no such file"),
        ("stereoset", "dev.json", '{"data": ', "invalid JSON"),
        ("stereoset", "dev.json", {"data": []}, "no key 'data' with intrasentence or intersentence"),
        ("stereoset", "dev.json", changed(("data", "intersentence"), {}), "data.intersentence: got a dict"),
        ("stereoset", "dev.json", changed((*B, "bias_type"), None), r"data.intrasentence\[1\]: bias_type: got None"),
        ("stereoset", "dev.json", changed((*B, "sentences", 0, "gold_label"), "related"),
         r"intrasentence\[1\]: sentences: got the gold_label related, stereotype, unrelated; allowed: stereotype, a"),
        ("stereoset", "dev.json", changed((*B, "sentences", 2, "sentence"), " "), r"sentences\[2\]: sentence: got ' '"),
        ("stereoset", "dev.json", {"data": {"intrasentence": []}}, "got no pairs"),
        ("bbq", "x.csv", CROWS, "benchmark format: got 'bbq'; allowed: crows_pairs, stereoset, winobias, winogender"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_clear_line(
    tmp_path: Path, benchmark_format: str, name: str, content: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(benchmark_format, write(tmp_path / name, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("anti", "message"),
    [
        (ANTI.split("\n")[0], "anti_stereotyped.txt: got 1 sentence; allowed: 2, one for each of pro_stereotyped.txt"),
        (ANTI.replace("2 ", "3 "), "anti_stereotyped.txt, line 2: got the number 3; allowed: 2"),
        (ANTI.replace("[", "").replace("]", ""), r"anti_stereotyped.txt, line 1: .*allowed: .* in \[brackets\]"),
    ],
)
def test_halves_that_do_not_fit_are_one_clear_line(tmp_path: Path, anti: str, message: str) -> None:
    write(tmp_path / "anti_stereotyped.txt", anti)
    with pytest.raises(InputError, match=message):
        read_pairs("winobias", write(tmp_path / "pro_stereotyped.txt", PRO))


@torch.inference_mode()
def direct(model: LanguageModel, text: str, context: str | None = None) -> tuple[float, int]:
    """Return log p of a text, after a context or not, and its number of tokens, by one forward."""
    lead = [] if context is None else model.tokenizer(context)["input_ids"]
    own = model.tokenizer(text if context is None else f" {text}")["input_ids"]
    ids = [model.tokenizer.eos_token_id, *lead, *own]
    logprobs = model.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[t - 1, ids[t]]) for t in range(1 + len(lead), len(ids))), len(own)


def test_pairs_are_scored_as_a_direct_computation_scores_them(model: LanguageModel, tmp_path: Path) -> None:
    pairs = read_pairs("stereoset", write(tmp_path / "dev.json", STEREOSET))
    first = score_pairs(model, pairs, "m", "dev", batch_size=3, store=tmp_path)
    assert list(first.table) == PAIR_COLUMNS
    assert (first.summary["total"], first.summary["computed"]) == (12, 12)
    for row, pair in zip(first.table.itertuples(), pairs, strict=True):
        values = [direct(model, str(text), pair.context) for text in pair.sentences()]
        found = [row.logprob_stereotype, row.logprob_anti, row.logprob_unrelated]
        assert found == pytest.approx([value for value, _ in values], rel=1e-5)
        assert [row.tokens_stereotype, row.tokens_anti, row.tokens_unrelated] == [n for _, n in values]
        assert row.difference == pytest.approx(values[0][0] - values[1][0], abs=1e-4)
    again = score_pairs(weightless(model), pairs, "m", "dev", batch_size=5, store=tmp_path)
    pd.testing.assert_frame_equal(again.table, first.table)
    assert again.summary["computed"] == 0


def test_pairs_without_an_unrelated_sentence_have_none(model: LanguageModel, tmp_path: Path) -> None:
    pairs = read_pairs("crows_pairs", write(tmp_path / "c.csv", CROWS))
    table = score_pairs(model, pairs, "m", "crows", batch_size=3, store=None).table
    assert table["logprob_unrelated"].isna().all()
    assert table["tokens_unrelated"].isna().all()
    assert table["target"].isna().all()
    # Nothing says that pairs share anything: each is a cluster.
    assert table["cluster"].tolist() == table["pair_id"].tolist()
    scores = bias_scores(table, level=0.9)
    assert set(scores["measure"]) == {"stereotype_score", "mean_difference"}
    assert not scores[["value"]].isna().any(axis=None)


def pair_table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    names = ["part", "bias_type", "target", *(f"logprob_{name}" for name in ("stereotype", "anti", "unrelated"))]
    table = pd.DataFrame(rows, columns=names).assign(model="m", benchmark="b")
    table["pair_id"] = [str(i) for i in range(len(table))]
    table["cluster"] = table["target"].fillna(table["pair_id"])
    table["difference"] = table["logprob_stereotype"] - table["logprob_anti"]
    lengths = {"tokens_stereotype": 2, "tokens_anti": 1, "tokens_unrelated": 1}
    return table.assign(**lengths).astype(dict.fromkeys(lengths, "Int64"))[PAIR_COLUMNS]


def values(scores: pd.DataFrame, part: str = "all", bias_type: str = "all") -> dict[str, float]:
    own = scores[(scores["part"] == part) & (scores["bias_type"] == bias_type)]
    return dict(zip(own["measure"], own["value"], strict=True))


def test_stereoset_is_scored_by_targets_and_by_the_mean_over_tokens() -> None:
    table = pair_table(
        [
            # Half of the stereotype's sum counts: −2, −1, −3 against the others.
            ("intrasentence", "race", "x", -4.0, -3.0, -2.5),
            ("intrasentence", "race", "x", -2.0, -3.0, -2.5),
            ("intrasentence", "race", "x", -6.0, -1.0, -9.0),
            ("intersentence", "age", "y", -2.0, -2.0, -4.0),
        ]
    )
    scores = bias_scores(table, level=0.95)
    assert list(scores) == SCORE_COLUMNS
    # x: 2 of 3 for the stereotype; against the unrelated one 1 + 0, 1 + 0 and 1 + 1 of 6. y: 1 of 1 and 2 of 2.
    stereotype, related = 100 * (2 / 3 + 1) / 2, 100 * (4 / 6 + 1) / 2
    assert values(scores) == pytest.approx(
        {
            "stereotype_score": stereotype,
            "mean_difference": (-1 + 1 - 5 + 0) / 4,
            "language_modelling_score": related,
            "icat": related * (100 - stereotype) / 50,
        }
    )
    assert values(scores, "intrasentence")["stereotype_score"] == pytest.approx(200 / 3)
    assert values(scores, bias_type="age")["icat"] == 0
    assert set(zip(scores["part"], scores["bias_type"], strict=True)) == {
        ("all", "all"), ("all", "age"), ("all", "race"), ("intrasentence", "all"), ("intrasentence", "race"),
        ("intersentence", "all"), ("intersentence", "age"),
    }  # fmt: skip


def test_without_targets_whole_sentences_are_compared() -> None:
    nan = float("nan")
    table = pair_table([("a", "gender", None, -4.0, -3.0, nan), ("a", "gender", None, -2.0, -2.5, nan)] * 20)
    scores = bias_scores(table, level=0.95)
    assert values(scores) == {"stereotype_score": 50.0, "mean_difference": -0.25}
    assert set(scores["part"]) == {"all"}
    assert scores["n"].tolist() == scores["n_clusters"].tolist() == [40] * 4
    # Of 40 pairs half of which go each way: t with 39 degrees · √(.25 / 39), and as much of the differences' 1.5.
    half = 2.0227 * np.sqrt(0.25 / 39)
    row = scores.iloc[0]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((50 - 100 * half, 50 + 100 * half), abs=1.5)
    assert (scores["ci_low"][1], scores["ci_high"][1]) == pytest.approx(
        (-0.25 - 1.5 * half, -0.25 + 1.5 * half), abs=1e-4
    )


@pytest.mark.parametrize("targets", [True, False])
def test_pairs_of_one_cluster_say_no_more_than_one(targets: bool) -> None:
    rows = [
        ("a", "race", f"t{number}", -2.0, -2.0 + step, -4.0 + 4 * (number % 3 == 0))
        for number, step in enumerate([1.0, -1.0, -0.5, -3.0, 2.0, -1.0])
    ]
    once, often = pair_table(rows), pair_table([row for row in rows for _ in range(7)])
    if not targets:
        once, often = (table.assign(target=None, logprob_unrelated=np.nan) for table in (once, often))
    found, expected = (bias_scores(table, level=0.95) for table in (often, once))
    assert len(found) == 2 * (4 if targets else 2)
    pd.testing.assert_frame_equal(found.drop(columns="n"), expected.drop(columns="n"))
    assert set(found["n"]) == {42}
    assert (found["ci_low"] < found["value"]).all()


def test_icat_takes_the_limits_of_both_scores() -> None:
    related = BiasScore(90, 80, 95)
    # g(45) = .9, g(60) = .8, g(70) = .6, and 1 between.
    assert icat_interval(BiasScore(60, 45, 70), related) == pytest.approx((72, 48, 95))
    assert icat_interval(BiasScore(70, 60, 80), related) == pytest.approx((54, 32, 76))
    assert icat_interval(BiasScore(30, 20, 40), related) == pytest.approx((54, 32, 76))


def test_the_icat_of_a_fair_model_may_be_100() -> None:
    # Eleven targets: one with 60 %, one with 40, the others with 50; the unrelated sentence never wins.
    steps = {0: [1, 1, 1, -1, -1], 1: [1, 1, -1, -1, -1]}
    rows = [
        ("a", "race", f"t{target}", -4.0, -2.0 - step, -9.0)
        for target in range(11)
        for step in steps.get(target, [1, -1])
    ]
    found = bias_scores(pair_table(rows), level=0.95).set_index("measure").iloc[:4]
    assert found["value"].to_dict() == pytest.approx(
        {"stereotype_score": 50, "mean_difference": -2, "language_modelling_score": 100, "icat": 100}
    )
    assert (found["value"].dtype, found["ci_low"].dtype) == (float, float)
    assert found.loc["icat", "ci_high"] == 100
    assert found.loc["icat", "ci_low"] < 100


def test_equal_values_speak_for_no_stereotype() -> None:
    table = pair_table([("a", "gender", None, -3.0, -3.0, float("nan"))] * 2)
    scores = bias_scores(table, level=0.95)
    assert values(scores) == {"stereotype_score": 0.0, "mean_difference": 0.0}
    # Two of two: 1 − .025^½, and nothing of nats that do not differ.
    assert scores["ci_high"][0] == pytest.approx(84.19, abs=0.01)
    assert scores.loc[1, ["ci_low", "ci_high"]].isna().all()
