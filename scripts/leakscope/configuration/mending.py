"""A configuration without its wrong parts, so that the rest can be checked in the same run."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Mappings from names to entries: a wrong entry is removed as a whole, with all references to it.
CATALOGUES = (
    ("models",),
    ("prompt_sets",),
    ("scorers",),
    ("mitigations",),
    ("organisms", "sizes"),
    ("ground", "axes"),
    ("validate", "tasks"),
    ("validate", "methods"),
    ("features", "corpora"),
    ("features", "dictionaries"),
    ("features", "explainers"),
    ("features", "contrasts"),
    ("features", "steering"),
    ("features", "benchmarks"),
)


def mended(written: Mapping[str, Any], mistakes: Iterable[tuple[object, ...]]) -> dict[str, Any] | None:
    """Return a copy without wrong keys, and without references to entries removed with them.

    None if a whole catalogue is wrong or becomes empty: missing entries would then be reported as further mistakes.

    Args:
        written: plain builtins.
        mistakes: paths of the wrong keys.
    """
    config: dict[str, Any] = copy.deepcopy(dict(written))
    lost = set[object]()
    for path in mistakes:
        if any(known[: len(path)] == path for known in CATALOGUES):
            return None
        catalogue = next((known for known in CATALOGUES if path[: len(known)] == known != path), None)
        wrong = path if catalogue is None else path[: len(catalogue) + 1]
        lost |= set() if catalogue is None else {wrong[-1]}
        _remove(config, wrong)
    while named := {path[-1]: path for path, entry in _entries(config) if lost & set(_scalars(entry))}:
        for path in named.values():
            _remove(config, path)
        lost |= set(named)
    _forget(config, lost)
    return None if _emptied(written, config) else config


def _entries(config: Mapping[str, Any]) -> Iterator[tuple[tuple[object, ...], Any]]:
    for catalogue in CATALOGUES:
        entries = _at(config, catalogue)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            yield (*catalogue, name), entry


def _forget(config: Mapping[str, Any], lost: set[object]) -> None:
    """Remove names from lists and mappings that refer to catalogues."""
    for path in (("study", "models"), ("study", "prompt_sets"), ("study", "scorers"), ("trace", "mitigations")):
        names = _at(config, path)
        if isinstance(names, list):
            names[:] = [name for name in names if not isinstance(name, str) or name not in lost]
    pairs = _at(config, ("ground", "aligned_pairs"))
    for model, base in list(pairs.items()) if isinstance(pairs, dict) else ():
        if {model, base} & lost:
            del pairs[model]
    if lost & set(_scalars(_at(config, ("validate", "tuned")))):
        _remove(config, ("validate", "tuned"))


def _emptied(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    lists = (("study", "models"), ("study", "prompt_sets"), ("study", "scorers"), *CATALOGUES)
    return any(_at(before, path) and not _at(after, path) for path in lists)


def _at(config: Any, path: tuple[object, ...]) -> Any:
    for key in path:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _remove(config: Mapping[str, Any], path: tuple[object, ...]) -> None:
    """Remove the value at a path; a list with a wrong item is removed as a whole."""
    for key in path[:-1]:
        inner = config.get(str(key))
        if not isinstance(inner, dict):
            path = path[: path.index(key) + 1]
            break
        config = inner
    if isinstance(config, dict):
        config.pop(path[-1], None)


def _scalars(value: Any) -> Iterator[str]:
    """Yield every text in a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _scalars(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner)
