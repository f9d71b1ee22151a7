"""How much faster does leakscope write than the obvious ways, and what limits it further?

    python benchmarks/generation.py [--models organism,qwen-0.5b,...] [--install-lm-eval] [--markdown] [--quick]
    python benchmarks/generation.py --growth [--markdown] [--quick]

About ten minutes on two cores. Prints one table a model: the time of a text in each of four ways, against ours in the
same run, each in a process of its own, with the same weights, prompts of the same set and ten new tokens a text.

* "one by one": the paper's way, a call of ``model.generate`` for each prompt and sample;
* "batched": ``model.generate`` on left-padded batches of 64 prompts with all samples of each, in the order given;
* "lm-eval": lm-evaluation-harness, 64 requests to a batch, run by the interpreter that --lm-eval names or by that of
  benchmarks/.venv-lm-eval, which --install-lm-eval makes;
* "ours": leakscope's, in batches of 64 prompts.

The slow ways write fewer texts, so the time of one is what is compared; every way's prompts are spread evenly over the
lengths of all. The Qwen2.5 shapes have random weights, with which samples of a prompt differ from their first token on.
Models that need a GPU are left out where there is none.

With --growth: what ours costs with 76, 760 and 7,600 distinct prompts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import ROOT, WorkerError, disturbed, in_own_process, machine, n_cores, note, say, spread, table

N_SAMPLES = 5
AT_ONCE = 64
LM_EVAL = "lm-eval[hf]==0.4.13"
LM_EVAL_VENV = Path(__file__).resolve().parent / ".venv-lm-eval"
HEADER = ["", "prompts", "texts", "tokens each", "ms a text", "time, ours = 1", "MB loaded", "MB at most"]
GROWTH_HEADER = ["prompts", "texts", "tokens each", "seconds", "ms a text", "MB loaded", "MB at most"]


class Case(NamedTuple):
    """A model, where it runs, and with how many prompts in each way; of several rounds the median counts."""

    name: str
    shape: str
    device: str
    dtype: str
    threads: int
    rounds: int
    n_prompts: Mapping[str, int]


SMALL = {"one by one": 32, "batched": 256, "lm-eval": 256, "ours": 768}
LARGE = {"one by one": 4, "batched": 64, "lm-eval": 64, "ours": 128}
QUICK = {"one by one": 1, "batched": 6, "lm-eval": 6, "ours": 12}
GROWTH, QUICK_GROWTH = (76, 760, 7600), (8, 76, 760)
CASES = [
    Case("organism", "organism", "cpu", "float32", 1, 3, SMALL),  # one thread, as the workflow runs it
    Case("qwen-0.5b", "qwen-0.5b", "cpu", "float32", n_cores(), 1, LARGE),
    Case("qwen-0.5b-gpu", "qwen-0.5b", "cuda", "bfloat16", n_cores(), 3, SMALL),
    Case("qwen-7b", "qwen-7b", "cuda", "bfloat16", n_cores(), 3, SMALL),
]


def compare(case: Case, lm_eval: Path | None, *, markdown: bool) -> None:
    """Measure all ways with one model and print what came out."""
    with tempfile.TemporaryDirectory() as folder:
        made = make(case, folder, growing=False)
        say(f"\n{case.name}: {made.get('missing') or made['origin']}")
        if "missing" in made:
            return
        say(f"{case.dtype} on {case.device}, {case.threads} thread(s), prompts of {span(made['lengths'])} tokens\n")
        pythons = {way: lm_eval if way == "lm-eval" else Path(sys.executable) for way in case.n_prompts}
        measured, remarks = {}, []
        for way, python in pythons.items():
            if python is None:
                remarks.append("lm-eval is not installed: --install-lm-eval")
                continue
            try:
                measured[way] = write(case, folder, way, choose(made["lengths"], case.n_prompts[way]), python)
            except WorkerError as error:
                if way != "lm-eval":
                    raise
                remarks.append(str(error))
        say(table(HEADER, rows(case, measured), markdown=markdown))
        remarks += disturbed({way: one["others"] for way, one in measured.items()})
        say("\n" + "\n\n".join([versions(measured), *remarks, *limits(case, measured["ours"])]))


def grow(case: Case, *, sizes: Sequence[int], markdown: bool) -> None:
    """Measure ours with more and more prompts and print what came out."""
    with tempfile.TemporaryDirectory() as folder:
        made = make(case, folder, growing=True)
        say(f"\nours, {case.name}: {made['origin']}, {case.threads} thread(s)\n")
        measured = [write(case, folder, "ours", range(n_prompts), Path(sys.executable)) for n_prompts in sizes]
    cells = [[f"{n}", *times(one, with_seconds=True), *memory(one)] for n, one in zip(sizes, measured, strict=True)]
    say(table(GROWTH_HEADER, cells, markdown=markdown))
    for remark in disturbed({f"{n} prompts": one["others"] for n, one in zip(sizes, measured, strict=True)}):
        say(f"\n{remark}")


def make(case: Case, folder: str, *, growing: bool) -> dict[str, Any]:
    """Let a process save the model of a case and its prompts."""
    note(f"{case.name}: making the model")
    arguments = {"shape": case.shape, "folder": folder, "device": case.device, "dtype": case.dtype, "growing": growing}
    return in_own_process("generation_models:make_model", arguments, threads=n_cores())


def write(case: Case, folder: str, way: str, chosen: Sequence[int], python: Path) -> dict[str, Any]:
    """Let a process write in one way."""
    note(f"{case.name}: {way}, {len(chosen)} prompts")
    arguments = {
        "way": way,
        "setting": {"folder": folder, "device": case.device, "dtype": case.dtype, "at_once": AT_ONCE},
        "chosen": list(chosen),
        "n_samples": N_SAMPLES,
        "threads": case.threads,
        "rounds": case.rounds,
    }
    measured = in_own_process("generation_ways:measure_way", arguments, threads=case.threads, python=python)
    return {**measured, "n_prompts": len(chosen)}


def choose(lengths: Sequence[int], n: int) -> list[int]:
    """Return the numbers of ``n`` prompts spread evenly over the lengths, in the order of the set."""
    return sorted(spread(sorted(range(len(lengths)), key=lambda number: lengths[number]), n))


def rows(case: Case, measured: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return the table's rows."""
    of_ours = per_text(measured["ours"])
    return [
        [way, f"{one['n_prompts']}", *times(one), f"{per_text(one) / of_ours:.1f}", *memory(one)]
        for way, one in measured.items()
    ]


