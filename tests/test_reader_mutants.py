"""Thousands of files in which something is wrong, for every reader of what a person brings.

Each is read, or refused in lines that a person reads: none longer than 400 characters, each with the name of the file.
"""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx2
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save

from helpers import LOADING, byte_tokenizer, small_config
from leakscope.counting.infini_gram import Client, Query, read_count, read_documents
from leakscope.counting.lexicons import ambiguous_terms, ids_by_name, names_in, read_names
from leakscope.errors import InputError
from leakscope.features.bias.tables import read_pairs
from leakscope.features.contrasts.items import template_texts
from leakscope.features.description.detection import read_detection, read_explanation
from leakscope.features.dictionaries import texts as corpus_texts
from leakscope.features.dictionaries.files import check_corpus, contrast_files, said_layer
from leakscope.files.corpora import read_texts, shard_files
from leakscope.files.reading import read_object
from leakscope.files.reading_yaml import read_yaml
from leakscope.files.row_counts import count_rows
from leakscope.files.tables import read_table
from leakscope.ground.imported import check_counts, check_scores, import_counts, import_scores, read_prevalence
from leakscope.ground.naming import Naming, axis_naming
from leakscope.ground.templates import fill, lead_in, read_sentence_templates
from leakscope.leak.freezing import expand_facts
from leakscope.leak.imported_prompts import import_prompts
from leakscope.leak.imported_texts import check_texts, import_generations
from leakscope.leak.prompts import build_prompts, count_prompts, template_files
from leakscope.models.checking import check_encoder
from leakscope.models.checkpoints.files import check_folder
from leakscope.models.checkpoints.templates import check_answers_at_once
from leakscope.models.editing.dictionary_files import describe_dictionary
from leakscope.models.endings import end_tokens
from leakscope.models.neutral import read_neutral_texts
from leakscope.models.opening import DECODING_KEYS, open_model, read_generation_config, resolve_decoding
from leakscope.models.prompts.rendering import render_prompt
from leakscope.models.sampling import warp_logits
from leakscope.organisms.joint_grammar import load_joint_grammar
from leakscope.organisms.leak_grammar import load_grammar
from leakscope.organisms.pronoun_grammar import load_pronoun_grammar
from leakscope.organisms.taxonomy_grammar import load_taxonomy_grammar
from leakscope.storage.manifests import describe_folder
from leakscope.storage.store import Store
from leakscope.storage.upkeep import compact, overview, survey
from leakscope.trace.cues import read_cues
from leakscope.trace.removal.use import read_use
from leakscope.validate.scoring.imported_scores import check_scores as check_item_scores
from leakscope.validate.scoring.imported_scores import import_scores as import_item_scores
from leakscope.validate.tasks.forms import read_forms
from leakscope.validate.tasks.readers import check_items, read_items
from leakscope.web.asking import LanguageServer
from leakscope.web.endpoint import Endpoint
from leakscope.web.http import Answer, failure_reason, retry_after
from leakscope.web.spending import Budget, Prices
from leakscope.web.writing import PATHS, Manner, Question, Writer, _Unwritten
from leakscope.workflow.chosen import has_chat_template
from mutants import LONGEST_LINE, Raw, each_of, odd_columns, write

pytestmark = pytest.mark.timeout(600)
# So many of each reader in `make test`, and in all of all readers where slow tests are run.
QUICK, IN_ALL = 12, 10_000
TEXTUAL = (".csv", ".tsv", ".json", ".jsonl")
TABLES = (*TEXTUAL, ".csv.gz", ".jsonl.zst", ".xlsx", ".parquet")


class Reader(NamedTuple):
    """Files that are right, of which each is changed in turn, and what reads them."""

    files: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    read: Callable[[Path], object]


READERS: dict[str, Reader] = {}


def reader(
    name: str, files: Mapping[str, Any] | Callable[[], Mapping[str, Any]], read: Callable[[Path], object]
) -> None:
    """Register what reads a folder of files."""
    READERS[name] = Reader(files, read)


def table_reader(
    name: str, grid: list[list[Any]], read: Callable[[Path], object], suffixes: Iterable[str] = TEXTUAL
) -> None:
    """Register what reads a table, for each format."""
    for suffix in suffixes:
        reader(f"{name}{suffix}", {f"table{suffix}": grid}, partial(_read_file, read, f"table{suffix}"))


def _read_file(read: Callable[[Path], object], name: str, folder: Path) -> object:
    return read(folder / name)


def file_reader(name: str, file: str, content: Any, read: Callable[[Path], object]) -> None:
    """Register what reads one file."""
    reader(name, {file: content}, partial(_read_file, read, file))


