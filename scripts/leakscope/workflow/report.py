"""The entries of a study in Snakemake's report: section, name and caption."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from leakscope.files.reading_yaml import read_yaml

FORMS = {".csv": "table", ".png": "figure", ".html": "page"}
# Folders omitted from a caption's name.
UNNAMED = ("figures", "dictionaries")
WILDCARD = re.compile(r"\{(\w+)\}")


class Entry(NamedTuple):
    """A file of the report, or a pattern of several."""

    file: str
    section: str
    name: str

    @property
    def caption(self) -> str:
        """Path of the caption, relative to the list of entries.

        It has the file's name without wildcards and folders per file type; a table's ends in ``_table``.

        >>> Entry("validate/figures/lens_heatmap/{model}/{task}.png", "Layers", "Logit lens").caption
        'validate/lens_heatmap.rst' >>> Entry("ground/kendall_tau.csv", "Agreement of rankings", "Kendall tau").caption
        'ground/kendall_tau_table.rst'
        """
        path = PurePosixPath(re.sub(r"/?\{\w+\}", "", self.file))
        name = "/".join(part for part in path.with_suffix("").parts if part not in UNNAMED)
        return f"{name}_table.rst" if path.suffix == ".csv" else f"{name}.rst"

    def names(self, file: str) -> dict[str, str] | None:
        """Return the values of the entry's wildcards in a file; None if the file does not match."""
        pattern = WILDCARD.sub(r"(?P<\1>[^/]+)", re.escape(self.file).replace(r"\{", "{").replace(r"\}", "}"))
        match = re.fullmatch(pattern, file)
        return match.groupdict() if match else None


class Report:
    """The entries of the report: a YAML file, section → file below ``results/<study>`` → name.

    Raises:
        InputError: the file is no YAML.
    """

    def __init__(self, path: Path) -> None:
        sections: Mapping[str, Mapping[str, str]] = read_yaml(path)
        self.folder = path.parent
        self.entries = [
            Entry(file, section, name) for section, files in sections.items() for file, name in files.items()
        ]

    def options(self, file: str, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the arguments of Snakemake's ``report`` for a file, which may have wildcards.

        One label holds name and form. From a second label with two values (figure, table), Snakemake would make a
        switch, and its page goes blank if an entry exists in only one of the two.

        Args:
            file: below ``results/<study>``.
            names: values of wildcards in the entry's name that the file lacks.

        Raises:
            KeyError: no entry matches the file.
        """
        for entry in self.entries:
            values = entry.names(file)
            if values is not None:
                values = {**values, **(names or {})}
                label = f"{_filled(entry.name, values)} ({FORMS[PurePosixPath(file).suffix]})"
                return {"category": entry.section, "labels": {"what": label}, "caption": self.folder / entry.caption}
        raise KeyError(file)


def _filled(name: str, values: Mapping[str, str]) -> str:
    """Return a name with its wildcards filled in; those without a value are left to Snakemake."""
    return WILDCARD.sub(lambda match: values.get(match[1], match[0]), name)
