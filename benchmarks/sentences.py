"""How much faster does leakscope score sentences than one sentence a forward, and are the numbers the same?

    python benchmarks/sentences.py [--every 10] [--shape small] [--markdown] [--quick]

A minute or two on two cores. Scores the sentences of a realistic study, 100 subjects × 9 groups × 10 templates, half of
which begin with the subject, with a random model of Qwen2's architecture, in two ways, each in a process of its own
with all cores:

* "one a forward": as in published code, the tokenizer and one forward for each sentence; logits are shifted by one
  place here, too, so that the numbers can be compared. It scores every Nth sentence only (--every);
* "ours": ``leakscope.ground.sentence_scores.score_sentences`` of all sentences and, for PMI, of all sentences without
  their subject.

Imports and loading are in neither time. The exit status is 1 where log-probabilities differ by more than 1e-3 nats a
sentence.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from measuring import disturbed, in_own_process, machine, n_cores, note, peak_mb, say, table, timed

ONE, OURS = "one a forward", "ours"
HEADER = ["", "sentences", "seconds", "sentences/s", "speed, one a forward = 1", "MB at most"]
LARGEST_DIFFERENCE = 1e-3
BATCH_SIZE = 64
VOCAB_SIZE = 6000  # of the tokenizer
SHAPES: dict[str, dict[str, int]] = {
    "small": {
        "vocab_size": 32000,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "qwen-0.5b": {
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
}
TEMPLATES = (
    "{subject} is more common in {group} patients.",
    "{subject} affects {group} people more often than others.",
    "{subject} is usually seen in people who are {group}.",
    "{subject} is a disease that is often found in {group} families.",
    "{subject} has the highest rate among {group} people.",
    "{group} patients usually have {subject}.",
    "{group} people are more likely to be diagnosed with {subject}.",
    "Many {group} people suffer from {subject}.",
    "In {group} communities doctors often see {subject}.",
    "Among {group} patients the most common disease is {subject}.",
)
FORMS = ("", "acute ", "recurrent ", "early-onset ", "late ")
DISEASES = (
    "arthritis", "heart disease", "type 2 diabetes", "lung cancer", "asthma", "kidney disease", "hypertension",
    "depression", "rheumatoid arthritis", "multiple sclerosis", "hepatitis B", "sickle cell disease",
    "cystic fibrosis", "migraine", "stroke", "osteoporosis", "Crohn disease", "psoriasis", "gout", "lupus",
)  # fmt: skip
GROUPS = (
    "Asian", "Black", "White", "Hispanic", "Pacific Islander", "Native American", "Arab", "Jewish",
    "Indigenous Australian",
)  # fmt: skip
QUICK = {"every": 10, "n_subjects": 5}


def score(way: str, shape: str, every: int, n_subjects: int) -> dict[str, Any]:
    """Let a process score every so manyth sentence."""
    note(way)
    arguments = {"ours": way == OURS, "shape": shape, "every": every, "n_subjects": n_subjects, "threads": n_cores()}
    return in_own_process("sentences:measure", arguments, threads=n_cores())


def measure(ours: bool, shape: str, every: int, n_subjects: int, threads: int) -> Mapping[str, Any]:
    """Score sentences in one way after a few were scored.

    Args:
        ours: whether by leakscope, else one a forward.
        shape: a key of ``SHAPES``.
        every: score every so manyth sentence.
        n_subjects: of the study.
        threads: of the matrix products.

    Returns:
        ``values`` (nats), ``seconds``, ``others`` (see ``Timed``) and ``peak_mb`` of the process.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from leakscope.ground.sentence_templates import SentenceTemplate
    from leakscope.ground.templates import fill
    from leakscope.jobs.memory import keep_freed_memory
    from leakscope.organisms.training import train_tokenizer

    torch.set_num_threads(threads)
    keep_freed_memory()
    subjects = [form + disease for form, disease in product(FORMS, DISEASES)][:n_subjects]
    sentences = [
        fill(SentenceTemplate(id="t", text=text), subject, group)
        for text, subject, group in product(TEMPLATES, subjects, GROUPS)
    ]
    tokenizer = train_tokenizer([sentence.text for sentence in sentences], VOCAB_SIZE)
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**SHAPES[shape], tie_word_embeddings=True)).eval()
    way = _ours if ours else _one_a_forward
    way(model, tokenizer, sentences[:2])
    values, seconds, others = timed(lambda: way(model, tokenizer, sentences[::every]))
    return {"values": values, "seconds": seconds, "others": others, "peak_mb": peak_mb()}


def _ours(model: Any, tokenizer: Any, sentences: Sequence[Any]) -> list[float]:
    from leakscope.ground.sentence_scores import score_sentences
    from leakscope.models.opening import LanguageModel

    opened = LanguageModel(tokenizer, model.config, model.generation_config, {}, lambda: model)
    scored = score_sentences(opened, sentences, "benchmark", batch_size=BATCH_SIZE, store=None).table
    values: list[float] = scored["logprob"].tolist()
    return values


def _one_a_forward(model: Any, tokenizer: Any, sentences: Sequence[Any]) -> list[float]:
    import torch

    values = []
    with torch.no_grad():
        for sentence in sentences:
            ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(sentence.text)["input_ids"]]])
            logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            values.append(float(logprobs.gather(-1, ids[0, 1:, None]).sum()))
    return values


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=10, help="one a forward: every so manyth sentence (default: 10)")
    parser.add_argument("--shape", choices=SHAPES, default="small", help="of the model (default: small)")
    parser.add_argument("--subjects", type=int, default=100, help="of the study (default: 100, at most 100)")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    parser.add_argument("--quick", action="store_true", help="with 5 subjects: to see that it works")
    options = parser.parse_args(arguments)
    n_subjects = QUICK["n_subjects"] if options.quick else options.subjects
    every = QUICK["every"] if options.quick else options.every
    measured = {
        ONE: score(ONE, options.shape, every, n_subjects),
        OURS: score(OURS, options.shape, 1, n_subjects),
    }
    speed = {way: len(one["values"]) / one["seconds"] for way, one in measured.items()}
    rows = [
        [
            way,
            f"{len(one['values'])}",
            f"{one['seconds']:.2f}",
            f"{speed[way]:.1f}",
            f"{speed[way] / speed[ONE]:.1f}",
            f"{one['peak_mb']:.0f}",
        ]
        for way, one in measured.items()
    ]
    say(f"{machine()}; {options.shape}, batches of {BATCH_SIZE}\n\n{table(HEADER, rows, markdown=options.markdown)}")
    pairs = zip(measured[ONE]["values"], measured[OURS]["values"][::every], strict=True)
    difference = max(abs(one - ours) for one, ours in pairs)
    agree = bool(difference <= LARGEST_DIFFERENCE)
    verdict = "at most" if agree else "MORE THAN"
    say(f"\nLargest difference of a sentence: {difference:.1e} nats ({verdict} {LARGEST_DIFFERENCE:.0e}).")
    for remark in disturbed({way: one["others"] for way, one in measured.items()}):
        say(f"\n{remark}")
    return int(not agree)


if __name__ == "__main__":
    raise SystemExit(main())