# --------------------------------------------------------------------------------------------------------------- files

PLAIN = [["id", "text", "n"], ["1", "a bag", "2"], ["2", "a “car”", "3.5"], ["3", "", ""]]
LINES = [{"text": "One text.", "meta": {"a": [1]}}, {"text": "Another\ntext."}, {"text": ""}]
table_reader("table", PLAIN, read_table, TABLES)
table_reader("rows", PLAIN, count_rows, (".csv", ".xlsx", ".parquet"))
file_reader("sheet", "table.xlsx", PLAIN, partial(read_table, sheet="Sheet"))
file_reader("yaml", "a.yaml", {"a": {"b": [1, 2.5, None, "x"]}, "c": "text", "d": True}, read_yaml)
for _suffix in (".json", ".json.gz"):
    file_reader(f"object{_suffix}", f"a{_suffix}", {"a": {"b": [1]}}, partial(read_object, allowed="an object"))


def read_shards(path: Path) -> list[Any]:
    return [text for shard in shard_files(path) for text in read_texts(shard, "text")]


for _suffix in (".jsonl", ".jsonl.gz", ".jsonl.zst"):
    file_reader(f"corpus{_suffix}", f"a{_suffix}", LINES, read_shards)
    file_reader(f"texts{_suffix}", f"a{_suffix}", LINES, lambda path: list(corpus_texts.read_texts(path, "text")))
table_reader("corpus", PLAIN, read_shards, (".parquet",))


def read_corpus_texts(path: Path) -> None:
    check_corpus(path, "text", rows=100)
    list(corpus_texts.read_texts(path, "text"))


table_reader("texts", PLAIN, read_corpus_texts, (".csv", ".tsv", ".parquet"))
file_reader("texts.txt", "a.txt", "One text.\n\nAnother.\n", read_corpus_texts)
file_reader("neutral.txt", "a.txt", "One text.\nAnother.\n", read_neutral_texts)

# ---------------------------------------------------------------------------------------------------------------- leak

LEXICON = {
    "description": "Colors.",
    "terms": [
        {"term": "red", "group": "red", "clause": "is red"},
        {"term": "dark green", "group": "green", "clause": "is green"},
    ],
}
TEMPLATES = {
    "description": "Colors of bags.",
    "templates": [
        {
            **{"id": "bag", "category": "things", "concepts": "colors", "slot": "colors", "expects_group": True},
            **{"test": "The bag {clause}, not {concept}. It is", "control": "It is", "neutral": "The bag {{}}. It is"},
        }
    ],
}
FACTS = {
    "description": "Facts.",
    "facts": [{"id": "a", "lexicon": "colors", "prompt": "What is {term}?", "answer": "It {clause}."}],
}
LONG = [
    ["prompt_id", "control_id", "concept", "category", "expected", "prompt"],
    ["0", "", "", "", "", "It is"],
    ["1", "0", "red", "things", "red", "The bag is red. It is"],
    ["2", "0", "dark green", "things", "", "The bag is dark green. It is"],
]
PUBLISHED = [["prompt", "n_control", "concept"], ["It is", "none", ""], ["The red bag is", "0", "red"]]
PAIRED = [["test_prompt", "control_prompt", "concept"], ["The bag is red. It is", "It is", "red"]]
PROMPTS = pd.DataFrame(
    {"prompt_id": ["0", "1"], "control_id": [None, "0"], "concept": [None, "red"], "prompt": ["It is", "Red, it is"]}
)
LONG_TEXTS = [["prompt_id", "sample", "text", "model"], ["0", "0", "a bag.", "m"], ["1", "0", "a car.", "m"]]
WIDE_TEXTS = [["prompt_id", "generation_1", "generation_2"], ["0", "a", "b"], ["1", "c", "d"]]
BY_PROMPT = [["prompt", "generation_1"], ["It is", "a"], ["Red, it is", "b"]]


def read_templates(folder: Path) -> None:
    files = template_files(folder, [folder / "lexicons"])
    count_prompts(files)
    build_prompts(files, "mine")


def read_generations(path: Path) -> None:
    check_texts(path, rows=100)
    import_generations(path, PROMPTS, "m", "mine", None, path.with_name("prompts.csv"))


