"""How much faster is leakscope than the obvious ways with a real model, and do they say the same?

    python benchmarks/real_model.py --model FOLDER [--device cuda] [--gguf FILE] [--equality] [--quick] ...

Prompts of the set ``colors`` as plain completion (or with --chat), float32. Ways take turns in one process, and their
times of the same round are compared; the median ratio is shown, and the lowest and highest. CPU time tells more than
time where other processes take the machine; measure with one thread there, since two wait for each other.

* Texts: ten tokens, five samples a prompt. "batched": ``model.generate`` on left-padded batches of 64 prompts with all
  samples of each. "ours": leakscope's, in batches of 64 prompts.
* Candidates of a prompt's slot: "one a forward": prompt and candidate, batch 1, log-softmax at all places, as in
  published code; "one batch a prompt": the same with all candidates in one padded forward; "ours": a tree.
* llama.cpp, where LEAKSCOPE_LLAMA_CPP names a Python that has llama-cpp-python: the same texts, 60 sequences in one
  ``llama_decode``, a prompt read once for its samples, tokens by llama.cpp's own sampler. Its log-probabilities with
  the same weights in float32, which are written into a GGUF file for it, and with those of --gguf, which the folder was
  converted from: how far are they from ours, and how many greedy texts are equal?

With --equality: texts and candidates on --device against those on the CPU. See also ``benchmarks/gpu.sh``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import disturbed, in_own_process, machine, n_cores, note, say, spread, table

AT_ONCE = 64
N_TOKENS, TEMPERATURE = 10, 0.5
QUANTILES = (0.5, 0.9, 0.99, 1.0)


class Sizes(NamedTuple):
    """How much is measured: prompts that are written after and scored, of the slow ways and those that are compared."""

    n_prompts: int = 64
    n_samples: int = 5
    n_slow: int = 8
    n_compared: int = 20
    rounds: int = 3


QUICK = Sizes(4, 2, 1, 2, 1)


class Case(NamedTuple):
    """What is measured where."""

    setting: dict[str, Any]
    sizes: Sizes
    prompts: list[Any]
    questions: list[Any]
    threads: int
    markdown: bool


def show_texts(case: Case) -> None:
    """Measure and print how fast texts are written."""
    note("texts")
    found = _texts(case, ["batched", "ours"])
    n_texts = case.sizes.n_prompts * case.sizes.n_samples
    _show(
        f"texts ({case.sizes.n_prompts} prompts × {case.sizes.n_samples})",
        found,
        dict.fromkeys(("batched", "ours"), n_texts),
        "text",
        case,
    )


def show_candidates(case: Case) -> None:
    """Measure and print how fast candidates are scored."""
    note("candidates")
    sizes = case.sizes
    arguments = {"setting": case.setting, "questions": case.questions, "n_slow": sizes.n_slow, "rounds": sizes.rounds}
    found = in_own_process("real_model_ways:compare_candidates", arguments, threads=case.threads)
    counts = {"one a forward": sizes.n_slow, "one batch a prompt": sizes.n_slow, "ours": sizes.n_prompts}
    n_candidates = sum(len(candidates) for _, candidates in case.questions) / len(case.questions)
    _show(f"candidates ({n_candidates:.1f} a prompt)", found, counts, "prompt", case)
    say(f"\nLargest difference of ours from one a forward: {found['difference']:.1e} nats.")


def show_llama(case: Case, python: str, gguf: Path | None) -> None:
    """Measure and print how fast llama.cpp writes, and how far its log-probabilities are from ours."""
    few = spread(case.questions, case.sizes.n_compared)
    ours = _ours(case, few, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        note("writing a GGUF file in float32")
        plain = Path(folder, "f32.gguf")
        in_own_process("real_model_ways:write_gguf", {"folder": case.setting["folder"], "path": str(plain)}, threads=1)
        for name, path in {"float32": plain, **({gguf.name: gguf} if gguf else {})}.items():
            say(f"\nllama.cpp, {name}: {_agreement(ours, _llama(case, python, path, few), len(few))}")
            say(_llama_speed(case, python, path))


def show_equality(case: Case) -> None:
    """Print how far texts and candidates on the device are from those on the CPU."""
    few = spread(case.questions, case.sizes.n_compared)
    for temperature in (0.0, TEMPERATURE):
        there, here = (_ours(case, few, temperature, device) for device in ("", "cpu"))
        their_scores = [plain for plain, _ in there["scores"]]
        told = _agreement(here, {"scores": their_scores, "texts": there["texts"]}, len(few))
        say(f"\n{case.setting['device']} against cpu, texts at temperature {temperature}: {told}")


def _texts(case: Case, ways: Sequence[str]) -> dict[str, Any]:
    sizes = case.sizes
    arguments = {"setting": case.setting, "prompts": case.prompts, "n_samples": sizes.n_samples, "ways": list(ways)}
    return in_own_process("real_model_ways:compare_texts", {**arguments, "rounds": sizes.rounds}, threads=case.threads)


def _ours(case: Case, questions: Sequence[Any], temperature: float, device: str = "") -> dict[str, Any]:
    setting = {**case.setting, "device": device or case.setting["device"]}
    arguments = {"setting": setting, "questions": questions, "temperature": temperature}
    return in_own_process("real_model_ways:score_and_write", arguments, threads=case.threads)


def _llama(case: Case, python: str, path: Path, questions: Sequence[Any]) -> dict[str, Any]:
    note(f"llama.cpp scores, {path.name}")
    arguments = {"path": str(path), "questions": questions, "n_tokens": N_TOKENS, "threads": case.threads}
    return in_own_process("llama_cpp_ways:score_and_write", arguments, threads=case.threads, python=python)


def _llama_speed(case: Case, python: str, path: Path) -> str:
    """Return a sentence on the time of llama.cpp against ours, which writes before it and after."""
    note(f"llama.cpp writes, {path.name}")
    sizes = case.sizes
    arguments = {
        "path": str(path),
        "prompts": [ids for _, ids in case.prompts],
        "n_samples": sizes.n_samples,
        "n_tokens": N_TOKENS,
        "temperature": TEMPERATURE,
        "threads": case.threads,
        "rounds": sizes.rounds,
    }
    before = _texts(case, ["ours"])
    theirs = in_own_process("llama_cpp_ways:write", arguments, threads=case.threads, python=python)
    after = _texts(case, ["ours"])
    own = {what: [*before[what]["ours"], *after[what]["ours"]] for what in ("seconds", "cpu")}
    n_texts = sizes.n_prompts * sizes.n_samples
    each = [
        _span([1000 * one / n_texts for one in seconds], "ms a text") for seconds in (theirs["seconds"], own["seconds"])
    ]
    wall, cpu = (statistics.median(theirs[what]) / statistics.median(own[what]) for what in ("seconds", "cpu"))
    told = (
        f"{n_texts} texts: llama.cpp {each[0]}, ours before and after {each[1]}; theirs, ours = 1: time {wall:.2f}, "
        f"CPU time {cpu:.2f}."
    )
    shares = {"llama.cpp": theirs["others"], "ours": max(before["others"]["ours"], after["others"]["ours"])}
    return " ".join([told, *disturbed(shares)])


def _agreement(ours: Mapping[str, Any], theirs: Mapping[str, Any], n_prompts: int) -> str:
    """Return a sentence on how far log-probabilities are from ours, and how many texts are equal."""
    pairs = [
        (one, other)
        for (plain, _), others in zip(ours["scores"], theirs["scores"], strict=True)
        for one, other in zip(plain, others, strict=True)
    ]
    differences = sorted(abs(one - other) for one, other in pairs)
    shown = ", ".join(
        f"{100 * q:.0f} %: {differences[min(len(differences) - 1, int(q * len(differences)))]:.1e}" for q in QUANTILES
    )
    equal = sum(map(list.__eq__, ours["texts"], theirs["texts"]))
    return (
        f"|Δ log p| of {len(pairs)} candidates of {n_prompts} prompts, quantiles in nats: {shown}; {equal} of "
        f"{n_prompts} texts are equal."
    )


def _show(title: str, found: Mapping[str, Any], counts: Mapping[str, int], unit: str, case: Case) -> None:
    rows = []
    for way, seconds in found["seconds"].items():
        ratios = [
            [
                one / counts[way] * counts["ours"] / own
                for one, own in zip(found[what][way], found[what]["ours"], strict=True)
            ]
            for what in ("seconds", "cpu")
        ]
        each = f"{1000 * statistics.median(seconds) / counts[way]:.1f}"
        rows.append([way, f"{counts[way]}", each, *map(_span, ratios), f"{found['peak_mb'][way]:.0f}"])
    header = [title, f"{unit}s", f"ms a {unit}", "time, ours = 1", "CPU time", "MB at most, so far"]
    say(f"\n{table(header, rows, markdown=case.markdown)}")
    for remark in disturbed(found["others"]):
        say(f"\n{remark}")


def _span(values: Sequence[float], unit: str = "") -> str:
    """Return the median, and in brackets the lowest and the highest."""
    told = f"{statistics.median(values):.1f}{f' {unit}' if unit else ''}"
    return f"{told} ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 and max(values) > min(values) else told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model's folder")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--gguf", type=Path, help="the file that the folder was converted from, for llama.cpp")
    parser.add_argument("--threads", type=int, default=n_cores(), help="default: as many as cores")
    parser.add_argument("--rounds", type=int, help=f"default: {Sizes().rounds}")
    parser.add_argument("--only", default="texts,candidates,llama", help="of these three (default: all)")
    parser.add_argument("--chat", action="store_true", help="prompts in the chat template, not as plain completion")
    parser.add_argument("--equality", action="store_true", help="compare the device with the CPU, and nothing else")
    parser.add_argument("--quick", action="store_true", help="a few prompts: to see that it works, not how fast")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    arguments = parser.parse_args()
    setting = {"folder": arguments.model, "device": arguments.device, "dtype": "float32", "at_once": AT_ONCE}
    sizes = QUICK if arguments.quick else Sizes()
    sizes = sizes._replace(rounds=arguments.rounds or sizes.rounds)
    asked = {"folder": arguments.model, "n": sizes.n_prompts, "chat": arguments.chat}
    made = in_own_process("real_model_ways:prepare", asked, threads=1)
    case = Case(setting, sizes, made["prompts"], made["questions"], arguments.threads, arguments.markdown)
    lengths = [len(ids) for _, ids in case.prompts]
    say(f"{machine()}, {case.threads} thread(s); {Path(arguments.model).name} on {arguments.device}, float32")
    say(f"{'Chat' if arguments.chat else 'Plain completion'}: prompts of {min(lengths)} to {max(lengths)} tokens")
    if arguments.equality:
        show_equality(case)
        return 0
    wanted = arguments.only.split(",")
    if "texts" in wanted:
        show_texts(case)
    if "candidates" in wanted:
        show_candidates(case)
    if "llama" in wanted and (python := os.environ.get("LEAKSCOPE_LLAMA_CPP")):
        show_llama(case, python, arguments.gguf)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
