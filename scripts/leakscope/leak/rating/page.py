"""The match test for people: a page that asks item by item, and a sheet as an alternative.

Neither shows which model wrote a text, or which text belongs to which concept. On the page, the order of items, texts
and concepts depends on the rater's name and the item; in the sheet, only on the item.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Hashable, Mapping
from pathlib import Path

import pandas as pd

from leakscope.leak.rating.ratings import sheet_orders
from leakscope.web.pages import encoded, page, write_page

TEMPLATE = Path(__file__).resolve().parents[4] / "report" / "rate.template.html"
SHEET_COLUMNS = ["item_id", "first_concept", "second_concept", "first_text", "second_text", "answer"]


def sheet(items: pd.DataFrame) -> pd.DataFrame:
    """Return ``SHEET_COLUMNS``, one row per item, ``answer`` empty, in an order that is unrelated to models.

    Which text belongs to ``first_concept``: ``first``, ``second`` or ``cannot_tell``?

    Args:
        items: ``items.ITEM_COLUMNS``.
    """
    rows = []
    for item in items.sort_values("item_id").to_dict("records"):
        orders = sheet_orders(item["item_id"])
        concepts, texts = _in_order(item, "concept", orders["concept_order"]), _in_order(item, "text", orders["order"])
        rows.append((item["item_id"], *concepts, *texts))
    return pd.DataFrame(rows, columns=SHEET_COLUMNS[:-1]).assign(answer="")


def _in_order(item: Mapping[Hashable, str], what: str, order: str) -> list[str]:
    return [item[f"{what}_{place}"] for place in order]


def write_rating_page(items: pd.DataFrame, path: Path, *, study: str, template: Path = TEMPLATE) -> None:
    """Write the page, whole or not at all; the same items give the same bytes.

    Args:
        items: ``items.ITEM_COLUMNS``.
        path: of the page; its folder is made.
        study: name in the heading.
        template: the page without its data; its folder has the parts that all pages share.
    """
    shown = items.sort_values("item_id")
    # A browser stores answers per sample: ids of another sample have no meaning here.
    sample = hashlib.sha256("".join(shown["item_id"]).encode()).hexdigest()[:8]
    pairs = {name: shown[[f"{name}_1", f"{name}_2"]].to_numpy().tolist() for name in ("concept", "text")}
    payload = {"study": study, "sample": sample, "items": shown["item_id"].tolist(), **pairs}
    write_page(path, page(template, title=html.escape(study), payload=encoded(payload)))
