"""Jobs of one model behind a server: they take turns, so that together they keep to its requests a minute, and to what
the study may cost.
"""

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

# Where jobs that ask a server leave their summaries, in a study's results.
PAID = ("generations", "candidates", "ground/scores", "validate/scores")
# And where judges do, each under its own name; a summary says which model it is.
JUDGED = "rating/judged"


@contextmanager
def open_budget(name: str, asking: Mapping[str, Any], store: Path) -> Iterator[Budget]:
    """Wait until no other job asks a model's server, and yield what all of them may still cost.

    What this job's own requests have cost it finds out itself: Snakemake has removed its summaries.

    Args:
        name: the model's name in the study.
        asking: ``prices`` and ``max_cost`` of its entry, and ``results``, the folder of the study's.
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
    """Wait until no other job asks a model's server, and yield what asks it for log-probabilities.

    Args:
        name: the model's name in the study.
        server: its ``base_url``, what it calls the ``model``, and ``extra_body``, further keys of each request.
        asking: as of ``open_budget``, and ``requests``: how often and how patiently it is asked.
        store: the folder of all stores.
    """
    with open_budget(name, asking, store) as budget:
        opened = LanguageServer(server["base_url"], PATH, server["model"], **asking["requests"])
        yield TextScorer(opened, budget, f"models.{name}.logprobs", extra_body=server["extra_body"], store=store)


def _summaries(results: Path, name: str) -> list[dict[str, Any]]:
    of_jobs = [read_manifest(path) for kind in PAID for path in sorted((results / kind / name).glob("*.json"))]
    of_judges = [read_manifest(path) for path in sorted((results / JUDGED).glob("*.json"))]
    return of_jobs + [summary for summary in of_judges if summary["model"] == name]
