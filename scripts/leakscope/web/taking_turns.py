"""Jobs of one served model take turns, so that together they keep to its requests per minute and the study's maximum
cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leakscope.storage.manifests import read_manifest
from leakscope.storage.store import turn
from leakscope.web.asking import LanguageServer
from leakscope.web.scoring import PATH, TextScorer
from leakscope.web.spending import Budget, Prices

# Where jobs that use a server write their summaries, in a study's results.
PAID = ("generations", "candidates", "ground/scores", "validate/scores")
# Where judges write theirs, each under its own name; a summary names the model.
JUDGED = "rating/judged"


@contextmanager
def open_budget(name: str, asking: Mapping[str, Any], store: Path) -> Iterator[Budget]:
    """Wait until no other job uses a model's server, and yield the remaining budget.

    The job counts its own earlier requests from the store: Snakemake has removed its summaries.

    Args:
        name: the model's name in the study.
        asking: ``prices`` and ``max_cost`` of its entry, and ``results``, the folder of the study's results.
        store: the folder of all stores, where the turns are kept.
    """
    prices = Prices(**asking["prices"]) if asking["prices"] else None
    with turn(store, f"served-{name}"):
        budget = Budget(prices, asking["max_cost"], name)
        for summary in _summaries(Path(asking["results"]), name):
            tokens = summary.get("tokens", {}).values()
            if tokens and None not in tokens:
                budget.pay(*tokens)
        yield budget


@contextmanager
def open_scorer(name: str, server: Mapping[str, Any], asking: Mapping[str, Any], store: Path) -> Iterator[TextScorer]:
    """Wait until no other job uses a model's server, and yield its scorer of log-probabilities.

    Args:
        name: the model's name in the study.
        server: its ``base_url``, its name of the ``model``, and ``extra_body``, additional keys of each request.
        asking: as for ``open_budget``, and ``requests``: the request limits.
        store: the folder of all stores.
    """
    with open_budget(name, asking, store) as budget:
        opened = LanguageServer(server["base_url"], PATH, server["model"], **asking["requests"])
        yield TextScorer(opened, budget, f"models.{name}.logprobs", extra_body=server["extra_body"], store=store)


def _summaries(results: Path, name: str) -> list[dict[str, Any]]:
    of_jobs = [read_manifest(path) for kind in PAID for path in sorted((results / kind / name).glob("*.json"))]
    of_judges = [read_manifest(path) for path in sorted((results / JUDGED).glob("*.json"))]
    return of_jobs + [summary for summary in of_judges if summary["model"] == name]