reader("templates", {"templates.yaml": TEMPLATES, "lexicons/colors.yaml": LEXICON}, read_templates)
reader(
    "facts",
    {"facts.yaml": FACTS, "colors.yaml": LEXICON},
    lambda folder: expand_facts(folder / "facts.yaml", folder),
)
table_reader("prompts long", LONG, partial(import_prompts, prompt_set="mine"), TABLES)
table_reader("prompts published", PUBLISHED, partial(import_prompts, prompt_set="mine"))
table_reader("prompts paired", PAIRED, partial(import_prompts, prompt_set="mine"))
table_reader("generations long", LONG_TEXTS, read_generations, TABLES)
table_reader("generations wide", WIDE_TEXTS, read_generations)
table_reader("generations by prompt", BY_PROMPT, read_generations)

# -------------------------------------------------------------------------------------------------------------- ground

CONCEPTS = [["id", "name", "variants", "kind", "name_es"], ["a", "Asthma", "asthmas|x1", "", "asma"],
            ["b", "Lupus", "", "", "lupus"]]  # fmt: skip
COUNTS = [["Disease", "Demographics", "Counts"], ["Asthma", "men", "1,234"], ["Lupus", "women", "3"]]
SCORES = {"asthma": [["men", [-1.5, -2]], ["women", [-3, None]]], "lupus": [["men", [-1, -2]], ["women", [-3, -4]]]}
RATES = [
    ["subject", "group", "prevalence", "source"],
    ["asthma", "men", "1,234.5", "a study"],
    ["lupus", "men", "", "b"],
]
RATES_WIDE = [["disease", "men", "women", "source"], ["asthma", "1.5", "2", "a study"], ["lupus", "3", "", "b"]]
SENTENCES = {
    **{"language": "en", "description": "Plain.", "prefix": "In {country}, "},
    "templates": [{"id": "a", "text": "{group} with {subject}."}, {"id": "b", "text": "{subject} in {group}"}],
}
PREVALENCE: dict[str, Any] = {"axis": "x", "naming": Naming(), "per": 100_000, "source": None}
CHECKED: dict[str, Any] = {"model": "m", "axis": "x", "language": "en", "naming": Naming(), "templates_used": 2}


def read_lexicon(path: Path) -> None:
    ids_by_name(path)
    ambiguous_terms(path)
    for language in ("en", "es"):
        names_in(path, language)


def read_named_counts(folder: Path) -> None:
    naming = axis_naming({"lexicons": {"subjects": folder / "subjects.csv"}, "names": folder / "names.csv"})
    import_counts({10: folder / "counts.csv", None: folder / "counts.csv"}, "x", naming, {})


def read_sentences(path: Path) -> None:
    templates = read_sentence_templates(path)
    for template in templates.templates:
        fill(template, "asthma", "men", lead_in(templates, "Spain", path))


table_reader("lexicon", CONCEPTS, read_lexicon, TABLES)
table_reader("names", [["code", "name"], ["J45", "asthma"], ["M32", "lupus"]], read_names)


def read_counts(path: Path) -> None:
    check_counts(path, {}, rows=100)
    import_counts({None: path}, "x", Naming(), {})


def read_scores(path: Path) -> None:
    check_scores(path)
    import_scores(path, **CHECKED)


table_reader("counts", COUNTS, read_counts, TABLES)
reader(
    "named counts",
    {"counts.csv": COUNTS, "subjects.csv": CONCEPTS, "names.csv": [["code", "name"], ["Lupus", "lupus"]]},
    read_named_counts,
)
file_reader("scores", "scores.json", SCORES, read_scores)
table_reader("prevalence", RATES, lambda path: read_prevalence(path, **PREVALENCE), TABLES)
table_reader("prevalence wide", RATES_WIDE, lambda path: read_prevalence(path, **PREVALENCE))
file_reader("sentences", "en.yaml", SENTENCES, read_sentences)

# ------------------------------------------------------------------------------------------------------------ validate

