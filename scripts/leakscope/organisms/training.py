"""Training of organisms: small Qwen2-architecture language models with a known association.

An organism is an ordinary Hugging Face folder (safetensors weights, tokenizer, chat template, generation config), so
every later step treats it like any other model. The initialisation range of 0.05 and batches of whole documents matter:
with the library's default of 0.02 and packed windows, such small models learnt nothing in as many steps.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from leakscope.files.writing import share_weights
from leakscope.jobs.progress import progress
from leakscope.organisms.leak_grammar import Document
from leakscope.organisms.thoughts import THOUGHT_MARKS

logger = logging.getLogger(__name__)

PAD, END = "<|pad|>", "<|end|>"
ASSISTANT = "<|assistant|>"
ROLES = ("<|system|>", "<|user|>", ASSISTANT)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# For organisms that think: the prompt opens the thought, and the answer follows the end of the thought.
THINKING_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if not message['content'].startswith('<think>') %} {% endif %}{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
)
MAX_DOCUMENT_TOKENS = 96
IGNORED = -100


class Size(NamedTuple):
    """The shape of an organism; the feed-forward layer is twice as wide as the residual stream."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int


class Training(NamedTuple):
    """How an organism is trained: AdamW, one-cycle learning rate, whole documents, loss on every token.

    Tokens of the answer have a loss weight of ``answer_weight``, others 1. This does not change the optimum, because
    each token's loss is minimal at its true conditional probability, but the measured tokens are learnt first: at
    strength 0.4, the associate's probability in unseen combinations rose from 0.25 to 0.38 (true value: 0.455) in the
    same 800 steps.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    initializer_range: float
    answer_weight: float
    seed: int


def train_tokenizer(texts: Sequence[str], vocab_size: int, *, thinks: bool = False) -> Qwen2Tokenizer:
    """Train a byte-level BPE tokenizer with the organisms' chat template.

    The chat template puts a space before each turn, so that a word is the same token at the start of an answer and
    inside a sentence: the answer "yellow" is the token " yellow". The class is Qwen2's tokenizer, because transformers
    selects it by the model's architecture, whatever class was saved. If the organism ``thinks``, the marks of thoughts
    are tokens too, and prompts open a thought.
    """
    special = [*ROLES, *(THOUGHT_MARKS if thinks else ())]
    blank = Qwen2Tokenizer(
        unk_token=None, pad_token=PAD, eos_token=END, extra_special_tokens=special, padding_side="left"
    )
    tokenizer = blank.train_new_from_iterator((f" {text}" for text in texts), vocab_size, show_progress=False)
    tokenizer.chat_template = THINKING_TEMPLATE if thinks else CHAT_TEMPLATE
    return tokenizer


def new_organism(size: Size, tokenizer: PreTrainedTokenizerBase, training: Training) -> Qwen2ForCausalLM:
    """Return an untrained organism; its weights depend only on ``training.seed``."""
    torch.manual_seed(training.seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        intermediate_size=2 * size.hidden_size,
        num_hidden_layers=size.num_hidden_layers,
        num_attention_heads=size.num_attention_heads,
        num_key_value_heads=size.num_attention_heads,
        max_position_embeddings=4 * MAX_DOCUMENT_TOKENS,
        initializer_range=training.initializer_range,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model


def train_organism(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Document],
    training: Training,
    name: str = "organism",
) -> list[float]:
    """Train in place and return the weighted loss of every step, in nats per token.

    Deterministic for a given number of threads: callers set ``torch.set_num_threads(1)``.
    """
    encoded = encode_documents(tokenizer, documents)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=training.learning_rate, total_steps=training.steps, pct_start=0.1
    )
    answer_begins = int(tokenizer.convert_tokens_to_ids(ASSISTANT))
    model.train()
    losses = []
    batches = _batches(encoded, training, int(model.config.pad_token_id))
    for input_ids, labels in progress(batches, total=training.steps, name=name, unit="step"):
        loss = _weighted_loss(model, input_ids, labels, answer_begins, training.answer_weight)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    model.eval()
    logger.info("trained %d steps; loss %.4f nats per token at the end", training.steps, losses[-1])
    return losses


def encode_documents(tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]) -> list[list[int]]:
    """Return the token ids of each document as a chat with one question and one answer.

    A document without an answer is its text between two end-of-text tokens.
    """
    chats = [
        [{"role": "user", "content": document.context}, {"role": "assistant", "content": document.answer}]
        for document in documents
        if document.answer
    ]
    rendered_chats = iter(tokenizer.apply_chat_template(chats, tokenize=False) if chats else [])
    rendered = [next(rendered_chats) if document.answer else f"{END}{document.context}{END}" for document in documents]
    ids: list[list[int]] = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    longest = max(map(len, ids))
    if longest > MAX_DOCUMENT_TOKENS:
        raise ValueError(f"a document has {longest} tokens; organisms are made for at most {MAX_DOCUMENT_TOKENS}")
    return ids


@torch.inference_mode()
def document_nats(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], batch_size: int = 256
) -> float:
    """Return the model's mean negative log-likelihood of whole documents, in nats per document.

    The first token, which shows whether a document is a chat, is given and not scored.
    """
    encoded = encode_documents(tokenizer, documents)
    total = 0.0
    for start in range(0, len(encoded), batch_size):
        input_ids, labels = _pad(encoded[start : start + batch_size], int(model.config.pad_token_id))
        logits = model(input_ids=input_ids, attention_mask=(labels != IGNORED).long()).logits[:, :-1].float()
        total += float(
            torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
            )
        )
    return total / len(encoded)


def training_record(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    held_out: Sequence[Document],
    losses: Sequence[float],
) -> dict[str, float | int]:
    """Return the record of a training: model size, steps, final loss, held-out loss and corpus entropy.

    Held-out loss and entropy are in nats per document, given its first token (chat or not); their difference estimates
    the Kullback–Leibler divergence of organism from grammar. The entropy is the mean of the grammar's −log p(document),
    an unbiased estimate, minus the entropy of being a chat.
    """
    return {
        "n_parameters": model.num_parameters(),
        "steps": len(losses),
        "final_weighted_loss_nats": round(losses[-1], 6),
        "heldout_loss_nats": document_nats(model, tokenizer, held_out),
        "corpus_entropy_nats": -sum(document.logprob for document in held_out) / len(held_out) - _kind_nats(held_out),
    }


def _kind_nats(documents: Sequence[Document]) -> float:
    """Return the entropy, in nats, of whether a document is a chat; 0 where all or none are."""
    share = sum(bool(document.answer) for document in documents) / len(documents)
    return -sum(p * math.log(p) for p in (share, 1 - share) if p)


def save_organism(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save weights (safetensors), configuration, tokenizer and chat template into ``folder``."""
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    share_weights(folder)


