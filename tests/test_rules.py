"""What holds for every rule: it fits on a screen, and its text says what it reads, writes, runs and where it logs."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

from leakscope.jobs.dependencies import question
from rule_texts import RuleText, rule_files, rules

ROOT = Path(__file__).resolve().parents[1]
RULES = list(rules(ROOT))
WHOLE = [rule for rule in RULES if rule.script]


def named(rule: RuleText) -> str:
    return rule.name


def test_all_rules_are_found() -> None:
    written = sum(
        len(re.findall(r"^ *(?:use )?rule\b", path.read_text(encoding="utf-8"), re.M)) for path in rule_files(ROOT)
    )
    assert len(RULES) == written > 60


def test_rules_fit_on_a_screen() -> None:
    lines = [rule.lines for rule in RULES]
    assert statistics.median(lines) <= 17
    assert max(lines) <= 40


def test_what_all_rules_use_fits_on_three(root: Path) -> None:
    assert len((root / "rules/common.smk").read_text(encoding="utf-8").splitlines()) <= 160


@pytest.mark.parametrize("rule", WHOLE, ids=named)
def test_a_rule_says_what_it_watches_where_it_logs_and_what_it_needs(rule: RuleText) -> None:
    assert re.search(rf'        code=code\("{rule.script}"(, "[a-z/]+")*\),$', rule.text, re.M)
    assert rule.environment is not None
    assert re.search(rf'^    log:\n        "<[a-z]+>/(?:logs/)?{rule.name}(?:/[^"]*)?\.log",$', rule.text, re.M)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.inherits], ids=named)
def test_a_rule_like_another_has_outputs_and_a_log_of_its_own(rule: RuleText) -> None:
    assert "    output:\n" in rule.text
    name = rule.name.removesuffix("_shard")
    assert re.search(rf'^    log:\n        "<logs>/{name}[/.]', rule.text, re.M)


@pytest.mark.parametrize("rule", WHOLE, ids=named)
def test_a_rules_script_answers_a_question(root: Path, rule: RuleText) -> None:
    """It is what the terminal says of the rule's jobs."""
    asked = question(root / f"scripts/{rule.script}.py")
    assert asked.endswith("?"), asked
    assert len(asked) <= 110


def test_rule_files_define_no_function() -> None:
    """Functions of rule files are those that need Snakemake, all in one file."""
    for path in rule_files(ROOT):
        if path.name != "common.smk":
            assert not re.search(r"^(def|class) ", path.read_text(encoding="utf-8"), re.M), path
