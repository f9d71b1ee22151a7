"""What the pages tell a reader to follow or to run is there: links, anchors, targets, studies, files."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS, *sorted((ROOT / "data").rglob("*.md"))]
# Pages that programs write, and the most words that all others and the README have together.
GENERATED = {"tables.md", "coverage.md"}
MOST_WORDS = 22_000
# Text that names pages: what a user reads, in code and in data.
NAMING = [
    path
    for where in ("scripts", "rules", "studies", "data", "profiles", "report", "schemas", "tests", "benchmarks")
    for path in sorted((ROOT / where).rglob("*"))
    if path.is_file() and path.suffix in {"", ".py", ".smk", ".yaml", ".json", ".html", ".js", ".rst", ".sh", ".md"}
] + [ROOT / name for name in (".ci/run", "config.yaml", "Makefile", "Snakefile", "pyproject.toml")]
# What a reader writes: no such file comes with leakscope.
OF_THE_READER = re.compile(r"studies/mine\.yaml|study\.yaml|results/.*|.*[<$].*|\.\.\.|…")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
PAGE = re.compile(r"docs/[\w./-]+?\.md(?:#[\w-]+)?")
# Options of make that take the next word.
TAKING = {"-C"}


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", lambda match: match[1] or "", heading)
    return re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")


@cache
def anchors(path: Path) -> set[str]:
    """Return all anchors of a page; of equal headings the second ends in ``-1``."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", text(path)), re.M):
        anchor = slug(heading)
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def dead(target: str, page: Path) -> bool:
    """Whether a relative link of a page leads nowhere."""
    if re.match(r"\w+:", target):
        return False
    name, _, anchor = target.partition("#")
    there = (page.parent / name).resolve() if name else page
    return not there.exists() or bool(anchor and anchor not in anchors(there))


def links(page: Path) -> list[str]:
    prose = re.sub(r"`[^`]*`(?!\])", "", FENCE.sub("", text(page)))
    return [match[1] or match[2] for match in LINK.finditer(prose)]


