"""The page of a dictionary: a table of all features, and for each feature where it fires and what it promotes.

The page is one file and needs no network. Its table is one compressed block; details of single features are in blocks
of ``CHUNK`` features, which the browser unpacks when a feature is opened. A token is encoded as one character, its
place in the vocabulary, frequent tokens first, so that UTF-8 keeps them short.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from leakscope.web.pages import encoded, page, write_page

TEMPLATE = Path(__file__).resolve().parents[4] / "report" / "features.template.html"

CHUNK = 200
KINDS = ("top", "quantile")
SIDES = ("promoted", "suppressed")
LEVELS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""An activation as a share of the feature's maximum, rounded up, so that only what does not fire is 0."""
FIRST = 0x23  # first character that encodes a token: from here on JSON escapes only the backslash
BACKSLASH, SURROGATES, AFTER_SURROGATES = 0x5C, 0xD800, 0xE000
NUMBERS = [
    "firing_rate",
    "log10_rate",
    "n_firing",
    "maximum",
    "mean_active",
    "effective_tokens",
    "entropy_nats",
    "activation_kurtosis",
    "std",
    "skewness",
    "kurtosis",
]
MEASURES = ["variance_unexplained", "l0", "dead_share", "cross_entropy_recovered"]
CONTEXT_COLUMNS = ["feature", "kind", "rank", "document", "position", "activation", "tokens", "activations", "peak"]

Array = npt.NDArray[Any]


class _Texts(NamedTuple):
    """Lists of tokens, one below the other: ``tokens[starts[i]:starts[i + 1]]`` is list i."""

    tokens: pa.Array
    starts: Array


class _Shown(NamedTuple):
    """Rows of the contexts on the page, by feature, kind and rank, and the place of each row's feature."""

    rows: Array
    places: Array


def read_contexts(path: Path) -> pa.Table:
    """Return the top and quantile contexts of ``contexts.parquet``, without those that test explanations.

    An Arrow table, not a frame: millions of tokens as Python texts would take gigabytes.
    """
    contexts = parquet.ParquetFile(path).read(columns=CONTEXT_COLUMNS)
    return contexts.filter(pc.is_in(contexts["kind"], pa.array(KINDS)))


def write_feature_page(
    path: Path,
    *,
    table: pd.DataFrame,
    promoted: pd.DataFrame,
    contexts: pa.Table,
    manifest: Mapping[str, Any],
    quality: Mapping[str, Any],
    study: str,
    dictionary: str,
    pages: Mapping[str, str] | None = None,
    limit: int | None = None,
    template: Path = TEMPLATE,
) -> None:
    """Write the page, whole or not at all; equal tables give equal bytes.

    Args:
        path: of the page; its folder is made.
        table: ``features.parquet``, one row a feature; explainers are read off its columns ``explanation_<name>``.
        promoted: ``promoted.parquet``, one row per feature x side x rank.
        contexts: as ``read_contexts`` returns them.
        manifest: ``dictionary.json``.
        quality: ``quality.json``.
        study: name in the heading.
        dictionary: name in the heading.
        pages: of all of the study's dictionaries, label → relative link from this page; it is itself among them.
        limit: keeps the features that fire most often; all if None.
        template: the page without its data, in a folder with the files shared by all pages.
    """
    kept = table if limit is None else table.nlargest(limit, "firing_rate")
    kept = kept.sort_values("feature", ignore_index=True)
    places = pd.Index(kept["feature"])
    texts, shown = _context_texts(contexts, places)
    weights, sides = _side_texts(promoted, places)
    activating = _listed(kept["activating"])
    vocabulary = _vocabulary(texts.tokens, sides.tokens, activating.tokens)
    strings = _coded(sides, vocabulary)
    head = {
        "study": study,
        "dictionary": dictionary,
        "manifest": {name: manifest.get(name) for name in ("model", "layer", "source", "n_features", "width")},
        "quality": _quality(quality),
        "pages": [{"label": label, "href": href, "own": href == path.name} for label, href in (pages or {}).items()],
        "n": len(kept),
        "total": len(table),
        "chunk": CHUNK,
        "vocabulary": vocabulary.to_pylist(),
        "promoted": strings[::2],
        "activating": _coded(activating, vocabulary),
        **_table_columns(kept),
    }
    levels = _levels(contexts, shown, kept["maximum"].to_numpy(), texts.starts)
    details: dict[str, list[Any]] = {
        "histogram": [list(map(int, counts)) for counts in kept["histogram"]],
        "suppressed": strings[1::2],
        "promoted_weights": weights[::2],
        "suppressed_weights": weights[1::2],
        **_context_columns(contexts, shown, len(kept), _coded(texts, vocabulary), levels),
    }
    text = page(
        template,
        title=html.escape(f"{dictionary} · {study}"),
        payload=encoded(head),
        chunks="\n".join(_chunks(details, len(kept))),
    )
    write_page(path, text)


def _context_texts(contexts: pa.Table, places: pd.Index[int]) -> tuple[_Texts, _Shown]:
    feature = places.get_indexer(pd.Index(contexts["feature"].to_numpy()))
    kind = pd.Index(KINDS).get_indexer(pd.Index(contexts["kind"].to_pandas()))
    order = np.lexsort((contexts["rank"].to_numpy(), kind, feature))
    order = order[feature[order] >= 0]
    tokens = contexts["tokens"].take(pa.array(order)).combine_chunks()
    return _flat(tokens), _Shown(order, feature[order])


