"""Dividing a prompt set over several jobs, so that a large model's work spreads over GPUs.

Shards are whole batches of the one order in which a job without shards would work. So each prompt keeps its company,
and the number of shards changes no result.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from leakscope.errors import InputError

# pandas is imported where it is used: Snakemake asks for the number of shards each time it builds its graph.
if TYPE_CHECKING:
    import pandas as pd

# What a job is given where the configuration says `shards: auto`.
PROMPTS_PER_SHARD = 4096

Item = TypeVar("Item", bound=Hashable)


class Shard(NamedTuple):
    """One of ``total`` parts of a prompt set; ``number`` counts from 1."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3-of-8``, as it stands in file names."""
        number, total = map(int, text.split("-of-"))
        return cls(number, total)

    def __str__(self) -> str:
        return f"{self.number}-of-{self.total}"

    def take(self, order: Sequence[Item], batch_size: int) -> set[Item]:
        """Return this shard's items: every ``total``-th of the batches that ``order`` is cut into.

        Batches are dealt out in turns, since those at the beginning hold the longest prompts.

        Args:
            order: distinct items in the order in which they are worked on.
            batch_size: items to a batch.
        """
        return {item for place, item in enumerate(order) if place // batch_size % self.total == self.number - 1}


WHOLE = Shard(1, 1)


def shards_of(total: int) -> list[Shard]:
    """Return all parts of a prompt set that is divided into ``total``."""
    return [Shard(number, total) for number in range(1, total + 1)]


def count_shards(shards: int | str, n_prompts: int, batch_size: int) -> int:
    """Return into how many parts a prompt set is divided: as many as asked for, but none without a batch.

    Args:
        shards: a number, or ``auto``: one for every ``PROMPTS_PER_SHARD`` prompts.
        n_prompts: of the set.
        batch_size: prompts to a batch.
    """
    wanted = shards if isinstance(shards, int) else math.ceil(n_prompts / PROMPTS_PER_SHARD)
    return max(1, min(wanted, math.ceil(n_prompts / batch_size)))


def longest_first(ids: Mapping[Item, list[int]]) -> list[Item]:
    """Return prompts in the order in which texts are written: by descending length, then by token ids."""
    return sorted(ids, key=lambda prompt: (-len(ids[prompt]), ids[prompt]))


def gather_rows(shards: Sequence[pd.DataFrame], prompt_ids: Sequence[str]) -> pd.DataFrame:
    """Return the rows of all shards in the order of ``prompt_ids``, as one job would have written them.

    Args:
        shards: tables with ``prompt_id``; all rows of a prompt are in one of them.
        prompt_ids: of the prompts that have rows.

    Raises:
        InputError: a prompt has none.
    """
    import pandas as pd

    rows = pd.concat([shard for shard in shards if len(shard)] or shards[:1], ignore_index=True)
    lacking = sorted(set(prompt_ids) - set(rows["prompt_id"]))
    if lacking:
        raise InputError(f"shards: got no row for prompt {lacking[0]!r}; allowed: shards of these prompts.")
    place = rows["prompt_id"].map({prompt: place for place, prompt in enumerate(prompt_ids)})
    return rows.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def gather_summaries(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what one job would have said of its work (see ``store.Recalled.summary``)."""
    counts = [key for key in ("total", "computed", "reused", "unfinished") if key in summaries[0]]
    sums = {key: sum(summary[key] for summary in summaries) for key in counts}
    return {**sums, "store": summaries[0]["store"]}
