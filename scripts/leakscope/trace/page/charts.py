"""Charts of the page: specifications of Vega-Lite, in which the page replaces names such as ``@warm`` by colours."""

from __future__ import annotations

from collections.abc import Collection
from itertools import cycle
from typing import Any

SITES = ("concept", "between", "last", "all")
# Kind of a mitigation → its mark.
MITIGATIONS = {
    "prompt": "circle", "decoding": "square", "attention": "triangle-up", "steering": "diamond", "features": "cross",
    "tuning": "triangle-down",
}  # fmt: skip
HEIGHT = 230  # pixels
AUTOSIZE = {"type": "fit", "contains": "padding"}


def scatter_chart(link: str, title: str) -> dict[str, Any]:
    """Return a specification: a centred link against the centred leak, one point per pair, with the slope.

    It draws the data sets ``rows`` (pairs: ``link``, ``leak``, ``kind``, ``href`` and what hovering says) and
    ``slopes`` (``x, y`` at both ends of a line, ``of``); a click on a point follows its ``href``.

    Args:
        link: ``count`` or ``knows``.
        title: of the x-axis.
    """
    x = {"field": link, "type": "quantitative", "title": title}
    y = {"field": "leak", "type": "quantitative", "title": "leak (nats, centred)"}
    hover = [
        {"field": "pair", "title": "pair"},
        {"field": "kind", "title": "is"},
        {"field": link, "title": f"{link}, centred", "format": ".2f"},
        {"field": "leak", "title": "leak, centred", "format": ".2f"},
    ]
    shared = {"x": x, "y": y, "href": {"field": "href"}, "tooltip": hover}
    others = {
        "transform": [{"filter": "datum.kind !== 'associated'"}],
        "mark": {"type": "circle", "size": 18, "opacity": 0.45, "color": "@soft", "cursor": "pointer"},
        "encoding": shared,
    }
    own = {
        "transform": [{"filter": "datum.kind === 'associated'"}],
        "mark": {"type": "point", "shape": "triangle-up", "filled": True, "size": 46, "opacity": 0.9,
                 "color": "@warm", "cursor": "pointer"},
        "encoding": shared,
    }  # fmt: skip
    dashes = {"field": "of", "type": "nominal", "legend": None,
              "scale": {"domain": ["measured", "exact"], "range": [[1, 0], [5, 4]]}}  # fmt: skip
    slope = {
        "data": {"name": "slopes"},
        "mark": {"type": "line", "strokeWidth": 2, "color": "@ink", "clip": True},
        "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"},
                     "strokeDash": dashes},
    }  # fmt: skip
    return {
        "data": {"name": "rows"},
        "width": "container",
        "height": HEIGHT,
        "autosize": AUTOSIZE,
        "layer": [*_axes_through_zero(), others, own, slope],
    }


def patching_chart() -> dict[str, Any]:
    """Return a specification: the restored share by layer, one line with interval per site.

    It draws the data set ``curves``: ``site, layer, restored, low, high``.
    """
    x = {"field": "layer", "type": "quantitative", "title": "after layer", "axis": {"tickMinStep": 1},
         "scale": {"nice": False}}  # fmt: skip
    y = {"field": "restored", "type": "quantitative", "title": "restored share"}
    domain = list(SITES)
    legend = {"orient": "bottom", "symbolStrokeWidth": 2, "symbolOpacity": 1, "symbolType": "stroke"}
    color = {"field": "site", "type": "nominal", "title": None, "legend": legend,
             "scale": {"domain": domain, "range": ["@warm", "@soft", "@cool", "@ink"]}}  # fmt: skip
    dash = {"field": "site", "type": "nominal", "title": None, "legend": legend,
            "scale": {"domain": domain, "range": [[1, 0], [2, 2], [8, 3], [1, 4]]}}  # fmt: skip
    hover = [
        {"field": "site"},
        {"field": "layer"},
        {"field": "restored", "format": ".2f"},
        {"field": "interval"},
        {"field": "n_pairs", "title": "pairs"},
    ]
    band = {
        "mark": {"type": "area", "opacity": 0.18},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color},
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {"x": x, "y": y, "color": color, "strokeDash": dash},
    }
    point = {
        "mark": {"type": "circle", "size": 22, "opacity": 1},
        "encoding": {"x": x, "y": y, "color": color, "tooltip": hover},
    }
    return {
        "data": {"name": "curves"},
        "width": "container",
        "height": HEIGHT,
        "autosize": AUTOSIZE,
        "layer": [_rule("y", 0.0), _rule("y", 1.0), band, line, point],
    }


def removal_chart(tried: Collection[str]) -> dict[str, Any]:
    """Return a specification: leak left against use kept, one line over strengths per mitigation.

    It draws the data set ``points``: ``name, kind, strength, left, use_kept, cost, chosen``.

    Args:
        tried: kinds of mitigations in the data; those that leakscope does not ship share a mark.
    """
    kinds = [*(kind for kind in MITIGATIONS if kind in tried), *sorted(set(tried) - set(MITIGATIONS))]
    marks = {kind: MITIGATIONS.get(kind, "triangle-right") for kind in kinds}
    scale = {"zero": False, "nice": False, "padding": 12}
    x = {"field": "use_kept", "type": "quantitative", "title": "use kept (share)", "scale": scale,
         "axis": {"tickCount": 6}}  # fmt: skip
    y = {"field": "left", "type": "quantitative", "title": "leak left (share)"}
    hover = [
        {"field": "name", "title": "mitigation"},
        {"field": "strength", "format": ".3g"},
        {"field": "left", "title": "leak left", "format": ".2f"},
        {"field": "use_kept", "title": "use kept", "format": ".2f"},
        {"field": "cost", "title": "cost (% of perplexity)", "format": ".2f"},
    ]
    legend, colors = {"orient": "bottom", "columns": 3}, ["@warm", "@cool", "@ink", "@soft"]
    shades = [color for color, _ in zip(cycle(colors), kinds, strict=False)]
    color = {"field": "kind", "type": "nominal", "title": None, "legend": legend,
             "scale": {"domain": kinds, "range": shades}}  # fmt: skip
    shape = {"field": "kind", "type": "nominal", "title": None, "legend": legend,
             "scale": {"domain": kinds, "range": list(marks.values())}}  # fmt: skip
    line = {
        "mark": {"type": "line", "strokeWidth": 1.2, "opacity": 0.7},
        "encoding": {"x": x, "y": y, "color": color, "detail": {"field": "name"},
                     "order": {"field": "strength", "type": "quantitative"}},
    }  # fmt: skip
    point = {
        "mark": {"type": "point", "filled": True, "opacity": 1},
        "encoding": {"x": x, "y": y, "color": color, "shape": shape, "tooltip": hover,
                     "size": {"condition": {"test": "datum.chosen === 'yes'", "value": 110}, "value": 22}},
    }  # fmt: skip
    return {
        "data": {"name": "points"},
        "width": "container",
        "height": HEIGHT + 50,
        "autosize": AUTOSIZE,
        "layer": [_rule("y", 0.0), _rule("y", 1.0), _rule("x", 1.0), line, point],
    }


def _axes_through_zero() -> list[dict[str, Any]]:
    return [_rule("x", 0.0), _rule("y", 0.0)]


def _rule(channel: str, value: float) -> dict[str, Any]:
    return {
        "data": {"values": [{"at": value}]},
        "mark": {"type": "rule", "strokeDash": [4, 3], "color": "@soft"},
        "encoding": {channel: {"field": "at", "type": "quantitative"}},
    }
