"""Sites and columns of what patching writes: names alone, for what reads its tables where no model is."""

CONCEPT, BETWEEN, LAST, ALL = "concept", "between", "last", "all"
SITES = (CONCEPT, BETWEEN, LAST, ALL)
PATCHED_COLUMNS = [
    "model", "prompt_set", "category", "template_id", "concept", "concept_group", "other", "other_group", "aligned",
    "site", "layer", "m_patched", "m_concept", "m_other",
]  # fmt: skip
COUNT_COLUMNS = ["template_id", "n_possible", "n_not_told_apart", "n_at_end", "n_pairs", "n_aligned"]
ABLATED_COLUMNS = [
    "model", "prompt_set", "dictionary", "layer", "slot", "concept_group", "feature", "activation",
    "activation_control", "associate", "shift", "without", "effect",
]  # fmt: skip