def code(page: Path) -> Iterator[str]:
    """Yield what a page shows as commands: lines of fenced blocks and code in the text."""
    for block in FENCE.finditer(text(page)):
        if block[1] in {"", "bash", "sh"}:
            yield from block[2].replace("\\\n", " ").splitlines()
    yield from (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", FENCE.sub("", text(page))))


def comments(path: Path) -> Iterator[str]:
    """Yield the commands in a file's comments."""
    yield from re.sub(r"\\\n# *", " ", text(path)).replace("#   ", "").splitlines()


def words(program: str) -> Iterator[tuple[str, list[str]]]:
    """Yield where a command of the program is given, and its words after the program."""
    begins = re.compile(rf"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?{program}(?= )(.*)$")
    said = [(page, code(page)) for page in PAGES]
    said += [(path, comments(path)) for path in [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]]
    for path, lines in said:
        for line in lines:
            if match := begins.match(line):
                yield f"{path.relative_to(ROOT)}: {line}", shlex.split(match[1].split(" > ")[0], comments=True)


def is_there(path: str) -> bool:
    """Whether a file or folder comes with leakscope, or is the reader's own."""
    return bool(OF_THE_READER.fullmatch(path)) or (ROOT / path.removeprefix("leakscope/")).exists()


@cache
def made(name: str) -> bool:
    """Whether a rule or a target has the name; of a part of a step its library module knows."""
    for path in [ROOT / "Snakefile", *(ROOT / "rules").rglob("*.smk")]:
        if re.search(rf"^ *(?:checkpoint|rule|use rule \w+ as) {re.escape(name)}\b", text(path), re.M):
            return True
    step, _, part = name.partition("_")
    module = ROOT / f"scripts/leakscope/workflow/{step}.py"
    return module.is_file() and bool(part) and f'"{part}":' in text(module)


@cache
def outputs() -> list[re.Pattern[str]]:
    """Return what the files that rules write look like."""
    stands_for = dict(re.findall(r"^    (\w+)=f?\"(.+)\",$", text(ROOT / "rules/common.smk"), re.M))
    patterns = []
    for path in (ROOT / "rules").rglob("*.smk"):
        for name in re.findall(r'"(<\w+>/[^"]+)"', text(path)):
            while "<" in name:
                name = re.sub(r"<(\w+)>", lambda match: stands_for[match[1]], name)
            patterns.append(re.compile(re.sub(r"\\\{.+?\\\}", "[^/]+", re.escape(name))))
    return patterns


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert [target for target in links(page) if dead(target, page)] == []


def test_every_page_that_code_and_data_name_is_there() -> None:
    named = [(path, name) for path in NAMING for name in PAGE.findall(text(path)) if path != Path(__file__)]
    assert len(named) > 20
    assert [(str(path.relative_to(ROOT)), name) for path, name in named if dead(name, ROOT / "README.md")] == []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Conda, containers, modules", "conda-containers-modules"),
        ("`colors`, *again*: what's [new](a.md)?", "colors-again-whats-new"),
        ("A fifth kind: `sentences_2`", "a-fifth-kind-sentences_2"),
    ],
)
def test_an_anchor_is_that_of_github(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n\n## Two\n\n## Two\n\n```\n# no heading\n```\n[a\nb](#one) `[c](#code)` [d](other.md#x)")
    assert anchors(page) == {"one", "two", "two-1"}
    assert links(page) == ["#one", "other.md#x"]
    assert [dead(target, page) for target in ("#one", "#three", "other.md", "https://example.com/#x")] == [
        *(False, True, True, False)
    ]


def test_every_make_command_names_targets_variables_and_files_that_exist() -> None:
    makefile = text(ROOT / "Makefile")
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.M))
    variables = {name for line in re.findall(r"^(?:NEW|GIVEN) := (.*)$", makefile, re.M) for name in line.split()}
    variables |= set(re.findall(r"^(\w+) \?=", makefile, re.M))
    wrong = []
    for where, given in words("make"):
        for before, word in zip(["", *given], given, strict=False):
            name, sign, value = word.partition("=")
            if before in TAKING or word.startswith("-"):
                continue
            if not sign and name not in targets:
                wrong.append((where, name))
            if sign and name not in variables:
                wrong.append((where, name))
            if name in {"STUDY", "PROFILE"} and not is_there(value):
                wrong.append((where, value))
    assert wrong == []


def test_every_snakemake_command_names_options_rules_and_files_that_exist() -> None:
    from snakemake.cli import get_argument_parser

    wrong = []
    for where, given in words("snakemake"):
        command: Namespace = get_argument_parser().parse_args(given)
        files = [*(command.configfile or []), command.snakefile, command.workflow_profile]
        wrong += [(where, str(path)) for path in files if path and not is_there(str(path))]
        for target in filter(lambda name: "<" not in name, command.targets):
            known = any(pattern.fullmatch(target) for pattern in outputs()) if "/" in target else made(target)
            wrong += [] if known else [(where, target)]
    assert wrong == []


def test_every_script_that_a_page_runs_exists() -> None:
    wrong = []
    for where, given in words("python3?"):
        script = given[1].replace(".", "/") if given[0] == "-m" else given[0]
        paths = [ROOT / script, ROOT / f"scripts/{script}.py", ROOT / f"scripts/{script}"]
        if script != "pytest" and "<" not in script and not any(path.exists() for path in paths):
            wrong.append((where, script))
    assert wrong == []


def test_what_does_not_exist_is_found() -> None:
    assert is_there("studies/trace.yaml")
    assert is_there("studies/mine.yaml")
    assert not is_there("studies/traces.yaml")
    assert made("leak")
    assert made("fetch_models")
    assert made("features_steering")
    assert not made("features_steerings")
    assert any(pattern.fullmatch("results/default/prompts/colors.csv") for pattern in outputs())
    assert not any(pattern.fullmatch("results/default/prompt/colors.csv") for pattern in outputs())


def test_the_pages_are_short_enough_to_be_read() -> None:
    written = [path for path in DOCS if path.parent.name != "configuration" and path.name not in GENERATED]
    count = {path.name: len(text(path).split()) for path in [ROOT / "README.md", *written]}
    count["configuration"] = len(text(ROOT / "docs/configuration/README.md").split())
    assert sum(count.values()) <= MOST_WORDS, count