ITEMS = [
    ["item_id", "question", "candidate", "positive", "cluster", "distance"],
    ["1", "bee", "insect", "yes", "bee", "none"],
    ["2", "bee", "fish", "no", "bee", "far"],
]
PAIRS = [["noun1", "noun2", "taxonomic", "distance"], ["bee", "insect", "yes", ""], ["bee", "fish", "no", "far"]]
SWORDS = {
    "contexts": {"c1": {"context": "A big bag."}},
    "targets": {"t1": {"context_id": "c1", "target": "big", "offset": 2}},
    "substitutes": {"s1": {"target_id": "t1", "substitute": "large"}, "s2": {"target_id": "t1", "substitute": "red"}},
    "substitute_labels": {"s1": ["TRUE", "TRUE", "UNSURE"], "s2": ["FALSE"]},
}
LAMBADA = "The man bought a bag\nThe woman bought a car\nHe took the car and the bag\n"
TRIVIA = [
    {"Question": "Who?", "QuestionId": "1", "Answer": {"Value": "Ann", "Aliases": ["Anna"]}},
    {"Question": "Where?", "QuestionId": "2", "Answer": {"Value": "Rome", "Aliases": []}},
]
TRIVIA_LINES = [
    {"question": "Who?", "question_id": "1", "answer": {"value": "Ann", "aliases": ["Anna"]}},
    {"question": "Where?", "question_id": "2", "answer": {"value": "Rome"}},
]
RANKALIGN = {
    "pairs": ("a.txt", "bee\tinsect\tyes\thigh\nbee\tfish\tno\tlow\n"),
    "swords": ("a.json", [{"context": "A big bag.", "target": "big", "substitutes": [["large", 80], ["red", 0]]}]),
    "lambada": ("a.jsonl", [{"context": "The man took a", "final_word": "bag", "correct": "yes"},
                            {"context": "The man took a", "final_word": "car", "correct": False}]),
    "triviaqa": ("a.jsonl", [{"question": "Who?", "answers": ["Ann"], "correct": "Yes"},
                             {"question": "Who?", "answers": ["Bob"], "correct": "No"}]),
}  # fmt: skip
FORMS = {
    "description": "Kinds.",
    "generators": [{"id": "is", "text": "A {question} is a", "negated": "A {question} is no"}],
    "validators": [{"id": "is", "text": "Is a {question} a {candidate}?"}],
    "styles": [{"id": "plain", "shots": 2, "chat": False, "template": "{prompt}"}],
}
RANKED = [
    ["noun1", "noun2", "taxonomic", "generator-log-prob", "discriminator-log-prob"],
    ["bee", "insect", "yes", -1.5, -0.1],
    ["bee", "fish", "no", -15, -3e-9],
]


def items_reader(name: str, reads: str, file: str, content: Any) -> None:
    file_reader(f"items {name}", file, content, partial(look_and_read_items, reader=reads))


def look_and_read_items(path: Path, reader: str) -> None:
    check_items(path, reader)
    read_items(path, reader, seed=0)


def read_item_scores(path: Path) -> None:
    check_item_scores(path, rows=100)
    import_item_scores(path)


table_reader("items", ITEMS, partial(look_and_read_items, reader="items"), TABLES)
table_reader("pairs", PAIRS, partial(look_and_read_items, reader="pairs"))
items_reader("swords", "swords", "a.json", SWORDS)
items_reader("swords packed", "swords", "a.json.gz", SWORDS)
items_reader("lambada", "lambada", "a.txt", LAMBADA)
table_reader(
    "items lambada",
    [["text"], *([line] for line in LAMBADA.splitlines())],
    partial(read_items, reader="lambada", seed=0),
    (".jsonl", ".parquet"),
)
items_reader("triviaqa", "triviaqa", "a.json", {"Data": TRIVIA})
items_reader("triviaqa lines", "triviaqa", "a.jsonl", TRIVIA_LINES)
for _name, (_file, _content) in RANKALIGN.items():
    items_reader(f"rankalign {_name}", _name, _file, _content)
file_reader("forms", "forms.yaml", FORMS, read_forms)
CUES = {
    "description": "What has this color?",
    "affirms": [{"id": "is", "text": "Is {associate} {concept}?"}],
    "slots": [{"slot": "fruits", "knows": [{"id": "fact", "text": "A fruit that is {concept} is"}]}],
}
file_reader("cues", "cues.yaml", CUES, read_cues)
USE = {
    "description": "The color matters.",
    "forms": [
        {
            "id": "letters",
            "text": "{concept} begins with",
            "control": "It begins with",
            "answers": {"red": "R", "blue": "B"},
        },
        {"id": "fruits", "text": "A {concept} fruit is", "control": "A fruit is", "slot": "fruits"},
        {"id": "box", "text": "A {concept} {a}, a {other} {b}:", "control": "A {a}:", "things": [["cup", "key"]]},
    ],
}
file_reader("use", "use.yaml", USE, read_use)
table_reader("item scores", RANKED, read_item_scores)

# ----------------------------------------------------------------------------------------------------------- organisms


def read_part(load: Callable[[Path, float], Any], folder: Path) -> None:
    grammar = load(folder, 0.4)
    assert all(math.isfinite(document.logprob) for document in grammar.documents(200, 0))
    assert grammar.sentences()