def per_text(measured: Mapping[str, Any]) -> float:
    """Return the seconds of a text."""
    return float(measured["seconds"] / measured["n_texts"])


def times(measured: Mapping[str, Any], *, with_seconds: bool = False) -> list[str]:
    """Return the cells of what was written in which time."""
    n_texts = measured["n_texts"]
    seconds = [f"{measured['seconds']:.1f}"] if with_seconds else []
    return [f"{n_texts}", f"{measured['n_tokens'] / n_texts:.2f}", *seconds, f"{1000 * per_text(measured):.2f}"]


def memory(measured: Mapping[str, Any]) -> list[str]:
    """Return the cells of memory."""
    return [f"{measured['loaded_mb']:.0f}", f"{measured['peak_mb']:.0f}"]


def span(lengths: Sequence[int]) -> str:
    """Return "shortest to longest"."""
    return f"{min(lengths)} to {max(lengths)}"


def versions(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a line of what ran; lm-eval has an environment of its own."""
    return "; ".join(f"{way}: {measured[way]['versions']}" for way in ("lm-eval", "ours") if way in measured)


def limits(case: Case, ours: Mapping[str, Any]) -> list[str]:
    """Return sentences on how near ours comes to what the machine's matrix products allow.

    The least: 2 FLOP for each weight of a matrix and each position that must pass it, every distinct beginning of a
    text once, logits only where a token is drawn. Attention itself and drawing are not counted.
    """
    note(f"{case.name}: rate of matrix products")
    n_rows = AT_ONCE * N_SAMPLES
    shapes = {part: (n_rows, *widths) for part, widths in ours["widths"].items()}
    arguments = {"shapes": shapes, "device": case.device, "dtype": case.dtype, "threads": case.threads}
    rates = in_own_process("generation_ways:product_rates", arguments, threads=case.threads)
    flop = {part: 2 * ours["weights"][part] * ours["fewest"][part] for part in rates}
    seconds = sum(flop[part] / rates[part] for part in rates)
    told = ", ".join(f"{rates[part] / 1e9:.0f} GFLOP/s in the shape of the {part}" for part in rates)
    fewest = " and ".join(f"{ours['fewest'][part]} positions through the {part}" for part in rates)
    passed = " and ".join(f"{ours['positions'][part]}" for part in rates)
    return [
        f"What limits ours: products of matrices with {n_rows} rows run here at {told}.",
        f"These texts need at least {fewest}: {sum(flop.values()) / 1e12:.3g} TFLOP, {seconds:.3g} s at that rate. "
        f"Ours took {ours['seconds']:.3g} s, so it reaches {100 * seconds / ours['seconds']:.0f} % of the rate; "
        f"it passed {passed} positions, padding included.",
    ]


def lm_eval_python(given: Path | None, *, install: bool) -> Path | None:
    """Return the interpreter that has lm-eval, None if there is none."""
    own = LM_EVAL_VENV / "bin/python"
    if given is None and install and not own.exists():
        note(f"installing {LM_EVAL} into {LM_EVAL_VENV.relative_to(ROOT)}")
        subprocess.run([sys.executable, "-m", "venv", str(LM_EVAL_VENV)], check=True)
        pip = [str(own), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        # Our constraints: the same torch and transformers as ours runs with.
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), LM_EVAL], check=True)
    return given or (own if own.exists() else None)


def main() -> int:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(names), help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--lm-eval", type=Path, help="an interpreter that has lm-eval")
    parser.add_argument("--install-lm-eval", action="store_true", help=f"install {LM_EVAL} where it is not yet")
    parser.add_argument("--growth", action="store_true", help="only ours, with more and more prompts")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--quick", action="store_true", help="a few prompts: to see that it works, not how fast")
    arguments = parser.parse_args()
    wanted = arguments.models.split(",")
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"--models: got {', '.join(unknown)}; allowed: {', '.join(names)}")
    say(f"{machine()}; {N_SAMPLES} samples a prompt")
    if arguments.growth:
        grow(CASES[0], sizes=QUICK_GROWTH if arguments.quick else GROWTH, markdown=arguments.markdown)
        return 0
    python = lm_eval_python(arguments.lm_eval, install=arguments.install_lm_eval)
    for case in CASES:
        if case.name in wanted:
            shown = case._replace(n_prompts=QUICK, rounds=1) if arguments.quick else case
            compare(shown, python, markdown=arguments.markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
