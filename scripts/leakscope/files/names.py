"""Names with a fixed meaning in every table, and the columns that hold names."""

POOLED = "all"
"""Name of the rows that pool all categories, parts or kinds of a table."""

NOT_GROUPS = ("several", "none")
"""Values for a text that names several groups of concepts, or none; no group may have these names."""

TEXTS = (
    "model", "model_a", "model_b", "removed_by", "base", "aligned", "prompt_set", "scorer", "scorer_a", "scorer_b",
    "judge", "judge_model", "rater", "rater_a", "rater_b",
    "size",
    "prompt_id", "control_id", "neutral_control_id", "category", "template_id", "slot", "prompt", "text",
    "concept", "concept_group", "generated_group", "expected", "candidate", "associate",
    "axis", "subject", "group", "group_base", "group_aligned", "language", "name", "lexicon", "source",
    "task", "item_id", "question", "form", "form_a", "form_b", "style", "method", "split",
    "dictionary", "other", "entry", "label", "contrast", "item", "explainer", "token", "top", "steering",
    "without", "with", "benchmark", "part", "bias_type", "subset", "mitigation", "variant", "chosen_at",
)  # fmt: skip
"""Columns of CSV files that hold names or texts; their values are never parsed as numbers, dates, booleans or missing
values."""