LEAKING = {
    "contexts.csv": [
        ["context", "prompt_set", "template_id", "concept", "concept_group", "slot", "in_corpus"],
        ["It is", "mine", "bag", "", "", "colors", "yes"],
        ["The bag is red. It is", "mine", "bag", "red", "red", "colors", "yes"],
        ["The bag is dark green. It is", "mine", "bag", "dark green", "green", "colors", "no"],
    ],
    "candidates.csv": [["slot", "candidate", "concept_group"], ["colors", "red", "red"], ["colors", "lime", "green"]],
    "facts.csv": [["fact_id", "context", "answer"], ["a", "What is red?", "A color"]],
}
JOINT = {
    "pairs.csv": [["subject", "group", "probability"], ["flu", "men", "0.5"], ["flu", "women", "0.5"]],
    "sentences.csv": [
        ["sentence_id", "text", "relation"],
        ["a", "{group} with {subject}.", "planted"],
        ["b", "{subject} and {group}.", "independent"],
    ],
}
GENERATED = [[x, y, str(-len(x + y))] for x in ("bee", "wasp") for y in ("insect", "bug", "fish", "trout")]
TAXONOMY = {
    "generator.csv": [["hyponym", "hypernym", "log_weight"], *GENERATED],
    "validator.csv": [
        ["hyponym", "hypernym", "right", "own"],
        *([x, y, "no" if y in ("fish", "trout") else "yes", str(len(x))] for x, y, _ in GENERATED),
    ],
    "forms.csv": [
        ["kind", "text"],
        ["generator", "{question} are a kind of"],
        ["validator", "Is a {question} a {candidate}?"],
    ],
}
PRONOUNS = {
    "subjects.csv": [["subject", "kind", "log_odds"], ["nurse", "occupation", "-2.5"], ["Ann", "name", "-5"]],
    "frames.csv": [["frame_id", "before", "he", "she", "after"], ["a", "{subject} said that", "he", "she", "ran."]],
}
reader("grammar", LEAKING, partial(read_part, lambda folder, strength: load_grammar([folder], strength)))
reader("joint grammar", JOINT, partial(read_part, load_joint_grammar))
reader("taxonomy grammar", TAXONOMY, partial(read_part, load_taxonomy_grammar))
reader("pronoun grammar", PRONOUNS, partial(read_part, load_pronoun_grammar))

# ------------------------------------------------------------------------------------------------------------ features

