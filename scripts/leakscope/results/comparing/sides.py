"""One of two results that are compared: a study's folder, its pack, or the card of a model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.files.reading import in_one_line
from leakscope.files.tables import read_csv
from leakscope.packing.unpacking import unpack_some
from leakscope.results.card_file import read_card
from leakscope.results.units import COLUMNS, as_table, outcomes
from leakscope.storage.manifests import read_manifest

ALLOWED = "results/<study>, a pack of `make pack` (.zip), or the card of a model (.json)"
PROVENANCE, MATCHING, RATES = "provenance.json", "matching", "match_rates.csv"
PLACE = ["prompt_set", "scorer"]
TEXTS = ".texts.parquet"
# What a run says of its settings; the rest of provenance.json are times and files.
SETTINGS = ("configuration", "models", "prompt_sets", "scorers", "leakscope", "python", "packages", "machine")
ORGANISM = "organism"


class ComparedSide(NamedTuple):
    """A result to compare.

    name: what it is called.
    settings: of ``SETTINGS``, those that are known.
    models, organisms: the names of its models, real ones and those of known leakage.
    units: ``model`` and ``units.COLUMNS``.
    reads: prompt set and scorer → ``yes`` or ``no``: whether the scorer was made for its languages; empty: unknown.
    """

    name: str
    settings: Mapping[str, Any]
    models: list[str]
    organisms: list[str]
    units: pd.DataFrame
    reads: Mapping[tuple[str, str], str] = MappingProxyType({})

    def has(self, kind: str, name: str) -> bool:
        """Say whether there are outcomes of a ``prompt_set``, ``scorer`` or ``model`` of this name."""
        return name in set(self.units[kind])


def read_side(given: str, variable: str) -> ComparedSide:
    """Return a result that somebody names.

    Args:
        given: its path.
        variable: ``A`` or ``B``, for errors.

    Raises:
        InputError: there is none, or it lacks what is compared.
    """
    path = Path(given)
    if not given or not path.exists():
        raise InputError(
            f"{variable}={given}: got {'nothing of that name' if given else 'nothing'}; allowed: {ALLOWED}."
        )
    if path.is_dir():
        return study_side(path)
    if path.suffix.lower() == ".zip":
        with tempfile.TemporaryDirectory() as folder:
            return study_side(unpack_some(path, Path(folder), _is_compared), str(path))
    if path.suffix.lower() == ".json":
        return card_side(path)
    raise InputError(f"{variable}={given}: got a file of another kind; allowed: {ALLOWED}.")


def card_side(path: Path) -> ComparedSide:
    """Return the model of a card.

    Raises:
        InputError: it is no card.
    """
    card = read_card(path)
    units = as_table(card.units).assign(model=card.model)
    settings = {key: card.settings[key] for key in SETTINGS if key in card.settings}
    _check_settings(settings, str(path))
    reads = {(row.prompt_set, row.scorer): row.scorer_reads for row in card.rates}
    return ComparedSide(f"{card.study}-{card.model}", settings, [card.model], [], units, reads)


def study_side(folder: Path, where: str = "") -> ComparedSide:
    """Return a study from the folder of its results.

    Args:
        folder: of the results.
        where: what it is called in errors; empty: its path.

    Raises:
        InputError: it has not run to its end, or takes no step ``leak``.
    """
    where = where or str(folder)
    if not (folder / PROVENANCE).is_file():
        raise InputError(f"{where}: got no {PROVENANCE}; allowed: a study that ran to its end (`make run`).")
    known = read_manifest(folder / PROVENANCE)
    settings = {key: known[key] for key in SETTINGS if key in known}
    _check_settings(settings, where)
    tables = sorted(path for path in folder.glob(f"{MATCHING}/*/*.parquet") if not path.name.endswith(TEXTS))
    if not tables:
        raise InputError(f"{where}: got no match rates; allowed: a study with `steps: [leak]` that ran to its end.")
    with in_one_line(where, "tables that leakscope wrote"):
        parts = [_outcomes(pd.read_parquet(path)) for path in tables]
        entries, names = settings["configuration"]["models"], settings["configuration"]["study"]["models"]
        organisms = [name for name in names if _is_organism(name, entries)]
        real = [name for name in names if name not in organisms]
        units = pd.concat(parts, ignore_index=True)
        return ComparedSide(folder.resolve().name, settings, real, organisms, units, _reads(folder / RATES))


def _reads(rates: Path) -> dict[tuple[str, str], str]:
    table = read_csv(rates) if rates.is_file() else pd.DataFrame()
    known = table.reindex(columns=[*PLACE, "scorer_reads"]).dropna(subset="scorer_reads").drop_duplicates(PLACE)
    return {(row["prompt_set"], row["scorer"]): row["scorer_reads"] for row in known.to_dict("records")}


def _is_compared(name: str) -> bool:
    return name in (PROVENANCE, RATES) or (name.startswith(f"{MATCHING}/") and not name.endswith(TEXTS))


def _check_settings(settings: Mapping[str, Any], where: str) -> None:
    with in_one_line(where, "settings that leakscope wrote", "settings without a part"):
        configuration, prompt_sets = settings["configuration"], settings["prompt_sets"]
        parts = [configuration[key] for key in ("models", "study", "scorers", "leak")]
        known = [settings.get(key, {}) for key in ("models", "scorers")]
        entries = [*prompt_sets.values(), *configuration["models"].values(), *configuration["scorers"].values()]
        for mapping in (*parts, *known, *entries):
            mapping.keys()
        names, leak = configuration["study"]["models"], configuration["leak"]
        if not isinstance(names, list) or not 0 < leak["level"] < 1 or not leak["permutations"] >= 1:
            raise ValueError("models, level or permutations")


def _outcomes(units: pd.DataFrame) -> pd.DataFrame:
    parts = [outcomes(units, model).assign(model=model) for model in units["model"].unique()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["model", *COLUMNS])


def _is_organism(name: str, entries: Mapping[str, Any]) -> bool:
    """Say whether a model is an organism, or made from one."""
    entry = entries.get(name, {})
    base = entry.get("base")
    return bool(entry.get("source") == ORGANISM or (base and _is_organism(base, entries)))
