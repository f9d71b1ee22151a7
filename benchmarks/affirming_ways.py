"""Ways to score what a model generates and affirms, each measured by itself for ``benchmarks/affirming.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from affirming import LAYERS, ONE, PARTS
from measuring import peak_mb, timed
from sentences import SHAPES

BATCH_SIZE = 256
VOCAB_SIZE = 6000  # of the tokenizer
KINDS = ("", "young ", "old ", "large ", "small ")
NOUNS = (
    "robins", "sparrows", "salmon", "herring", "oaks", "birches", "roses", "tulips", "hammers", "chisels", "violins",
    "trumpets", "sofas", "wardrobes", "lorries", "bicycles", "beetles", "wasps", "potatoes", "carrots",
)  # fmt: skip
CANDIDATES = (
    "bird", "fish", "tree", "flower", "tool", "musical instrument", "piece of furniture", "vehicle", "insect",
    "root vegetable",
)  # fmt: skip
GENERATOR, VALIDATOR = "Complete the sentence: {} are a kind of", "Is it the case that {} are a kind of {}? Answer:"
EXAMPLES = (
    ("apples", "fruit", "Yes"),
    ("daggers", "dance", "No"),
    ("waltzes", "dance", "Yes"),
    ("ferns", "fruit", "No"),
)

Values = list[list[float]]


def measure(way: str, shape: str, every: int, n_hyponyms: int, threads: int) -> Mapping[str, Any]:
    """Score items in one way after a few were scored.

    Args:
        way: one of those that ``affirming`` names.
        shape: a key of ``SHAPES``.
        every: score every so manyth item.
        n_hyponyms: of the study.
        threads: of the matrix products.

    Returns:
        ``n`` items; by part ``values`` (nats: log-odds of a candidate and of its first token, or of an answer) and
        ``seconds``; ``others`` (the most of any part, see ``Timed``) and ``peak_mb`` of the process.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from leakscope.jobs.memory import keep_freed_memory
    from leakscope.organisms.training import train_tokenizer

    torch.set_num_threads(threads)
    keep_freed_memory()
    hyponyms = [kind + noun for kind, noun in product(KINDS, NOUNS)][:n_hyponyms]
    parts = {part: _prompts(part, hyponyms) for part in PARTS}
    texts = [f"{text} {candidate}" for items in parts.values() for text, candidate in items]
    tokenizer = train_tokenizer([*texts, *["Answer: Yes. Answer: No."] * len(texts)], VOCAB_SIZE)
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**SHAPES[shape], tie_word_embeddings=True)).eval()
    score = {ONE: _one_a_forward, LAYERS: _by_layer}.get(way, _ours)
    values, seconds, others = {}, {}, []
    for part, items in parts.items():
        score(part, model, tokenizer, items[:2])
        found = timed(lambda part=part, items=items: score(part, model, tokenizer, items[::every]))
        values[part], seconds[part] = found.result, found.seconds
        others.append(found.others)
    n = len(parts[PARTS[0]][::every])
    return {"n": n, "values": values, "seconds": seconds, "others": max(others), "peak_mb": peak_mb()}


def _prompts(part: str, hyponyms: Sequence[str]) -> list[tuple[str, str]]:
    """Return every item's prompt and candidate."""
    form = GENERATOR if part.startswith("generator") else VALIDATOR
    shown = ""
    if part.endswith("few-shot"):
        answered = [f"{form.format(x, y)} {y if form == GENERATOR else answer}." for x, y, answer in EXAMPLES]
        shown = "\n".join(answered) + "\n"
    return [(shown + form.format(x, y), y) for x, y in product(hyponyms, CANDIDATES)]


def _opened(model: Any, tokenizer: Any) -> Any:
    from leakscope.models.opening import LanguageModel

    return LanguageModel(tokenizer, model.config, model.generation_config, {}, lambda: model)


def _ours(part: str, model: Any, tokenizer: Any, items: Sequence[tuple[str, str]]) -> Values:
    from leakscope.models.prompts.prompting import Prompting
    from leakscope.validate.scoring.item_scores import GeneratorItem, score_generator, score_validator

    how = Prompting({"batch_size": BATCH_SIZE}, chat=False)
    opened = _opened(model, tokenizer)
    if part.startswith("generator"):
        table = score_generator(opened, [GeneratorItem(*item) for item in items], "benchmark", how).table
        values: Values = table[["log_odds", "log_odds_first"]].values.tolist()
        return values
    found = score_validator(opened, [prompt for prompt, _ in items], "benchmark", how).table
    return [[value] for value in found["log_odds"]]


def _by_layer(part: str, model: Any, tokenizer: Any, items: Sequence[tuple[str, str]]) -> Values:
    from leakscope.models.prompts.prompting import Prompting
    from leakscope.validate.scoring.item_scores import GeneratorItem, score_generator_by_layer, score_validator_by_layer

    how = Prompting({"batch_size": BATCH_SIZE}, chat=False)
    opened = _opened(model, tokenizer)
    if part.startswith("generator"):
        table = score_generator_by_layer(opened, [GeneratorItem(*item) for item in items], "benchmark", how).table
        return [[value] for value in table["log_odds_first"]]
    table = score_validator_by_layer(opened, [prompt for prompt, _ in items], "benchmark", how).table
    return [[value] for value in table["log_odds"]]


def _one_a_forward(part: str, model: Any, tokenizer: Any, items: Sequence[tuple[str, str]]) -> Values:
    import torch

    from leakscope.validate.scoring.item_scores import answer_tokens

    answers = answer_tokens(tokenizer).ids
    with torch.no_grad():
        if part.startswith("generator"):
            return [_one_candidate(model, tokenizer, *item) for item in items]
        return [_one_answer(model, tokenizer, prompt, answers) for prompt, _ in items]


def _one_candidate(model: Any, tokenizer: Any, prompt: str, candidate: str) -> list[float]:
    import torch

    ids = torch.tensor([tokenizer(f"{prompt} {candidate}")["input_ids"]])
    start = len(tokenizer(prompt)["input_ids"])
    logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
    own = logprobs[:-1].gather(-1, ids[0, 1:, None])[start - 1 :, 0].double()
    return [float(logprob - torch.log1p(-logprob.exp())) for logprob in (own.sum(), own[0])]


def _one_answer(model: Any, tokenizer: Any, prompt: str, answers: Sequence[Sequence[int]]) -> list[float]:
    import torch

    logprobs = model(input_ids=torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0].log_softmax(-1)
    yes, no = (logprobs[-1, list(ids)].double().logsumexp(-1) for ids in answers)
    return [float(yes - no)]
