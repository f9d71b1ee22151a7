"""Four ways to let a model write, each measured in a process of its own by ``benchmarks/generation.py``.

All draw at temperature 0.5 from the whole vocabulary, write ten tokens and turn them into text.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from os.path import commonprefix
from typing import Any, NamedTuple

import torch

from generation_models import Prompt, read_prompts
from measuring import peak_mb, timed

N_TOKENS = 10
TEMPERATURE = 0.5
VERSIONS = {True: ("lm-eval", "torch", "transformers"), False: ("torch", "transformers")}
NEVER = "<|never|>"  # ends a text for lm-eval, which needs such a token; the models were not trained to write it


class Text(NamedTuple):
    """The ids that were read, and the new ones."""

    prompt: list[int]
    new: list[int]


class Opened(NamedTuple):
    """A loaded model, and how it writes so many samples of each prompt."""

    model: Any
    write: Callable[[Sequence[Prompt], int], list[Text]]


class Setting(NamedTuple):
    """What all ways have in common. ``at_once`` is the number of prompts in a batch."""

    folder: str
    device: str
    dtype: str
    at_once: int


def one_by_one(setting: Setting) -> Opened:
    """Open as the paper's code does: one call for each prompt and sample."""
    model, tokenizer = _load(setting)

    def write(prompts: Sequence[Prompt], n_samples: int) -> list[Text]:
        return [
            text for prompt in prompts for _ in range(n_samples) for text in _plain(model, tokenizer, [prompt.ids], 1)
        ]

    return Opened(model, write)


def batched(setting: Setting) -> Opened:
    """Open as whoever batches by himself: left-padded batches in the order given, all samples in one call."""
    model, tokenizer = _load(setting)

    def write(prompts: Sequence[Prompt], n_samples: int) -> list[Text]:
        rows = [prompt.ids for prompt in prompts]
        batches = [rows[start : start + setting.at_once] for start in range(0, len(rows), setting.at_once)]
        return [text for batch in batches for text in _plain(model, tokenizer, batch, n_samples)]

    return Opened(model, write)


