"""Columns of tables of scores; separate from the code that computes them, which imports a model's code."""

from __future__ import annotations

GENERATOR_COLUMNS = ["tokens", "logprob", "log_odds", "logprob_first", "log_odds_first"]
VALIDATOR_COLUMNS = ["log_odds", "logprob_yes", "logprob_no"]
FORM_COLUMNS = ["item_id", "kind", "form_id", "style"]
SCORE_COLUMNS = [*FORM_COLUMNS, *dict.fromkeys(GENERATOR_COLUMNS + VALIDATOR_COLUMNS)]
