import ast
from pathlib import Path

import pytest

from leakscope.jobs.dependencies import imported_modules, script_files

RULES = [
    "leak/generate", "organisms/train_organism", "leak/score_similarity", "leak/compare_pairs", "leak/leak_rates",
    "figures/plot", "organisms/write_corpus",
]  # fmt: skip


def names(files: list[str]) -> set[str]:
    return {Path(file).stem for file in files}


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    library = tmp_path / "leakscope"
    library.mkdir()
    (library / "__init__.py").write_text("")
    (tmp_path / "rule.py").write_text("import os\nfrom leakscope.first import x\nfrom leakscope import fifth\n")
    (library / "first.py").write_text("def x():\n    from leakscope.second import y\n    import leakscope.third\n")
    (library / "second.py").write_text("from leakscope.first import x\nimport pandas\n")
    (library / "third.py").write_text("from leakscope.fourth.part import z\n")
    (library / "fourth").mkdir()
    (library / "fourth" / "__init__.py").write_text("")
    (library / "fourth" / "part.py").write_text("")
    (library / "fifth.py").write_text("")
    (library / "unused.py").write_text("")
    files = script_files(tmp_path, "rule")
    assert Path(files[0]) == tmp_path / "rule.py"
    assert names(files) == {"rule", "first", "second", "third", "part", "fifth"}


def test_the_pattern_finds_what_the_parser_finds_in_every_file(root: Path) -> None:
    scripts = root / "scripts"
    for path in scripts.rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        files = {scripts.joinpath(*name.split(".")).with_suffix(".py") for name in names if name[:10] == "leakscope."}
        found = {file for file in imported_modules(path, scripts) if file.name != "__init__.py"}
        assert found == {file for file in files if file.exists()}, path


def test_imports_over_several_lines_count_whole(tmp_path: Path) -> None:
    (tmp_path / "leakscope").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"leakscope/{name}.py").touch()
    (tmp_path / "rule.py").write_text("from leakscope import (  # both\n    one as first,\n    two,\n)\n")
    assert names(script_files(tmp_path, "rule")) == {"rule", "one", "two"}


@pytest.mark.parametrize("rule", RULES)
def test_every_rules_files_exist_and_are_sorted(root: Path, rule: str) -> None:
    files = script_files(root / "scripts", rule)
    assert all(Path(file).is_file() for file in files)
    assert files[1:] == sorted(files[1:])


def test_scoring_does_not_depend_on_how_text_is_generated_nor_the_reverse(root: Path) -> None:
    scoring = names(script_files(root / "scripts", "leak/score_similarity"))
    generating = names(script_files(root / "scripts", "leak/generate"))
    assert "scorers" in scoring
    assert not scoring & {"generation", "sampling", "decoding", "training"}
    assert not generating & {"scorers", "outcomes", "leak_rate", "training", "leak_grammar"}


def test_what_is_said_to_people_makes_no_job_run_again(root: Path) -> None:
    for rule in ("organisms/train_organism", "leak/generate", "figures/plot", "leak/write_explorer"):
        assert not names(script_files(root / "scripts", rule)) & {"errors", "job", "progress", "redaction", "usage"}


def test_training_does_not_depend_on_how_prompts_are_built(root: Path) -> None:
    for rule in ("train_tokenizer", "write_corpus", "train_organism"):
        assert not names(script_files(root / "scripts", f"organisms/{rule}")) & {"prompts", "tables", "freezing"}


def test_figures_do_not_depend_on_how_rates_are_computed(root: Path) -> None:
    assert not names(script_files(root / "scripts", "figures/plot")) & {"leak_rate", "outcomes", "intervals"}
