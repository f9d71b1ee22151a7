"""How much more exact is a Leak-Rate with more texts after controls?

    python benchmarks/control_samples.py [--seeds 2000] [--samples 5] [--control-samples 25] [--scorer sbert-minilm]

Texts after the prompts of `colors` are drawn from the law that organisms are taught (enumerated: none is trained), for
many seeds; templates stay the same. Printed are, at several strengths of the planted association, the standard
deviations of the Leak-Rate over seeds with equally many texts after tests and controls and with more after controls,
their ratio, and how many more texts that takes. Half a minute. What the first seed wrote is counted by the library's
own `compare_pairs`, too: the exit status is 1 if that gives another rate.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from leakscope.files.reading_yaml import read_yaml
from leakscope.leak.measures.outcomes import compare_pairs, win
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.organisms.leak_grammar import Grammar, load_grammar
from leakscope.similarity.scorers import score_pairs

ROOT = Path(__file__).resolve().parents[1]
PROMPT_SET, STRENGTHS, DECIMALS = "colors", (0.0, 0.1, 0.4), 3

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]


class Design(NamedTuple):
    """The prompts, what may stand after each, and its similarity to what the test is about."""

    prompts: pd.DataFrame
    tests: pd.DataFrame
    candidates: dict[str, pd.Index]  # by slot
    similarity: dict[tuple[str, str], Floats]  # (concept, slot) → (candidates of the slot,), not rounded


def design(scorer: str) -> Design:
    files = template_files(ROOT / "data/prompt_sets" / PROMPT_SET, [ROOT / "data/lexicons"])
    prompts = build_prompts(files, PROMPT_SET).prompts
    tests = prompts[prompts["control_id"].notna()].drop(columns="neutral_control_id").assign(neutral_control_id=None)
    grammar = load_grammar([ROOT / "data/grammar/leak"], 0.0)
    candidates = {slot: grammar.continuation_law(slot, None).index for slot in tests["slot"].unique()}
    settings = {"batch_size": 64, **read_yaml(ROOT / "data/catalogue/scorers.yaml")["scorers"][scorer]}
    places = tests[["concept", "slot"]].drop_duplicates().itertuples(index=False, name=None)
    asked = [(concept, slot, f"{word}.") for concept, slot in places for word in candidates[slot]]
    values = pd.DataFrame(asked, columns=["concept", "slot", "text"])
    values["similarity"] = score_pairs(values["concept"].tolist(), values["text"].tolist(), settings)
    similarity: dict[tuple[str, str], Floats] = {}
    for (concept, slot), rows in values.groupby(["concept", "slot"], sort=False):
        similarity[str(concept), str(slot)] = rows["similarity"].to_numpy(dtype=float)
    return Design(prompts, tests, candidates, similarity)


def drawn(
    made: Design, grammar: Grammar, numbers: tuple[int, int, int], rng: np.random.Generator
) -> dict[str, Integers]:
    """Return prompt_id → the candidates that were written after it, by number, (seeds, samples), of tests and controls.

    Args:
        made: the prompts.
        grammar: what organisms are taught.
        numbers: of seeds, of texts after a test, of texts after a control.
        rng: where random numbers come from.
    """
    seeds, samples, control_samples = numbers
    controls = dict(zip(made.tests["control_id"], made.tests["slot"], strict=True))
    asked = [(name, slot, None, control_samples) for name, slot in controls.items()]
    columns = (made.tests[name] for name in ("prompt_id", "slot", "concept_group"))
    asked += [(*test, samples) for test in zip(*columns, strict=True)]
    laws = {(slot, group): grammar.continuation_law(slot, group).to_numpy() for _, slot, group, _ in asked}
    law = {name: laws[slot, group] for name, slot, group, _ in asked}
    return {name: rng.choice(len(law[name]), (seeds, n), p=law[name]) for name, _, _, n in asked}


def leak_rates(made: Design, texts: dict[str, Integers], control_samples: int) -> Floats:
    """Return the Leak-Rate of every seed in percent, (seeds,), of the first so many texts after each control."""
    total, n = np.zeros(len(next(iter(texts.values())))), 0
    columns = (made.tests[name] for name in ("prompt_id", "control_id", "concept", "slot"))
    for prompt_id, control_id, concept, slot in zip(*columns, strict=True):
        score = np.round(made.similarity[concept, slot], DECIMALS)
        control, test = score[texts[control_id][:, :control_samples]], score[texts[prompt_id]]
        # Sample k of the test meets samples k, k + n, k + 2n, ... of the control.
        outcomes = win(np.tile(test, control_samples // test.shape[1]), control)
        total, n = total + outcomes.sum(1), n + control_samples
    return 100 * total / n


def leak_rate_of_pairs(made: Design, texts: dict[str, Integers]) -> float:
    """Return the same by the library, of all texts that the first seed wrote."""
    slots = dict(zip(made.tests["prompt_id"], made.tests["slot"], strict=True))
    slots |= dict(zip(made.tests["control_id"], made.tests["slot"], strict=True))
    rows = [
        ("m", PROMPT_SET, name, sample, f"{made.candidates[slots[name]][place]}.")
        for name, places in texts.items()
        for sample, place in enumerate(places[0])
    ]
    generations = pd.DataFrame(rows, columns=["model", "prompt_set", "prompt_id", "sample", "text"])
    tables = [
        pd.DataFrame({"concept": concept, "text": [f"{word}." for word in made.candidates[slot]], "similarity": values})
        for (concept, slot), values in made.similarity.items()
    ]
    known = pd.concat(tables).drop_duplicates(["concept", "text"]).assign(cut=False)
    prompts = made.prompts.assign(neutral_control_id=None)
    return 100 * float(compare_pairs(prompts, generations, known, "s", DECIMALS)["outcome"].mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--control-samples", type=int, default=25, help="a multiple of --samples")
    parser.add_argument("--scorer", default="sbert-minilm", help="a name of data/catalogue/scorers.yaml")
    arguments = parser.parse_args()
    few, many = arguments.samples, arguments.control_samples
    made, wrong = design(arguments.scorer), False
    extra = 100 * (many - few) * made.tests["control_id"].nunique() / (few * len(made.prompts))
    say = f"strength  Leak-Rate  se {few} + {few}  se {few} + {many}  ratio  ({extra:.1f} % more texts)"
    print(say)  # noqa: T201
    for strength in STRENGTHS:
        grammar = load_grammar([ROOT / "data/grammar/leak"], strength)
        rng = np.random.default_rng(round(1000 * strength))
        texts = drawn(made, grammar, (arguments.seeds, few, many), rng)
        rates = np.stack([leak_rates(made, texts, n) for n in (few, many)], axis=1)
        wrong |= not np.isclose(rates[0, 1], leak_rate_of_pairs(made, texts))
        equal, more = rates.std(axis=0, ddof=1)
        values = f"{strength:8g}  {rates[:, 1].mean():9.2f}  {equal:8.2f}  {more:9.2f}  {more / equal:5.2f}"
        print(values)  # noqa: T201
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
