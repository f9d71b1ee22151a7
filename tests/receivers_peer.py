"""Run by an interpreter that has inspect_ai: reads a log by its own code, and says what is in it as JSON.

``python receivers_peer.py <log>``
"""

from __future__ import annotations

import json
import sys

from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries

log = read_eval_log(sys.argv[1])
samples = log.samples or []
said = {
    "status": log.status,
    "leakscope": (log.eval.metadata or {}).get("leakscope"),
    "scores": [score.name for score in (log.results.scores if log.results else [])],
    "summaries": len(read_eval_log_sample_summaries(sys.argv[1])),
    "texts": [[sample.id, sample.epoch, sample.input, sample.output.completion] for sample in samples],
    "values": [{name: score.value for name, score in (sample.scores or {}).items()} for sample in samples],
}
sys.stdout.write(json.dumps(said) + "\n")