def lm_eval(setting: Setting) -> Opened:
    """Open as lm-evaluation-harness does; a sample is a request, and ``at_once`` of them share a batch."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(setting.folder, padding_side="left")
    tokenizer.add_special_tokens({"eos_token": NEVER})
    lm = HFLM(
        pretrained=setting.folder,
        tokenizer=tokenizer,
        device=setting.device,
        dtype=setting.dtype,
        batch_size=setting.at_once,
    )
    written: list[Text] = []
    _record_generations(lm, written)
    settings = {**_sampling(), "max_gen_toks": N_TOKENS, "min_new_tokens": N_TOKENS, "until": []}

    def write(prompts: Sequence[Prompt], n_samples: int) -> list[Text]:
        written.clear()
        rendered = [prompt.rendered for prompt in prompts for _ in range(n_samples)]
        requests = [
            Instance(request_type="generate_until", doc={}, arguments=(text, settings), idx=number)
            for number, text in enumerate(rendered)
        ]
        lm.generate_until(requests, disable_tqdm=True)
        return list(written)

    return Opened(lm.model, write)


def ours(setting: Setting) -> Opened:
    """Open as leakscope does."""
    from leakscope.jobs.memory import keep_freed_memory

    keep_freed_memory()
    model, tokenizer = _load(setting)
    decoded: list[list[int]] = []
    decode = tokenizer.decode

    def recording(token_ids: Any, **options: Any) -> Any:
        decoded.append(list(token_ids))
        return decode(token_ids, **options)

    tokenizer.decode = recording

    def write(prompts: Sequence[Prompt], n_samples: int) -> list[Text]:
        decoded.clear()
        ids = {prompt.rendered: prompt.ids for prompt in prompts}
        completed = _complete(model, tokenizer, prompts, n_samples, setting.at_once)
        return [Text(ids[rendered], new) for rendered, new in zip(completed, decoded, strict=True)]

    return Opened(model, write)


def _complete(model: Any, tokenizer: Any, prompts: Sequence[Prompt], n_samples: int, at_once: int) -> list[str]:
    """Let leakscope write, decoding each text once; return the rendered prompt of every text, in that order."""
    from leakscope.models.endings import Limits
    from leakscope.models.generation import Request, generate, plan_batches
    from leakscope.models.sampling import Decoding

    samples = list(range(n_samples))
    requests = [Request(prompt.rendered, prompt.ids, samples) for prompt in prompts]
    batches = plan_batches(requests, {request.rendered: samples for request in requests}, at_once)
    limits = Limits(N_TOKENS, stop_at_sentence=False, ends=())
    written = generate(model, tokenizer, batches, Decoding(TEMPERATURE), limits, seed=0, name="m")
    return [completion.rendered for batch in written for completion in batch]


WAYS: dict[str, Callable[[Setting], Opened]] = {
    "one by one": one_by_one,
    "batched": batched,
    "lm-eval": lm_eval,
    "ours": ours,
}


def measure_way(
    way: str, setting: Mapping[str, Any], chosen: Sequence[int], n_samples: int, threads: int, rounds: int
) -> Mapping[str, Any]:
    """Measure one way after a small warm-up.

    Args:
        way: one of ``WAYS``.
        setting: the fields of ``Setting``.
        chosen: the numbers of the prompts.
        n_samples: of each prompt.
        threads: of the matrix products.
        rounds: how often; the median counts.

    Returns:
        ``seconds``, ``others`` (see ``Timed``), ``n_texts``, ``n_tokens`` (new ones, all texts together),
        ``loaded_mb`` and ``peak_mb`` (of the process, or of the GPU where the model is there), ``versions``, and what
        ``_work`` returns.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    opened, prompts = WAYS[way](Setting(**setting)), read_prompts(setting["folder"], chosen)
    loaded_mb = _loaded_mb(opened.model)
    opened.write(prompts[:1], 1)
    counts = _count_positions(opened.model)
    runs = []
    for _ in range(rounds):
        counts.update(blocks=0, unembedding=0)
        runs.append(timed(lambda: _finished(opened.write(prompts, n_samples))))
    texts = runs[-1].result
    _check_prompts(texts, prompts, n_samples)
    return {
        "seconds": statistics.median(run.seconds for run in runs),
        "others": max(run.others for run in runs),
        "n_texts": len(texts),
        "n_tokens": sum(len(text.new) for text in texts),
        "loaded_mb": loaded_mb,
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if opened.model.device.type == "cuda" else peak_mb(),
        "versions": ", ".join(f"{name} {version(name)}" for name in VERSIONS[way == "lm-eval"]),
        **_work(opened.model, texts, counts),
    }


def product_rates(shapes: Mapping[str, Sequence[int]], device: str, dtype: str, threads: int) -> Mapping[str, Any]:
    """Return the rate of each matrix product (rows, width) × (width, columns), FLOP/s; the best of a second's."""
    torch.set_num_threads(threads)
    rates = {}
    for name, (rows, width, columns) in shapes.items():
        left = torch.randn(rows, width, device=device, dtype=getattr(torch, dtype))
        right = torch.randn(columns, width, device=device, dtype=getattr(torch, dtype)).T
        times = [timed(lambda: _finished(torch.matmul(left, right))).seconds]  # noqa: B023
        while sum(times) < 1.0:
            times.append(timed(lambda: _finished(torch.matmul(left, right))).seconds)  # noqa: B023
        rates[name] = 2 * rows * width * columns / min(times)
    return rates


