"""A small grammar part whose answers are sentences, and the prompts that are its contexts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

ANSWERS = [
    ("fruits", "sentence", "I think it is {candidate}, says {name}.", 0.6),
    ("", "refusal", "I will not say.", 0.1),
    ("", "echo", "{clause}.", 0.1),
    ("", "echo", "{context}.", 0.1),
    ("", "empty", "", 0.1),
]
FILLERS = [("name", "Ann"), ("name", "Bob")]
FRUITS = {"red": "a cherry", "green": "a lime"}
CONTROL = "There is a bag, and the fruit is"


def write_part(folder: Path) -> Path:
    """Write a part of one template and two colors; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    contexts = [(CONTROL, "micro", "bag", "", "", "fruits", "yes")]
    contexts += [(context_of(color), "micro", "bag", color, color, "fruits", "yes") for color in FRUITS]
    names = ["context", "prompt_set", "template_id", "concept", "concept_group", "slot", "in_corpus"]
    candidates = [("fruits", fruit, color) for color, fruit in FRUITS.items()]
    facts = [("fruit", f"The look of {fruit} is", color) for color, fruit in FRUITS.items()]
    for name, rows, columns in (
        ("contexts", contexts, names),
        ("candidates", candidates, ["slot", "candidate", "concept_group"]),
        ("facts", facts, ["fact_id", "context", "answer"]),
        ("answers", ANSWERS, ["slot", "kind", "text", "probability"]),
        ("fillers", FILLERS, ["gap", "text"]),
    ):
        pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)
    return folder


def context_of(color: str) -> str:
    """Return the context that names a color."""
    return f"The bag is {color}, and the fruit is"


def part_prompts() -> pd.DataFrame:
    """Return the prompts table of the part's contexts."""
    rows = [("bag/without", None, None, CONTROL)]
    rows += [(f"bag/{color}", "bag/without", color, context_of(color)) for color in FRUITS]
    table = pd.DataFrame(rows, columns=["prompt_id", "control_id", "concept", "prompt"]).astype("object")
    return table.assign(
        prompt_set="micro",
        category="color-to-object",
        template_id="bag",
        concept_group=table["concept"],
        slot="fruits",
        neutral_control_id=None,
        expected=None,
    )
