"""Order of models in a figure: the study's, or by value if there are many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from leakscope.files.names import POOLED

MANY = 12  # models; up to this number they are in the order of the study


class Order(NamedTuple):
    """Sort key of many models: their mean value in the first panel, in the pooled category where there is one.

    Args:
        value: column of the value, in the first table that has this column and the names.
        panel: the columns that name a panel; the first panel has the first value of each.
        name: the column of models, or of other names in the figure's labels.
        other: a second column of names, whose values count with the opposite sign (differences name − other).
    """

    value: str
    panel: tuple[str, ...] = ("prompt_set", "scorer")
    name: str = "model"
    other: str = ""


def by_value(tables: Mapping[str, pd.DataFrame], order: Order, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels; if there are more than twelve, highest value first, names without a value last.

    Args:
        tables: of the figure.
        order: sort key.
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