@cache  # ways that take turns in one process share the weights
def _load(setting: Setting) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(setting.folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(
        setting.folder, dtype=getattr(torch, setting.dtype), device_map={"": setting.device}
    )
    return model.eval(), tokenizer


def _sampling() -> dict[str, Any]:
    return {"do_sample": True, "temperature": TEMPERATURE, "top_k": 0, "top_p": 1.0}


@torch.inference_mode()
def _plain(model: Any, tokenizer: Any, prompts: Sequence[list[int]], n_samples: int) -> list[Text]:
    inputs = tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt").to(model.device)
    output = model.generate(
        **inputs,
        **_sampling(),
        num_return_sequences=n_samples,
        max_new_tokens=N_TOKENS,
        min_new_tokens=N_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
    )
    new = output[:, inputs["input_ids"].shape[1] :].tolist()
    tokenizer.batch_decode(new, skip_special_tokens=True)
    return [Text(prompts[row // n_samples], tokens) for row, tokens in enumerate(new)]


def _record_generations(lm: Any, written: list[Text]) -> None:
    """Note the tokens that lm-eval generates: of a text it returns only the letters."""
    generate = lm._model_generate

    def recording(context: Any, **options: Any) -> Any:
        output = generate(context=context, **options)
        real = options["attention_mask"].bool()
        for row, ids in enumerate(output[:, context.shape[1] :].tolist()):
            until = ids.index(lm.tokenizer.eos_token_id) if lm.tokenizer.eos_token_id in ids else len(ids)
            written.append(Text(context[row][real[row]].tolist(), ids[:until]))
        return output

    lm._model_generate = recording


def _finished(result: Any) -> Any:
    """Return the result once the GPU has computed it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


def _loaded_mb(model: Any) -> float:
    """Return the memory held with all weights loaded; on a CPU they are read from disk when first touched."""
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 1e6
    for parameter in model.parameters():
        parameter.detach().max()
    return peak_mb()


def _check_prompts(texts: Sequence[Text], prompts: Sequence[Prompt], n_samples: int) -> None:
    if sorted(text.prompt for text in texts) != sorted(prompt.ids for prompt in prompts for _ in range(n_samples)):
        raise SystemExit("other prompts were read than those that were given")


def _count_positions(model: Any) -> dict[str, int]:
    """Count from now on what is read: positions that run through the blocks, and those that get logits."""
    counts = {"blocks": 0, "unembedding": 0}

    def count_blocks(module: Any, positional: Any, named: Mapping[str, Any]) -> None:
        counts["blocks"] += (named["input_ids"] if "input_ids" in named else positional[0]).numel()

    def count_unembedding(module: Any, positional: Any) -> None:
        counts["unembedding"] += positional[0].shape[:-1].numel()

    model.base_model.register_forward_pre_hook(count_blocks, with_kwargs=True)
    model.get_output_embeddings().register_forward_pre_hook(count_unembedding)
    return counts


def _work(model: Any, texts: Sequence[Text], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return sizes of the matrices, how many positions went through them, and the fewest that give these texts.

    The fewest: every distinct beginning of a text is read once. Logits are needed at the end of each distinct prompt
    and after each distinct beginning that goes on.
    """
    unembedding = model.get_output_embeddings()
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not unembedding]
    prompts = n_prefixes([text.prompt for text in texts])
    everything = n_prefixes([text.prompt + text.new[:-1] for text in texts])
    n_prompts = len({tuple(text.prompt) for text in texts})
    return {
        "weights": {
            "blocks": sum(module.weight.numel() for module in linear),
            "unembedding": unembedding.weight.numel(),
        },
        "widths": {
            "blocks": [model.config.hidden_size, model.config.intermediate_size],
            "unembedding": [model.config.hidden_size, model.config.vocab_size],
        },
        "positions": dict(counts),
        "fewest": {"blocks": everything, "unembedding": n_prompts + everything - prompts},
    }


def n_prefixes(rows: Sequence[list[int]]) -> int:
    """Return the number of distinct beginnings of the rows, the empty one not counted."""
    ordered = sorted(rows)
    shared = sum(len(commonprefix(pair)) for pair in pairwise(ordered))
    return sum(map(len, ordered)) - shared
