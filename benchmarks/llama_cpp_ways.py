"""llama.cpp, for ``benchmarks/real_model.py``: run by a Python of its own that has llama-cpp-python."""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import llama_cpp as library
import numpy as np

from measuring import timed

SEQUENCES = 64  # in one llama_decode


class Model:
    """A GGUF file that reads several sequences in one ``llama_decode``, whose cells they share."""

    def __init__(self, path: str, threads: int, n_cells: int, *, exact: bool = False) -> None:
        library.llama_log_set(_heed, ctypes.c_void_p(0))
        library.llama_backend_init()
        self.model = library.llama_model_load_from_file(path.encode(), library.llama_model_default_params())
        given = library.llama_context_default_params()
        given.n_ctx, given.n_batch, given.n_ubatch = n_cells, n_cells, 512
        given.n_seq_max, given.kv_unified, given.no_perf = SEQUENCES, True, True
        if exact:  # by default, keys and values are kept in float16
            given.type_k = given.type_v = library.GGML_TYPE_F32
            given.flash_attn_type = library.LLAMA_FLASH_ATTN_TYPE_DISABLED
        given.n_threads = given.n_threads_batch = threads
        self.context = library.llama_init_from_model(self.model, given)
        self.memory = library.llama_get_memory(self.context)
        self.n_vocabulary = library.llama_vocab_n_tokens(library.llama_model_get_vocab(self.model))
        self.batch = library.llama_batch_init(n_cells, 0, SEQUENCES)

    def forget(self) -> None:
        library.llama_memory_clear(self.memory, True)

    def decode(self, places: Sequence[tuple[int, int, Sequence[int], bool]]) -> None:
        """Read (token, position, sequences, whether logits are wanted) of each place."""
        self.batch.n_tokens = len(places)
        for number, (token, position, sequences, wanted) in enumerate(places):
            self.batch.token[number], self.batch.pos[number] = token, position
            self.batch.n_seq_id[number], self.batch.logits[number] = len(sequences), wanted
            for place, sequence in enumerate(sequences):
                self.batch.seq_id[number][place] = sequence
        if library.llama_decode(self.context, self.batch):
            raise SystemExit("llama_decode refused a batch")

    def logits(self, place: int) -> np.ndarray:
        """Return the logits after a place of the last batch, (vocabulary,)."""
        row = library.llama_get_logits_ith(self.context, place)
        return np.ctypeslib.as_array(row, shape=(self.n_vocabulary,)).astype(np.float64)


def score_and_write(
    path: str, questions: Sequence[tuple[list[int], list[list[int]]]], n_tokens: int, threads: int
) -> Mapping[str, Any]:
    """Return Σ log p of every candidate of every prompt, and the most probable token at each step after it."""
    model = Model(path, threads, n_cells=1024, exact=True)
    scores, texts = [], []
    for prompt, candidates in questions:
        scores.append([_score(model, prompt, candidate) for candidate in candidates])
        model.forget()
        text: list[int] = []
        model.decode([(token, at, [0], at + 1 == len(prompt)) for at, token in enumerate(prompt)])
        for step in range(n_tokens):
            text.append(int(model.logits(len(prompt) - 1 if step == 0 else 0).argmax()))
            model.decode([(text[-1], len(prompt) + step, [0], True)])
        texts.append(text)
    return {"scores": scores, "texts": texts}


def write(
    path: str,
    prompts: Sequence[list[int]],
    n_samples: int,
    n_tokens: int,
    temperature: float,
    threads: int,
    rounds: int,
) -> Mapping[str, Any]:
    """Measure how long it takes to write, a prompt being read once for its samples; return as ``_alternated``."""
    model = Model(path, threads, n_cells=4096)
    sampler = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
    library.llama_sampler_chain_add(sampler, library.llama_sampler_init_temp(temperature))
    library.llama_sampler_chain_add(sampler, library.llama_sampler_init_dist(0))

    def all_texts() -> list[list[int]]:
        at_once = SEQUENCES // n_samples
        parts = [prompts[start : start + at_once] for start in range(0, len(prompts), at_once)]
        return [text for part in parts for text in _write_part(model, sampler, part, n_samples, n_tokens)]

    runs, cpu = [], []
    for _ in range(rounds):
        start = time.process_time()
        runs.append(timed(all_texts))
        cpu.append(time.process_time() - start)
    return {"seconds": [run.seconds for run in runs], "cpu": cpu, "others": max(run.others for run in runs)}


def _write_part(
    model: Model, sampler: Any, prompts: Sequence[list[int]], n_samples: int, n_tokens: int
) -> list[list[int]]:
    model.forget()
    sequences = [list(range(n_samples * row, n_samples * (row + 1))) for row in range(len(prompts))]
    model.decode(list(_prompt_places(prompts, sequences)))
    last = np.cumsum([len(prompt) for prompt in prompts]) - 1
    after = [int(last[sequence // n_samples]) for sequence in range(n_samples * len(prompts))]
    texts: list[list[int]] = [[] for _ in after]
    for step in range(n_tokens):
        for text, place in zip(texts, after, strict=True):
            text.append(library.llama_sampler_sample(sampler, model.context, place))
        if step + 1 < n_tokens:
            model.decode(
                [(text[-1], len(prompts[row // n_samples]) + step, [row], True) for row, text in enumerate(texts)]
            )
            after = list(range(len(texts)))
    return texts


def _prompt_places(
    prompts: Sequence[list[int]], sequences: Sequence[list[int]]
) -> Iterator[tuple[int, int, Sequence[int], bool]]:
    for prompt, own in zip(prompts, sequences, strict=True):
        for at, token in enumerate(prompt):
            yield token, at, own, at + 1 == len(prompt)


def _score(model: Model, prompt: list[int], candidate: list[int]) -> float:
    model.forget()
    ids = prompt + candidate
    model.decode([(token, at, [0], at >= len(prompt) - 1) for at, token in enumerate(ids[:-1])])
    total = 0.0
    for place in range(len(prompt) - 1, len(ids) - 1):
        logits = model.logits(place)
        highest = logits.max()
        total += float(logits[ids[place + 1]] - highest - math.log(np.exp(logits - highest).sum()))
    return total


@library.llama_log_callback
def _heed(level: int, text: bytes, data: Any) -> None:
    if "LEAKSCOPE_LLAMA_CPP_LOG" in os.environ:
        os.write(2, text)