def _flat(lists: pa.ListArray) -> _Texts:
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    return _Texts(lists.flatten(), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def _listed(column: pd.Series) -> _Texts:
    return _flat(pa.array([list(tokens) for tokens in column], type=pa.list_(pa.string())))


def _side_texts(promoted: pd.DataFrame, places: pd.Index[int]) -> tuple[list[list[float | None]], _Texts]:
    """Return weights and tokens of each feature's promoted and suppressed tokens in turn."""
    place = places.get_indexer(pd.Index(promoted["feature"]))
    side = pd.Index(SIDES).get_indexer(pd.Index(promoted["side"]))
    order = np.lexsort((promoted["rank"].to_numpy(), side, place))
    order = order[place[order] >= 0]
    group = len(SIDES) * place[order] + side[order]
    starts = np.searchsorted(group, np.arange(len(SIDES) * len(places) + 1))
    numbers = _numbers(promoted["weight"].to_numpy()[order])
    tokens = pa.array(promoted["token"].iloc[order], type=pa.string())
    return [numbers[start:end] for start, end in pairwise(starts)], _Texts(tokens, starts)


def _vocabulary(*tokens: pa.Array) -> pa.Array:
    """Return every token that the page shows, the most frequent first, equally frequent ones in order."""
    counted = pc.value_counts(pa.concat_arrays([part.cast(pa.large_string()) for part in tokens]))
    table = pa.table({"token": counted.field("values"), "n": counted.field("counts")})
    order = pc.sort_indices(table, sort_keys=[("n", "descending"), ("token", "ascending")])
    return table["token"].take(order).combine_chunks()


def _coded(texts: _Texts, vocabulary: pa.Array) -> list[str]:
    """Return each list of tokens as a text of as many characters."""
    codes = pc.index_in(texts.tokens.cast(pa.large_string()), vocabulary).to_numpy(zero_copy_only=False)
    points = codes.astype(np.uint32) + FIRST
    points += points >= BACKSLASH
    points += (points >= SURROGATES).astype(np.uint32) * (AFTER_SURROGATES - SURROGATES)
    return _cut(points.astype("<u4").tobytes().decode("utf-32-le"), texts.starts)


def _levels(contexts: pa.Table, shown: _Shown, maxima: Array, starts: Array) -> list[str]:
    """Return each context's activations as a text, one of ``LEVELS`` a token."""
    activations = contexts["activations"].take(pa.array(shown.rows)).combine_chunks().flatten().to_numpy()
    maximum = np.repeat(maxima[shown.places], np.diff(starts))
    top = len(LEVELS) - 1
    # A feature that never fires has the maximum 0, and a rounded activation may lie above its maximum.
    share = np.divide(activations, maximum, out=np.zeros(len(activations)), where=maximum > 0)
    level = np.ceil(top * share.clip(0, 1)).astype(np.uint8)
    return _cut(np.frombuffer(LEVELS.encode(), np.uint8)[level].tobytes().decode(), starts)


def _cut(text: str, starts: Array) -> list[str]:
    return [text[start:end] for start, end in pairwise(starts.tolist())]


def _context_columns(
    contexts: pa.Table, shown: _Shown, n_features: int, tokens: list[str], levels: list[str]
) -> dict[str, list[list[Any]]]:
    """Return the columns of each feature's contexts."""
    starts = np.searchsorted(shown.places, np.arange(n_features + 1))
    rows = contexts.select(["kind", "document", "position", "activation", "peak"]).take(pa.array(shown.rows))
    columns: dict[str, list[Any]] = {
        "kind": [KINDS.index(kind) for kind in rows["kind"].to_pylist()],
        "activation": _numbers(rows["activation"].to_numpy()),
        "tokens": tokens,
        "levels": levels,
    }
    columns |= {name: rows[name].to_pylist() for name in ("document", "position", "peak")}
    return {name: [values[a:b] for a, b in pairwise(starts.tolist())] for name, values in columns.items()}


def _table_columns(table: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of the page's table of features, except tokens, as JSON values."""
    names = [str(name).removeprefix("explanation_") for name in table if str(name).startswith("explanation_")]
    return {
        "features": table["feature"].astype(int).tolist(),
        "dead": table["dead"].astype(int).tolist(),
        "numbers": {name: _numbers(table[name].to_numpy(dtype=float)) for name in NUMBERS},
        "explainers": [
            {
                "name": name,
                "explanation": _strings(table[f"explanation_{name}"]),
                "status": _strings(table[f"status_{name}"]),
                "detection": _numbers(table[f"detection_{name}"].to_numpy(dtype=float)),
            }
            for name in names
        ],
    }


def _quality(quality: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measures, what is allowed of them, and which miss it; the infinite and the unknown are None."""
    known = {name: quality[name] is not None and math.isfinite(quality[name]) for name in MEASURES}
    measures = {name: quality[name] if known[name] else None for name in MEASURES}
    return measures | {name: quality[name] for name in ("bar", "missed", "passes")}


def _strings(column: pd.Series) -> list[str | None]:
    return [None if pd.isna(text) else text for text in column]


def _numbers(values: Array) -> list[float | None]:
    """Return four significant digits, and None for NaN and the infinite, which JSON lacks."""
    return [
        float(f"{value:.4g}") if finite else None
        for value, finite in zip(values.tolist(), np.isfinite(values), strict=True)
    ]


def _chunks(details: Mapping[str, list[Any]], n_features: int) -> Iterator[str]:
    for number, start in enumerate(range(0, n_features, CHUNK)):
        part = {name: values[start : start + CHUNK] for name, values in details.items()}
        yield f'<script type="text/plain" id="chunk-{number}">{encoded(part)}</script>'