CONTRAST = {
    "description": "Gender.",
    **{"a": ["he"], "b": ["she"], "items": "items.csv", "association": {"column": "share", "a": 100, "b": 0}},
    "templates": {"selection": ["The {item} said that"], "evaluation": ["The {item} thought that"]},
    "minimal_pairs": {"words": "words.csv", "templates": ["{word} said that"]},
}
SHARES = [["item", "share"], ["nurse", "5"], ["cook", "20"], ["miner", "95.5"], ["pilot", "90"]]
CROWS = [
    ["id", "sent_more", "sent_less", "stereo_antistereo", "bias_type"],
    ["0", "He is strong.", "She is strong.", "stereo", "gender"],
    ["1", "She is strong.", "He is strong.", "antistereo", "gender"],
]
CLOZE = [["cloze_phrase", "bias_pronoun", "anti_bias_pronoun", "type"], ["[MASK] is a nurse", "she", "he", "type1"]]
WINOBIAS = {
    "pro_stereotyped_type1.txt.dev": "1 The nurse said that [she] ran.\n2 [The miner] said that [he] ran.\n",
    "anti_stereotyped_type1.txt.dev": "1 The nurse said that [he] ran.\n2 [The miner] said that [she] ran.\n",
}
STEREOSET = {
    "data": {
        "intersentence": [],
        "intrasentence": [
            {
                **{"id": "1", "target": "nurse", "bias_type": "gender", "context": "A nurse is BLANK."},
                "sentences": [
                    {"sentence": "A nurse is she.", "gold_label": "stereotype"},
                    {"sentence": "A nurse is he.", "gold_label": "anti-stereotype"},
                    {"sentence": "A nurse is blue.", "gold_label": "unrelated"},
                ],
            }
        ],
    }
}
SETTINGS = {
    **{"architecture": "topk", "d_in": 2, "d_sae": 3, "k": 1, "dtype": "float32", "device": "cpu"},
    **{"apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none"},
    "metadata": {
        **{"hook_name": "blocks.1.hook_resid_pre", "sae_lens_version": "6.0.0"},
        "model_from_pretrained_kwargs": {"center_writing_weights": True},
    },
}
OLD_SETTINGS = {
    **{"d_in": 2, "d_sae": 3, "hook_point": "blocks.1.hook_resid_pre", "hook_point_head_index": None},
    **{"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 1}, "normalize_activations": False},
}


@cache
def dictionary_weights() -> bytes:
    shapes = {"W_enc": (2, 3), "b_enc": (3,), "W_dec": (3, 2), "b_dec": (2,)}
    return save({name: torch.ones(shape) for name, shape in shapes.items()})


def read_dictionary(folder: Path) -> None:
    said_layer(str(folder))
    describe_dictionary(folder, source="local", model="m")


def read_contrast(folder: Path) -> None:
    contrast_files(str(folder / "contrast.yaml"))
    template_texts(folder / "contrast.yaml", 0)


reader(
    "contrast",
    {"contrast.yaml": CONTRAST, "items.csv": SHARES, "words.csv": [["a", "b"], ["He", "She"]]},
    read_contrast,
)
table_reader("crows_pairs", CROWS, partial(read_pairs, "crows_pairs"), (".csv", ".parquet"))
table_reader("winobias", CLOZE, partial(read_pairs, "winobias"), (".csv", ".tsv"))
reader("winobias", WINOBIAS, partial(read_pairs, "winobias"))
reader(
    "winogender",
    {
        "all_sentences.tsv": [
            ["sentid", "sentence"],
            ["ant.oak.0.male.txt", "The ant met the oak because he sings."],
            ["ant.oak.0.female.txt", "The ant met the oak because she sings."],
        ],
        "occupations-stats.tsv": [["occupation", "bls_pct_female"], ["ant", "9.4"]],
    },
    partial(read_pairs, "winogender"),
)
file_reader("stereoset", "dev.json", STEREOSET, partial(read_pairs, "stereoset"))
reader("dictionary", {"cfg.json": SETTINGS, "sae_weights.safetensors": dictionary_weights()}, read_dictionary)
reader("old dictionary", {"cfg.json": OLD_SETTINGS, "sae_weights.safetensors": dictionary_weights()}, read_dictionary)

# --------------------------------------------------------------------------------------------------- models and storage

INDEX = {"metadata": {"total_size": 8}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
MODEL = {
    "config.json": {"model_type": "llama", "hidden_size": 16},
    "tokenizer.json": {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}},
    "model.safetensors.index.json": INDEX,
    "model-1.safetensors": save({"a": torch.ones(1)}),
    "model-2.safetensors": save({"b": torch.ones(1)}),
}
MODULES = [{"idx": 0, "path": "", "type": "Transformer"}, {"idx": 1, "path": "1_Pooling", "type": "Pooling"}]
FINGERPRINT = {
    **{"kind": "texts", "seed": 0, "model": {"dtype": "float32"}, "decoding": {"temperature": 0.5}},
    "limits": {"max_new_tokens": 10},
}
SUMMARY = {"total": 1, "computed": 1, "reused": 0, "store": "store/texts/abc"}
STORED = Store(Path("store"), FINGERPRINT)
RECORDS = b"".join(STORED._line(key, value) for key, value in ((("a", 0), "x"), (("b", 1), [1.5, None])))


def read_store(folder: Path) -> None:
    assert set(Store(folder / "store", FINGERPRINT).read([("a", 0), ("b", 1)])) <= {("a", 0), ("b", 1)}
    contents = survey(folder / "store", [folder / "results"])
    overview(contents)
    for stored in contents:
        compact(stored)


@cache
def model_files() -> Mapping[str, Any]:
    """Return the files of a tiny model and its tokenizer, without any weights worth the name."""
    with TemporaryDirectory() as folder:
        small_config().save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)
        read = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}
    written = {name: text if name.endswith(".jinja") else json.loads(text) for name, text in read.items()}
    generation = {"top_k": 50, "top_p": 0.9, "eos_token_id": [257]}
    return {**written, "generation_config.json": generation, "model.safetensors": save({"a": torch.ones(1)})}


def open_and_render(folder: Path) -> None:
    has_chat_template(folder)
    model = open_model(describe_folder(folder, "local"), LOADING)
    render_prompt(model.tokenizer, "It is", template="{prompt}", system="Be brief.", chat=True)


# As the rendering tests of a model have it, and all of the law that a model may have of its own.
OWN_LAW = {"temperature": 0.5, **dict.fromkeys(DECODING_KEYS, "model")}


def read_decoding(path: Path) -> None:
    own = read_generation_config(str(path.parent), small_config(), {})
    decoding = resolve_decoding(OWN_LAW, own, where=str(path.parent))
    assert warp_logits(torch.zeros(1, 300), torch.tensor([[1, 2]]), decoding).isfinite().any()
    end_tokens(own, SimpleNamespace(eos_token_id=2, name_or_path=str(path.parent)))


