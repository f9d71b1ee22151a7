"""The rules as they stand in the files: what tests say of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RULE = re.compile(
    r"^(?: *)(?:use rule \w+ as (?P<other>\w+) with|rule(?: (?P<name>\w+))?):\n(?P<body>(?:(?: +.*)?\n)*)", re.M
)


class RuleText(NamedTuple):
    """A rule's file, its name (none where a loop makes several), and its lines."""

    path: Path
    name: str
    text: str
    inherits: bool

    @property
    def lines(self) -> int:
        """From its name to its last line."""
        return self.text.count("\n") + 1

    @property
    def script(self) -> str | None:
        """Its entry script below ``scripts/``, without ``.py``."""
        match = re.search(r'"(?:\.\./)+scripts/([\w/]+)\.py"', self.text)
        return match[1] if match else None

    @property
    def environment(self) -> str | None:
        """Its conda environment in ``envs/``."""
        match = re.search(r'"(?:\.\./)+envs/(\w+)\.yaml"', self.text)
        return match[1] if match else None


def rule_files(root: Path) -> list[Path]:
    """Return all files of rules."""
    return sorted((root / "rules").rglob("*.smk"))


def rules(root: Path) -> Iterator[RuleText]:
    """Yield every rule of every file; targets in the Snakefile are none."""
    for path in rule_files(root):
        for match in RULE.finditer(path.read_text(encoding="utf-8")):
            yield RuleText(path, match["other"] or match["name"] or "", match[0].rstrip(), bool(match["other"]))
