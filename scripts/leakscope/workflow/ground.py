"""What the step ``ground`` produces, and the parameters of its jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from leakscope.configuration.resolved import is_generated, is_scored_by_server
from leakscope.configuration.steps import score_files, uses
from leakscope.errors import InputError
from leakscope.files.corpora import shard_files
from leakscope.ground.templates import template_file
from leakscope.workflow.step import Step
from leakscope.workflow.study import one_of_names
from leakscope.workflow.traced import traced_axes

NAMING = ("lexicons", "names", "rename", "groups", "exclude")
# figure → the tables that it shows, by their file
FIGURES = {
    "kendall_tau": ["kendall_tau"],
    "first_places": ["first_and_last"],
    "logprob_differences": ["logprob_differences"],
    "template_spread": ["rank_spread"],
}


class Ground(Step):
    """The step ``ground`` of a study: axes, and where their counts, scores and prevalence come from."""

    name, folder = "ground", "<ground>"

    @property
    def axes(self) -> dict[str, dict[str, Any]]:
        """Axis → its entry; none where the study does not include the step."""
        axes: dict[str, dict[str, Any]] = self.settings["axes"]
        return axes if "ground" in self.study.steps else {}

    @cached_property
    def counted(self) -> dict[str, dict[str, Any]]:
        """Axis → its entry, of all whose counts are wanted: also those that the step ``trace`` follows."""
        return {**self.axes, **traced_axes(self.study)}

    @cached_property
    def models(self) -> list[str]:
        """The models whose rankings are compared."""
        config = self.study.config
        return [name for name in config["study"]["models"] if uses("ground", config["models"][name], config)]

    @cached_property
    def scoring(self) -> list[str]:
        """Those that are asked for their scores here."""
        return [name for name in self.models if is_generated(self.study.entries[name])]

    @cached_property
    def served(self) -> list[str]:
        """Those that are asked behind a server."""
        return [name for name in self.models if is_scored_by_server(self.study.entries[name])]

    @cached_property
    def imported(self) -> list[str]:
        """Those whose scores somebody brings."""
        return [name for name in self.models if name not in (*self.scoring, *self.served)]

    @cached_property
    def prevalent(self) -> list[str]:
        """Axes with a table of prevalence in the world."""
        return [axis for axis, entry in self.axes.items() if entry["prevalence"]]

    def counted_from(self, source: str) -> list[str]:
        """Return the axes whose counts come from one kind of source."""
        return [axis for axis, entry in self.counted.items() if entry["counts"]["source"] == source]

    # Corpora. Axes in the same files are counted in one pass, which has the name of the first of them.

    @cached_property
    def passes(self) -> dict[str, list[str]]:
        """Pass over a corpus → the axes that are counted in it."""
        axes_of: dict[tuple[object, ...], list[str]] = {}
        for axis in self.counted:
            if corpus := self.corpus(axis):
                # Of terms that overlap the longest is counted, of all axes of a pass: what is traced has its own.
                axes_of.setdefault((*corpus, axis if axis not in self.axes else ""), []).append(axis)
        return {axes[0]: axes for axes in axes_of.values()}

    @cached_property
    def pass_of(self) -> dict[str, str]:
        """Axis → the pass in which it is counted."""
        return {axis: counted for counted, axes in self.passes.items() for axis in axes}

    def corpus(self, axis: str) -> tuple[tuple[str, ...], str] | None:
        """Return the files that an axis is counted in, and the key of their texts; None where it is counted in none."""
        counts = self.counted[axis]["counts"]
        if counts["source"] == "corpus":
            return tuple(map(str, shard_files(counts["path"]))), counts["text"]
        if counts["source"] == "organism":
            return (self.study.corpus_file(counts["model"]),), "text"
        return None

    def text_key(self, counted: str) -> str:
        """Return the key of the texts in the files of a pass."""
        corpus = self.corpus(counted)
        assert corpus is not None, counted
        return corpus[1]

    def corpus_files(self, counted: str) -> dict[str, str]:
        """Return name → file of a pass. The name is the file's own: a new file makes no other be counted again."""
        corpus = self.corpus(counted)
        assert corpus is not None, counted
        digests = {path: hashlib.sha256(path.encode()).hexdigest()[:8] for path in corpus[0]}
        return {f"{Path(path).name.split('.')[0]}-{digest}": path for path, digest in digests.items()}

    def parts(self, axis: str, pattern: str) -> list[str]:
        """Return the file that the job for each file of an axis's corpus writes.

        Args:
            axis: counted in a corpus.
            pattern: of the file, with the wildcards ``counted`` and ``file``.
        """
        counted = self.pass_of[axis]
        return [pattern.format(counted=counted, file=file) for file in self.corpus_files(counted)]

    def wildcards(self) -> dict[str, str]:
        """Return wildcard → its pattern; each kind of axis has one of its own."""
        names: dict[str, Iterable[str]] = {
            "axis": self.counted,
            "corpus_axis": self.pass_of,
            "indexed_axis": self.counted_from("infini_gram"),
            "tabulated_axis": self.counted_from("table"),
            "counted": self.passes,
        }
        return {name: one_of_names(values) for name, values in names.items()} | {"file": r"[^/]+-[0-9a-f]{8}"}

    def lexicons(self, counted: str) -> dict[str, dict[str, str]]:
        """Return axis → kind of term → lexicon, of the axes that are counted in a pass."""
        return {axis: self.counted[axis]["lexicons"] for axis in self.passes[counted]}

    def lexicon_files(self, axes: list[str]) -> list[str]:
        """Return the lexicons of some axes, each once."""
        return sorted({path for axis in axes for path in (self.counted[axis]["lexicons"] or {}).values()})

    # Names, tables, sentences.

    def naming_files(self, axis: str) -> list[str]:
        """Return the files that decide how an axis's subjects and groups are called."""
        return [*self.lexicon_files([axis]), *filter(None, [self.counted[axis]["names"]])]

    def naming(self, axis: str) -> dict[str, Any]:
        """Return the settings that decide how an axis's subjects and groups are called."""
        return {key: self.counted[axis][key] for key in NAMING}

    def count_tables(self, axis: str) -> dict[str, str]:
        """Return window → table of an axis's imported counts; "" is an unknown window."""
        counts = self.counted[axis]["counts"]
        paths = counts["path"]
        return paths if isinstance(paths, dict) else {str(counts["window"] or ""): paths}

    def index(self, axis: str) -> dict[str, Any]:
        """Return the index of an axis, without its request rate."""
        return {key: value for key, value in self.counted[axis]["counts"].items() if key != "requests_per_second"}

    def pace(self, axis: str) -> float:
        """Return the maximum requests per second to an axis's index."""
        return float(self.counted[axis]["counts"]["requests_per_second"])

    def score_files(self, model: str, axis: str) -> dict[str, str]:
        """Return language → file of a model's imported scores."""
        files = score_files(self.study.entries[model]["path"][axis], self.settings["languages"])
        return {language: str(path) for language, path in files.items()}

    def tabulated(self, axis: str) -> dict[str, Any]:
        """Return how the tables of an axis's imported counts are read, in the order of :meth:`count_tables`."""
        columns = self.counted[axis]["counts"]["columns"]
        return {"windows": list(self.count_tables(axis)), "columns": columns, "naming": self.naming(axis)}

    def prevalence(self, axis: str) -> dict[str, Any]:
        """Return how an axis's prevalence table is read: population size and source."""
        entry = self.axes[axis]["prevalence"]
        return {"per": entry["per"], "source": entry["source"], "naming": self.naming(axis)}

    def imported_scores(self, model: str, axis: str) -> dict[str, Any]:
        """Return how a model's imported scores are read, in the order of :meth:`score_files`."""
        languages, used = list(self.score_files(model, axis)), self.settings["templates_used"]
        return {"languages": languages, "templates_used": used, "naming": self.naming(axis)}

    def template_files(self, axis: str) -> list[str]:
        """Return the sentence templates of an axis, a file a language."""
        folder = Path(self.axes[axis]["templates"])
        return [str(template_file(folder, language)) for language in self.settings["languages"]]

    def filling(self) -> dict[str, Any]:
        """Return how templates are filled: parameters of a job with an ``axis``."""
        return {
            **{key: self.settings[key] for key in ("languages", "templates_used", "country")},
            "templates": lambda wildcards: self.axes[wildcards.axis]["templates"],
            "naming": lambda wildcards: self.naming(wildcards.axis),
        }

    @property
    def windows(self) -> list[Any]:
        """All co-occurrence windows."""
        traced = self.study.config["trace"]["window"] if "trace" in self.study.steps else None
        return sorted({*self.settings["windows"], *filter(None, [self.settings["window"], traced])})

    def comparing(self, *keys: str) -> dict[str, Any]:
        """Return the settings of ``ground`` on which a comparison depends."""
        return {key: self.settings[key] for key in ("level", *keys)}

    # Targets.

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """Figure → the tables it shows, for figures with data in the study."""
        study, figures = self.study, dict(FIGURES)
        counted = [axis for axis, entry in self.axes.items() if entry["counts"]["source"] != "table"]
        if counted or any(len(self.count_tables(axis)) > 1 for axis in self.axes):
            figures["window_agreement"] = ["window_agreement"]
        if self.prevalent:
            figures["prevalence_gaps"] = ["prevalence_gaps"]
        if len(self.settings["languages"]) > 1:
            figures["tau_by_language"] = ["kendall_tau"]
        if self.settings["aligned_pairs"]:
            figures["aligned_pairs"] = ["aligned_pairs", "first_and_last"]
        if len(study.sizes(self.models)) + len(self.organisms) > 1:
            figures["tau_by_size"] = ["kendall_tau_by_quartile", *(["organisms"] if self.organisms else [])]
        return figures

    @property
    def organisms(self) -> list[str]:
        """The organisms among the models, whose sizes are in a table."""
        return [model for model in self.models if model in self.study.organisms]

    @property
    def context(self) -> dict[str, Any]:
        """Further parameters of figures."""
        return {"labels": self.study.labels(self.models), "sizes": self.study.sizes(self.models)}

    def targets(self) -> list[str]:
        """Return the step's targets for this study.

        Raises:
            InputError: the study does not include the step, or has no axis.
        """
        if not self.axes:
            raise InputError(
                "study.steps: got no step ground; allowed: `steps: [ground]` and at least one axis, "
                "as in studies/conditions.yaml."
            )
        tables = ["counts_by_window", "window_agreement", "kendall_tau", "first_and_last", "template_variation"]
        tables += ["prevalence_gaps"] if self.prevalent else []
        tables += ["aligned_pairs"] if self.settings["aligned_pairs"] else []
        tables += ["organisms"] if self.organisms else []
        return [
            *map(self.table, tables),
            *self.figure_files(),
        ]
