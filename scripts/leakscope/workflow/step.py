"""Base class of steps: a section of the configuration, tables, and figures of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from leakscope.workflow.study import Study


@dataclass(frozen=True, eq=False)
class Step(ABC):
    """A step of a study."""

    study: Study
    name: ClassVar[str]
    folder: ClassVar[str]  # of its results

    @property
    def settings(self) -> Mapping[str, Any]:
        """The step's section of the configuration."""
        section: Mapping[str, Any] = self.study.config[self.name]
        return section

    @property
    @abstractmethod
    def figures(self) -> dict[str, list[str]]:
        """Figure → the tables it shows, for figures with data in the study."""

    @property
    @abstractmethod
    def context(self) -> dict[str, Any]:
        """Further parameters of figures; the keys are those of ``figures.registry.Context``."""

    @abstractmethod
    def targets(self) -> list[str]:
        """Return the step's targets for this study."""

    def table(self, name: str) -> str:
        """Return the file of a table used in figures; the organisms' table belongs to the whole study."""
        return "<results>/organisms.csv" if name == "organisms" else f"{self.folder}/{name}.csv"

    @property
    def tables(self) -> list[str]:
        """The distinct tables used in figures."""
        return list(dict.fromkeys(table for tables in self.figures.values() for table in tables))

    def plotting(self) -> dict[str, Any]:
        """Return the parameters of ``scripts/figures/plot.py`` apart from tables, which are in the order of
        :attr:`tables`."""
        context = {**self.context, "look": self.study.look}
        return {"step": self.name, "figures": self.figures, "tables": self.tables, "context": context}

    def figure_files(self) -> list[str]:
        """Return the files of all figures."""
        return [f"{self.folder}/figures/{name}.{suffix}" for name in self.figures for suffix in ("pdf", "png")]
