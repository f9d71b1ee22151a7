"""The logit lens (nostalgebraist 2020): what a model would say if its last block were an earlier one.

The residual stream after a block is given to all that follows the last block: final norm, projection, unembedding,
scaling, soft-capping. It is the model's own code that does this, with its blocks passed over, so that nothing has to be
known of an architecture. Kept are the residuals of one place a prompt, and of each layer's logits only what is asked
for. The code of this module is part of the fingerprint that values are stored under.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from leakscope.errors import InputError
from leakscope.jobs.batching import cut, is_out_of_memory, shrinking
from leakscope.models.decoding import TOLERANCE, TOLERANCE_OF_HALF, Reader
from leakscope.validate.scoring.log_odds import Continuation, plan_prompts, sum_answers, token_log_odds

logger = logging.getLogger(__name__)

# Made-up prompts of unequal length, as multiples of some step through the vocabulary.
_TRIAL = [[3, 1, 4, 1, 5, 9, 2], [6, 5, 3]]
_FAILURES = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@torch.inference_mode()
def candidate_log_odds_by_layer(
    model: PreTrainedModel, rows: Sequence[Continuation], *, batch_size: int
) -> Iterator[dict[int, list[float]]]:
    """Yield row number → log-odds of its candidate's first token by layer, some rows at a time.

    Layer 0 is what the first block gets, layer n what the nth has made of it; the last one's are the model's own.

    Args:
        model: causal.
        rows: may share prompts; each is read once.
        batch_size: distinct prompts to a batch; one that does not fit into memory is divided.

    Raises:
        InputError: see ``LogitLens``.
    """
    lens = LogitLens(model)
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for row, (prompt, _) in enumerate(rows):
        by_prompt.setdefault(tuple(prompt), []).append(row)
    prompts = [list(prompt) for prompt in by_prompt]
    rows_of = list(by_prompt.values())

    def score(batch: list[int]) -> dict[int, list[float]]:
        taken = [row for number in batch for row in rows_of[number]]
        owner = [place for place, number in enumerate(batch) for _ in rows_of[number]]
        tokens = [rows[row].candidate[0] for row in taken]
        read = lens.read([prompts[number] for number in batch])
        layers = [token_log_odds(logits.float().log_softmax(-1), owner, tokens) for logits in read]
        return {row: list(values) for row, *values in zip(taken, *layers, strict=True)}

    yield from shrinking(cut(plan_prompts(prompts), batch_size), score)


@torch.inference_mode()
def answer_logprobs_by_layer(
    model: PreTrainedModel, prompts: Sequence[list[int]], answers: Sequence[Sequence[int]], *, batch_size: int
) -> Iterator[dict[int, list[list[float]]]]:
    """Yield prompt number → for each layer log Σ p over the ids of each answer, some prompts at a time.

    Args:
        model: causal.
        prompts: token ids.
        answers: the ids that count as each answer.
        batch_size: prompts to a batch; one that does not fit into memory is divided.

    Raises:
        InputError: see ``LogitLens``.
    """
    lens = LogitLens(model)

    def score(batch: list[int]) -> dict[int, list[list[float]]]:
        read = lens.read([prompts[number] for number in batch])
        layers = [sum_answers(logits.float().log_softmax(-1), answers) for logits in read]
        return {number: list(values) for number, *values in zip(batch, *layers, strict=True)}

    yield from shrinking(cut(plan_prompts(prompts), batch_size), score)


class LogitLens:
    """Reads prompts and gives the logits after each by layer: those that its blocks' input has, then each block's.

    ``n_layers`` counts the embeddings, too.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Find the model's blocks, and try whether the last one's logits are the model's own.

        Raises:
            InputError: they are not, whatever is taken for its blocks.
        """
        self.model = model
        self.reader = Reader(model)
        # By block, how many values it returns in a tuple; None: a bare tensor.
        self.widths: dict[int, int | None] = {}
        self.takes_logits_to_keep = "logits_to_keep" in inspect.signature(model.forward).parameters
        for blocks in _lists_of_blocks(model):
            self.blocks, self.n_layers = blocks, len(blocks) + 1
            if self._agrees():
                break
        else:
            raise InputError(
                f"model {model.name_or_path or type(model).__name__}: got layers after which the logit lens does not "
                "find the model's own output; allowed: models of blocks that hand on one hidden state."
            )

    @torch.inference_mode()
    def read(self, prompts: Sequence[list[int]]) -> Iterator[torch.Tensor]:
        """Yield the logits after each prompt, (prompts, vocabulary), layer by layer; the last are the model's own.

        Args:
            prompts: token ids, at least one each.
        """
        for residual in self._read_residuals(prompts):
            yield self._unembed(residual)

    def _read_residuals(self, prompts: Sequence[list[int]]) -> list[torch.Tensor]:
        """Return what each layer has at the end of every prompt, (prompts, hidden)."""
        if self.reader.caches and (self.reader.window is None or max(map(len, prompts)) <= self.reader.window):
            # Its last forward has all prompts, padded on the left; one before it a beginning that all of them share.
            with self._watched() as residuals:
                self.reader.read(prompts, room=0)
            return [residuals[layer] for layer in range(self.n_layers)]
        # As the reader does with such models: prompts of one length together, so that nothing is padded.
        places: list[int] = []
        parts = []
        for length in sorted(set(map(len, prompts))):
            group = [place for place, prompt in enumerate(prompts) if len(prompt) == length]
            with self._watched() as residuals:
                self._forward(torch.tensor([prompts[place] for place in group], device=self.model.device))
            places += group
            parts.append([residuals[layer] for layer in range(self.n_layers)])
        back = torch.tensor(places).argsort()
        return [torch.cat(of_layer)[back.to(of_layer[0].device)] for of_layer in zip(*parts, strict=True)]

    def _unembed(self, residual: torch.Tensor) -> torch.Tensor:
        """Return what the model makes of the last block's output, (rows, hidden), where it has this one."""
        ids = torch.zeros(len(residual), 1, dtype=torch.long, device=self.model.device)
        with self._passed_over(residual[:, None]):
            return self._forward(ids)

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits after the last of some ids, (rows, vocabulary)."""
        keep = {"logits_to_keep": 1} if self.takes_logits_to_keep else {}
        output = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **keep)
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    @torch.inference_mode()
    def _agrees(self) -> bool:
        """Say whether the last layer's logits are the model's own."""
        step = max(1, self.model.config.get_text_config().vocab_size // 16)
        prompts = [[number * step for number in row] for row in _TRIAL]
        own = [self._forward(torch.tensor([row], device=self.model.device)) for row in prompts]
        expected = torch.cat(own).float()
        try:
            *_, found = self.read(prompts)
        except _FAILURES as error:
            if is_out_of_memory(error):
                raise
            logger.info("%s: no logit lens: %s", type(self.model).__name__, error)
            return False
        difference = float((found.float() - expected).abs().max() / expected.std())
        allowed = TOLERANCE.get(self.model.dtype, TOLERANCE_OF_HALF)
        logger.info("%s: the lens' last layer is off by %.1e deviations", type(self.model).__name__, difference)
        return math.isfinite(difference) and difference <= allowed

    @contextmanager
    def _watched(self) -> Iterator[dict[int, torch.Tensor]]:
        """Give what each layer has at the last place of the last forward meanwhile, (rows, hidden)."""
        residuals: dict[int, torch.Tensor] = {}

        def keep(layer: int, hidden: torch.Tensor) -> None:
            if hidden.ndim != 3:
                raise ValueError(f"a hidden state of shape {tuple(hidden.shape)}")
            residuals[layer] = hidden[:, -1].clone()  # the rest need not stay in memory

        def keep_input(_: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            keep(0, given[0] if given else named["hidden_states"])

        def keep_output(number: int, _: torch.nn.Module, given: Any, output: Any) -> None:
            self.widths[number] = len(output) if isinstance(output, tuple) else None
            keep(number + 1, output[0] if isinstance(output, tuple) else output)

        with ExitStack() as stack:
            stack.enter_context(self.blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True))
            for number, block in enumerate(self.blocks):
                stack.enter_context(block.register_forward_hook(partial(keep_output, number)))
            yield residuals

    @contextmanager
    def _passed_over(self, hidden: torch.Tensor) -> Iterator[None]:
        """Let every block return ``hidden`` at once, in the form in which it returns its own."""
        # Not by hooks: those come after a block has done its work. What an instance has as its `forward` goes before
        # its class's; where there is one already, it is put back (models on several devices have one).
        own = [vars(block).get("forward") for block in self.blocks]
        try:
            for number, block in enumerate(self.blocks):
                width = self.widths[number]
                output = hidden if width is None else (hidden, *[None] * (width - 1))
                vars(block)["forward"] = partial(_return, output)
            yield
        finally:
            for block, forward in zip(self.blocks, own, strict=True):
                vars(block).pop("forward", None)
                if forward is not None:
                    vars(block)["forward"] = forward


def _lists_of_blocks(model: PreTrainedModel) -> Iterator[list[torch.nn.Module]]:
    """Yield what may be the model's blocks: lists of as many modules as its configuration says, the outermost first."""
    n_blocks = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_blocks:
            yield list(module)


def _return(value: Any, *_: Any, **__: Any) -> Any:
    return value