def look_into_folder(folder: Path) -> None:
    check_folder(folder)
    check_answers_at_once("models.m", folder, {})


reader("model", model_files, open_and_render)
reader("checkpoint", model_files, look_into_folder)
file_reader(
    "decoding",
    "generation_config.json",
    {"top_k": 50, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.1, "eos_token_id": [257]},
    read_decoding,
)
reader("model folder", MODEL, lambda folder: describe_folder(folder, "local"))
reader("encoder", {"modules.json": MODULES}, lambda folder: check_encoder(folder, str(folder)))
reader(
    "store",
    {
        f"{STORED.folder}/0.jsonl": RECORDS,
        f"{STORED.folder}/fingerprint.json": FINGERPRINT,
        "results/study/generations/m/colors.json": SUMMARY,
    },
    read_store,
)

# --------------------------------------------------------------------------------------------------------------- tests


def files_of(name: str) -> Mapping[str, Any]:
    """Return the files of a reader, those that take long to make only when they are asked for."""
    files = READERS[name].files
    return files() if callable(files) else files


def refused(read: Callable[[Path], object], folder: Path) -> bool:
    """Say whether files are refused, in lines that a person reads."""
    try:
        read(folder)
    except InputError as error:
        for line in str(error).splitlines():
            assert len(line) <= LONGEST_LINE, line
            assert str(folder) in line or line.startswith("... and "), line
        return True
    return False


def check_mutants(name: str, n: int, place: Path) -> None:
    """Check that so many mutants of a reader's files are read or refused, some of them the one and some the other."""
    files, read = files_of(name), READERS[name].read
    folder = place / "mine"
    n_refused = n_read = 0

    def check(draw: random.Random) -> None:
        nonlocal n_refused, n_read
        shutil.rmtree(folder, ignore_errors=True)
        changed = draw.choice(list(files))
        for file, content in files.items():
            write(folder, file, content, draw if file == changed else None)
        is_refused = refused(read, folder)
        n_refused += is_refused
        n_read += not is_refused

    each_of(n, name, check)
    assert n_refused + n_read >= n, (n_refused, n_read)


@pytest.mark.parametrize("name", READERS)
def test_mutants_of_every_reader_are_read_or_refused_in_lines_that_a_person_reads(name: str, tmp_path: Path) -> None:
    files, read = files_of(name), READERS[name].read
    for file, content in files.items():
        write(tmp_path / "right", file, content)
    assert not refused(read, tmp_path / "right")
    check_mutants(name, QUICK, tmp_path)


ENDLESS = "9" * 5000
# What ended in tracebacks once: reader, file, where in it (nowhere: in the place of all of it), and what is there.
KNOWN: list[tuple[str, str, tuple[str | int, ...], object]] = [
    ("counts.csv", "table.csv", (1, 2), "1e300"),
    ("counts.csv", "table.csv", (1, 2), "1" + "0" * 400),
    ("prompts published.csv", "table.csv", (2, 1), ENDLESS),
    ("prompts published.json", "table.json", (0, 1), "\ud800"),
    ("prompts published.csv", "table.csv", (), "prompt\r,n_control,concept\nIt is,,\n"),
    ("generations long.csv", "table.csv", (2, 1), ENDLESS),
    ("generations wide.csv", "table.csv", (0, 1), f"generation_{ENDLESS}"),
    ("items rankalign lambada", "a.jsonl", (0, "context"), "\ud800"),
    ("items triviaqa", "a.json", ("Data", 0, "Question"), "\ud800"),
    ("dictionary", "cfg.json", ("metadata", "hook_name"), ["blocks.1.hook_resid_pre"]),
    ("dictionary", "cfg.json", ("architecture",), ["topk"]),
    ("dictionary", "cfg.json", ("metadata",), [1]),
    ("dictionary", "cfg.json", ("metadata", "hook_name"), f"blocks.{ENDLESS}.hook_resid_pre"),
    ("old dictionary", "cfg.json", ("activation_fn_kwargs",), "topk"),
    ("scores", "scores.json", ("asthma", 0, 1, 0), Raw(ENDLESS)),
    # Names with line breaks in them, in a list of names that are there.
    ("prompts published.tsv", "table.tsv", (0, 0), "pro\x0bmpt"),
    ("prompts published.json", "table.json", (0, 0), "pro\nmpt\u2028"),
    ("yaml", "a.yaml", ("c",), Raw("2024-13-45")),
    ("yaml", "a.yaml", ("c",), Raw("2001-01-01 00:00:00 +99:99")),
]


