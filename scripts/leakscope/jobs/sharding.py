"""Dividing a prompt set over several jobs, so that a large model can use several GPUs.

Shards consist of whole batches of an unsharded job. So each prompt stays in the same batch, and the number of shards
changes no result.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from leakscope.errors import InputError

# pandas is imported inside functions: Snakemake needs the number of shards each time it builds its graph.
if TYPE_CHECKING:
    import pandas as pd

# Prompts per job with `shards: auto`.
PROMPTS_PER_SHARD = 4096

Item = TypeVar("Item", bound=Hashable)


class Shard(NamedTuple):
    """One of ``total`` parts of a prompt set; ``number`` counts from 1."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse ``3-of-8``, the form in file names."""
        number, total = map(int, text.split("-of-"))
        return cls(number, total)

    def __str__(self) -> str:
        return f"{self.number}-of-{self.total}"

    def take(self, order: Sequence[Item], batch_size: int) -> set[Item]:
        """Return this shard's items: every ``total``-th batch of ``order``.

        Batches are dealt out in turns, because the first ones hold the longest prompts.

        Args:
            order: distinct items in processing order.
            batch_size: items per batch.
        """
        return {item for place, item in enumerate(order) if place // batch_size % self.total == self.number - 1}


WHOLE = Shard(1, 1)


def shards_of(total: int) -> list[Shard]:
    """Return all parts of a prompt set that is divided into ``total``."""
    return [Shard(number, total) for number in range(1, total + 1)]


def count_shards(shards: int | str, n_prompts: int, batch_size: int) -> int:
    """Return the number of shards of a prompt set: as configured, but each has at least one batch.

    Args:
        shards: a number, or ``auto``: one shard per ``PROMPTS_PER_SHARD`` prompts.
        n_prompts: number of prompts in the set.
        batch_size: prompts per batch.
    """
    wanted = shards if isinstance(shards, int) else math.ceil(n_prompts / PROMPTS_PER_SHARD)
    return max(1, min(wanted, math.ceil(n_prompts / batch_size)))


def longest_first(ids: Mapping[Item, list[int]]) -> list[Item]:
    """Return prompts in the order of generation: by descending length in tokens, then by token ids."""
    return sorted(ids, key=lambda prompt: (-len(ids[prompt]), ids[prompt]))


def gather_rows(shards: Sequence[pd.DataFrame], prompt_ids: Sequence[str]) -> pd.DataFrame:
    """Return the rows of all shards in the order of ``prompt_ids``, as from one job.

    Args:
        shards: tables with ``prompt_id``; all rows of a prompt are in one of them.
        prompt_ids: the prompts, each with at least one row.

    Raises:
        InputError: a prompt has no row.
    """
    import pandas as pd

    rows = pd.concat([shard for shard in shards if len(shard)] or shards[:1], ignore_index=True)
    lacking = sorted(set(prompt_ids) - set(rows["prompt_id"]))
    if lacking:
        raise InputError(f"shards: got no row for prompt {lacking[0]!r}; allowed: shards of these prompts.")
    place = rows["prompt_id"].map({prompt: place for place, prompt in enumerate(prompt_ids)})
    return rows.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def gather_summaries(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of the shards' summaries (see ``store.Recalled.summary``)."""
    counts = [key for key in ("total", "computed", "reused", "unfinished") if key in summaries[0]]
    sums = {key: sum(summary[key] for summary in summaries) for key in counts}
    return {**sums, "store": summaries[0]["store"]}