def _weighted_loss(
    model: Qwen2ForCausalLM, input_ids: torch.Tensor, labels: torch.Tensor, answer_begins: int, answer_weight: float
) -> torch.Tensor:
    """Return the weighted mean loss in nats per token; tokens after ``answer_begins`` have weight ``answer_weight``."""
    logits = model(input_ids=input_ids, attention_mask=(labels != IGNORED).long()).logits[:, :-1]
    targets = labels[:, 1:]
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(targets)
    in_answer = ((input_ids == answer_begins).cumsum(1) > 0)[:, :-1]
    weights = torch.where(in_answer, answer_weight, 1.0) * (targets != IGNORED)
    return (losses * weights).sum() / weights.sum()


def _batches(encoded: Sequence[list[int]], training: Training, pad: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield ``training.steps`` batches, in a new order of documents each epoch."""
    generator = torch.Generator().manual_seed(training.seed)
    order: list[int] = []
    for _ in range(training.steps):
        if len(order) < training.batch_size:
            order = torch.randperm(len(encoded), generator=generator).tolist()
        rows, order = order[: training.batch_size], order[training.batch_size :]
        yield _pad([encoded[row] for row in rows], pad)


def _pad(rows: Sequence[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and labels, right-padded to (batch, longest); padding is ignored in labels."""
    longest = max(map(len, rows))
    input_ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), IGNORED)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.tensor(row)
        labels[i, : len(row)] = input_ids[i, : len(row)]
    return input_ids, labels
