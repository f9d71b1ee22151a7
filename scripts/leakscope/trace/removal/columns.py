"""Columns of the mitigation tables: one row per prompt in files, one per strength in ``mitigations.csv``."""

NONE = "none"  # the mitigation that changes nothing
SELECTION, EVALUATION = "selection", "evaluation"
SPLITS = (SELECTION, EVALUATION)
LEAK, USE = "leak", "use"
EXACT = "leak_exact"  # exact leak of an organism

# What was changed, and how strongly. ``target_cost``: what the strength was found for, in percent of perplexity;
# ``share``: of that strength; ``cost``: on neutral texts that chose nothing.
AT_STRENGTH = ["mitigation", "kind", "variant", "strength", "target_cost", "share", "reached", "cost_selection", "cost"]
# ``value``: of a leak in nats, of a use 1 where the right answer is first and else 0.
MEASURED = [
    "model", "prompt_set", *AT_STRENGTH,
    "split", "measure", "prompt_id", "template_id", "concept_group", "value",
]  # fmt: skip
