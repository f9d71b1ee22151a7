"""Write the frozen tables of the grammar part ``leak`` from the prompt sets: ``make grammar``.

Not a rule: an edited prompt must not retrain every organism. Run it when the prompt sets themselves change for good.
"""

from pathlib import Path

from leakscope.grammar_freeze import expand_facts, freeze
from leakscope.prompts import build_prompts

PROMPT_SETS = ("colors", "associations")
LEXICONS = Path("data/lexicons")
PART = Path("data/grammar/leak")

if __name__ == "__main__":
    built = {name: build_prompts(Path("data/prompt_sets") / name, LEXICONS, name) for name in PROMPT_SETS}
    freeze(built, expand_facts(PART / "facts.yaml", LEXICONS), PART)
