"""The picture of who imports whom in docs/layout.md: python tests/import_picture.py docs/layout.md writes it anew.

An arrow that others imply is left out: where A imports B and B imports C, A may import C as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARKED = re.compile(r"(<!-- imports -->\n).*?(<!-- end of imports -->)", re.DOTALL)
FLAT = ("__init__.py", "errors.py")


def packages(root: Path) -> dict[str, set[str]]:
    """Return package → the packages whose modules its modules import, for the library of a checkout."""
    from leakscope.jobs.dependencies import imported_modules

    library = root / "scripts/leakscope"
    below: dict[str, set[str]] = {}
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library).parts[0]
        found = {one.relative_to(library).parts[0] for one in imported_modules(path, root / "scripts")}
        if name not in FLAT:
            below.setdefault(name, set()).update(found - {name, *FLAT})
    return below


def drawn(below: Mapping[str, set[str]]) -> str:
    """Return the picture as a Mermaid graph; there must be no circle."""

    def reached(name: str) -> set[str]:
        return below[name].union(*map(reached, below[name]))

    lines = ["```mermaid", "graph TD"]
    for name in sorted(below):
        implied = set().union(*map(reached, below[name]))
        lines += [f"    {name} --> {other}" for other in sorted(below[name] - implied)]
    return "\n".join([*lines, "```"])


def with_picture(page: str) -> str:
    """Return a page with the picture of this checkout between its marks."""
    picture = drawn(packages(ROOT))
    return MARKED.sub(lambda found: f"{found[1]}\n{picture}\n\n{found[2]}", page)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "scripts"))
    page = Path(sys.argv[1])
    page.write_text(with_picture(page.read_text(encoding="utf-8")), encoding="utf-8")
