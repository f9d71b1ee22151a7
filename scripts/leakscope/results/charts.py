"""Vega-Lite specifications of charts that a browser draws."""

from __future__ import annotations

from typing import Any


def match_rate_chart() -> dict[str, Any]:
    """Return the chart of match rates by model, with intervals and the exact rates of organisms.

    Data set: ``rows`` (``rows.rate_rows``); a click on a point follows the row's ``href``. The page sets the order of
    models, the height of a row, and the colors ``soft``, ``warm`` and ``cool``.
    """
    scale = {"zero": False, "nice": True, "padding": 12}
    axis = {"tickCount": 8, "labelOverlap": "greedy", "labelSeparation": 8}
    x = {"type": "quantitative", "scale": scale, "axis": axis, "title": "match rate (%)"}
    y = {"field": "name", "type": "nominal", "title": None}
    organism = {"test": "datum.kind === 'organism'", "value": {"expr": "cool"}}
    kind = {"condition": organism, "value": {"expr": "warm"}}
    hover = [
        {"field": field, "title": title, **({"format": ".1f"} if field in ("rate", "truth") else {})}
        for field, title in (
            ("name", "model"),
            ("rate", "match rate (%)"),
            ("interval", "interval"),
            ("pairs", "pairs of texts"),
            ("truth", "exact rate (%)"),
            ("verdict", "verdict"),
        )
    ]
    shared = {"y": y, "color": kind, "href": {"field": "href"}, "tooltip": hover}
    chance = {
        "data": {"values": [{"chance": 50}]},
        "mark": {"type": "rule", "strokeDash": [4, 3], "color": {"expr": "soft"}},
        "encoding": {"x": {"field": "chance", "type": "quantitative"}},
    }
    truth = {
        "transform": [{"filter": "isValid(datum.truth)"}],
        "mark": {"type": "point", "shape": "diamond", "size": 230, "filled": False, "color": {"expr": "soft"}},
        "encoding": {"x": {**x, "field": "truth"}, "y": y, "tooltip": hover},
    }
    interval = {
        "mark": {"type": "rule", "strokeWidth": 2.5, "cursor": "pointer"},
        "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, **shared},
    }
    point = {
        "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1, "cursor": "pointer"},
        "encoding": {"x": {**x, "field": "rate"}, **shared},
    }
    return {
        "data": {"name": "rows"},
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": [chance, truth, interval, point],
    }
