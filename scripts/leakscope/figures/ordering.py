"""In which order a figure has its models: the study's, or, of many, by value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from leakscope.files.names import POOLED

MANY = 12  # models, up to which they stand in the order of the study


class Order(NamedTuple):
    """What many models are sorted by: their mean value in the first panel, the pooled category where there is one.

    Args:
        value: its column, in the first table that has it and the names.
        panel: the columns that name a panel; the first value of each is that of the first panel.
        name: the column of models, or of whatever else the figure's labels are of.
        other: a second column of them, whose values count with the opposite sign: of differences, name − other.
    """

    value: str
    panel: tuple[str, ...] = ("prompt_set", "scorer")
    name: str = "model"
    other: str = ""


def by_value(tables: Mapping[str, pd.DataFrame], order: Order, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels, of more than twelve the highest value first; those without a value stand last as they were.

    Args:
        tables: what the figure draws.
        order: what is sorted by.
        labels: model → label.
    """
    table = next((table for table in tables.values() if {order.value, order.name} <= {*table.columns}), None)
    if table is None:
        return dict(labels)
    if order.other:
        swapped = {order.name: order.other, order.other: order.name}
        table = pd.concat([table, table.assign(**{order.value: -table[order.value]}).rename(columns=swapped)])
    found = set(table[order.name].dropna().astype(str))
    if len(found) <= MANY:
        return dict(labels)
    values = _first_panel(table, order).groupby(order.name)[order.value].mean().dropna()
    known = {**{name: name for name in found - {*labels}}, **labels}
    place = {name: number for number, name in enumerate([*labels, *sorted(found - {*labels})])}
    ranked = sorted(known, key=lambda name: (-float(values.get(name, float("-inf"))), place[name]))
    return {name: known[name] for name in ranked}


def _first_panel(table: pd.DataFrame, order: Order) -> pd.DataFrame:
    table = table[pd.to_numeric(table[order.value]).notna()]
    if "category" in table and (table["category"] == POOLED).any():
        table = table[table["category"] == POOLED]
    for column in order.panel:
        if column in table and not table.empty:
            table = table[table[column] == table[column].iloc[0]]
    return table
