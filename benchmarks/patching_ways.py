"""The two ways of ``benchmarks/patching.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from measuring import ROOT, spread, timed

PLAIN = {"template": "{prompt}", "system": None, "max_new_tokens": 10, "stop": "sentence", "batch_size": 64}
Curves = list[dict[str, list[float]]]


def measure(folder: str, n_pairs: int, n_hooked: int, threads: int) -> Mapping[str, Any]:
    """Return how long each way takes, and by how much logit differences of the same pairs differ at most."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from leakscope.leak.prompts import build_prompts, template_files
    from leakscope.models.editing.resuming import Resumer
    from leakscope.models.opening import LanguageModel
    from leakscope.models.prompts.prompting import Prompting
    from leakscope.trace.layers.answers import prompted
    from leakscope.trace.layers.columns import SITES
    from leakscope.trace.layers.patching import patch_swaps
    from leakscope.trace.layers.swaps import draw_swaps

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    opened = LanguageModel(AutoTokenizer.from_pretrained(folder), model.config, None, {}, lambda: model)
    built = build_prompts(template_files(ROOT / "data/prompt_sets/colors", [ROOT / "data/lexicons"]), "colors")
    tests = built.prompts[built.prompts["concept_group"].notna()].reset_index(drop=True)
    read = prompted(opened, tests, built.candidates, Prompting(PLAIN, chat=False))
    pairs = draw_swaps(tests, read, built.candidates, n_pairs, 0).pairs
    some = spread(range(len(pairs)), n_hooked)
    resumer = Resumer(model)
    found: dict[int, Any] = {}

    def ours() -> None:
        for batch in patch_swaps(resumer, pairs, SITES, batch_size=PLAIN["batch_size"] // 2, name="ours"):
            found.update(batch)

    hooked: list[Any] = []
    ways = {
        "hooks": _timed(lambda: hooked.extend(_hooked(model, pairs[number]) for number in some), len(some)),
        "ours": _timed(ours, len(pairs)),
    }
    differences = [
        abs(one - other)
        for curves, number in zip(hooked, some, strict=True)
        for site, curve in curves.items()
        for one, other in zip(curve, found[number].patched[site], strict=True)
    ]
    return {"ways": ways, "difference": max(differences), "layers": resumer.n_layers}


def _timed(work: Callable[[], Any], n_pairs: int) -> dict[str, float]:
    start = time.process_time()
    _, seconds, others = timed(work)
    return {"pairs": n_pairs, "seconds": seconds, "cpu": time.process_time() - start, "others": others}


@torch.inference_mode()
def _hooked(model: Any, pair: Any) -> dict[str, list[float]]:
    """Return m of a pair by site and layer, as hooks written by hand give it."""
    n, end = len(pair.target), len(pair.target) - pair.n_after
    shift = len(pair.source) - n
    begin = end - pair.n_patched
    sites = {
        "concept": range(begin, end),
        "between": range(end, n - 1),
        "last": range(n - 1, n),
        "all": range(begin, n),
    }
    kept: list[torch.Tensor] = []
    blocks = model.model.layers
    handles = [blocks[0].register_forward_pre_hook(lambda _, given: kept.append(given[0]))]
    handles += [block.register_forward_hook(lambda _, __, output: kept.append(output)) for block in blocks]
    model(input_ids=torch.tensor([pair.source]), use_cache=False)
    for handle in handles:
        handle.remove()
    return {
        site: [_put(model, layer, kept[layer], list(tokens), shift, pair) for layer in range(len(blocks) + 1)]
        for site, tokens in sites.items()
        if tokens
    }


def _put(model: Any, layer: int, kept: torch.Tensor, tokens: Sequence[int], shift: int, pair: Any) -> float:
    def change(hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.clone()
        hidden[:, tokens] = kept[:, [token + shift for token in tokens]]
        return hidden

    if layer:
        handle = model.model.layers[layer - 1].register_forward_hook(lambda _, __, output: change(output))
    else:
        handle = model.model.layers[0].register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:]))
    logits = model(input_ids=torch.tensor([pair.target]), use_cache=False, logits_to_keep=1).logits[0, -1].double()
    handle.remove()
    contrast = pair.contrast
    return float(logits[list(contrast.tokens)].mean() - logits[list(contrast.against)].mean())
