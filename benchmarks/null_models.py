"""What does each measure say of models whose leakage is known, since their texts follow a rule?

    python benchmarks/null_models.py [--scorers static-wordllama bertscore-minilm lexical] [--write]

Some seconds on two cores. Prints the table of docs/null_models.md; with --write, puts it there. The exit status is 1
where a match rate is not what it must be.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from leakscope.files.reading_yaml import read_yaml
from leakscope.leak.measures.null_models import NULL_MODELS, describe, null_generations, null_measures, some_prompts
from leakscope.leak.prompts import build_prompts, template_files

ROOT = Path(__file__).resolve().parents[1]
SCORERS = ["sbert-minilm"]
PAGE = ROOT / "docs/null_models.md"
BEGIN, END = "<!-- measured: benchmarks/null_models.py --write -->\n", "<!-- end -->\n"
DRAWN = ("blind", "length of the name")  # their match rates are 50 on average, or not one number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorers", nargs="+", default=SCORERS, help="names of data/catalogue/scorers.yaml")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    files = template_files(ROOT / "data/prompt_sets/colors", [ROOT / "data/lexicons"])
    prompts = some_prompts(build_prompts(files, "colors").prompts)
    known = read_yaml(ROOT / "data/catalogue/scorers.yaml")["scorers"]
    scorers = {name: {"batch_size": 64, **known[name]} for name in arguments.scorers}
    measures = null_measures(prompts, null_generations(prompts), scorers)
    text = describe(measures)
    print(text)  # noqa: T201
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}{rest[rest.index(END) :]}", encoding="utf-8")
    exact = measures[~measures["model"].isin(DRAWN)]
    wrong = exact[exact["match_rate"] != exact["model"].map(lambda name: NULL_MODELS[name].match)]
    return int(len(wrong) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