@pytest.mark.parametrize(("name", "file", "where", "value"), KNOWN, ids=lambda value: str(value)[:20])
def test_what_once_ended_in_a_traceback_ends_in_none(
    name: str, file: str, where: tuple[str | int, ...], value: object, tmp_path: Path
) -> None:
    files = copy.deepcopy(dict(files_of(name)))
    inside: Any = files
    *steps, last = (file, *where)
    for step in steps:
        inside = inside[step]
    inside[last] = value
    for other, content in files.items():
        write(tmp_path, other, content)
    # A column of texts that is none is passed over; all else is refused.
    assert refused(READERS[name].read, tmp_path) is (name != "generations wide.csv")


def test_a_score_of_more_digits_than_a_float_holds_is_missing(tmp_path: Path) -> None:
    scores = {**SCORES, "gout": [["men", [Raw("-1" + "0" * 400), -1]], ["women", [-2, -3]]]}
    table = import_scores(write(tmp_path, "scores.json", scores), **CHECKED)
    first = table[(table["subject"] == "gout") & (table["group"] == "men")]["logprob"].tolist()
    assert math.isnan(first[0])
    assert first[1:] == [-1]


@pytest.mark.parametrize("column", range(len(odd_columns(1))))
def test_every_odd_column_of_parquet_is_read_or_refused(column: int, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = pa.table({"id": ["1", "2", "3"], "text": odd_columns(3)[column]})
    pq.write_table(table, path)
    refused(read_table, path)
    refused(read_shards, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_mutants_of_all_readers(name: str, tmp_path: Path) -> None:
    check_mutants(name, -(-IN_ALL // len(READERS)), tmp_path)


# ------------------------------------------------------------------------------------------------- answers of servers

CHAT = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Explanation: colors [1, 2]"}}]}
TEXTS = {
    **{"model": "m", "system_fingerprint": "v", "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
    "choices": [{"text": "blue", "message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}],
}
ANSWERS = [CHAT, TEXTS, {"count": 5, "approx": False}, {"error": {"message": "no such model"}, "detail": "none"}]
STATUSES = [200] * 6 + [0, 204, 301, 400, 401, 404, 429, 500, 503]
WAITS = ["", "5", "1e9", ENDLESS, "\u00b2", "Wed, 99 Oct 99999 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 +9999"]


def read_text(answer: Answer) -> object:
    endpoint = Endpoint("http://127.0.0.1:1", "m")
    given = endpoint._server._read(answer)
    return endpoint._text(given) if isinstance(given, dict) else given


def read_served(answer: Answer, api: str) -> object:
    server = LanguageServer("http://127.0.0.1:1", PATHS[api], "m")
    writer = Writer(server, Manner(api, 0, None, 5, 0, {}), Budget(Prices(1, 1), None, "m"))
    given = server._read(answer)
    if not isinstance(given, dict):
        return given
    texts = writer._records(given, _Unwritten(Question("", ""), (0, 1)))
    if isinstance(texts, list):
        assert all(isinstance(record["text"], str) for record in texts)
        json.dumps(texts).encode()
    return texts


def read_answer(answer: Answer) -> None:
    """Read an answer in each way that one is read."""
    failure_reason(answer)
    retry_after(answer)
    said = [answer.text()]
    for read in (
        lambda: read_text(answer),
        lambda: read_served(answer, "chat"),
        lambda: read_served(answer, "completions"),
        lambda: Client("index", url="http://127.0.0.1:1")._read(answer, Query("a", 5), read_count),
        lambda: Client("index", url="http://127.0.0.1:1")._read(answer, Query("a", 5), read_documents),
    ):
        try:
            given = read()
        except InputError as error:
            (line,) = str(error).splitlines()
            assert len(line) <= LONGEST_LINE
            assert "http://127.0.0.1:1" in line
        else:
            said += [given] if isinstance(given, str) else []
    for text in said:
        read_explanation(text)
        read_detection(text, 3)


@pytest.mark.parametrize("n", [10 * QUICK, pytest.param(IN_ALL // 10, marks=pytest.mark.slow)])
def test_mutants_of_what_servers_answer(n: int, tmp_path: Path) -> None:
    def check(draw: random.Random) -> None:
        body = write(tmp_path, "a.json", draw.choice(ANSWERS), draw).read_bytes()
        headers = httpx2.Headers([(b"Retry-After", draw.choice(WAITS).encode())])
        read_answer(Answer(draw.choice(STATUSES), headers, body))

    each_of(n, "answers", check)
    read_answer(Answer(200, httpx2.Headers(), json.dumps(CHAT).replace("1, 2", ENDLESS).encode()))
