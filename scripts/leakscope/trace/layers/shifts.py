"""The logit leak by layer, through the logit lens: the layers at which an association appears."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from leakscope.jobs.batching import cut, shrinking
from leakscope.jobs.progress import progress
from leakscope.models.editing.resuming import Resumer
from leakscope.models.finite import has_nan, no_numbers
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.trace.layers.answers import Contrast, Margin, Prompted, Tokens, contrasts, prompted

SHIFT_COLUMNS = ["model", "prompt_set", "slot", "concept_group", "associate", "layer", "shift"]
Floats = NDArray[np.float64]


def shifts_by_layer(
    model: LanguageModel, prompts: pd.DataFrame, candidates: pd.DataFrame, name: str, prompting: Prompting
) -> pd.DataFrame:
    """Return ``SHIFT_COLUMNS``: a row per slot, concept group, associate and layer, in logits.

        shift = mean over test prompts of the group of  s(test) − s(control)
        s     = logit of the associate's token − mean logit of the others' tokens at that place

    The associate's token is the first that distinguishes it from all others, read after the shared beginning
    (``answers.among_all``). The control is without the clause, else the neutral one. Layer 0 of the residual stream is
    the first block's input, layer n the nth block's output. NaN if no token distinguishes the associate.

    Args:
        model: to read.
        prompts: of one set; tests with a slot and a control are used.
        candidates: ``slot, candidate``.
        name: the model's.
        prompting: as in the step ``leak``.

    Raises:
        InputError: as ``answers.prompted`` and ``Resumer``, or the model's outputs are not finite.
    """
    tests, used, lexicons = tests_with_controls(prompts, candidates)
    if tests.empty:
        return pd.DataFrame(columns=SHIFT_COLUMNS)
    read = prompted(model, used, lexicons, prompting)
    scores = _scores(Resumer(model.model), read, batch_size=prompting.settings["batch_size"], name=name)
    number = {prompt_id: place for place, prompt_id in enumerate(used["prompt_id"])}
    rows = []
    for (slot, group), of_group in tests.groupby(["slot", "concept_group"], sort=False):
        pairs = [
            (number[test], number[control])
            for test, control in zip(of_group["prompt_id"], of_group["control"], strict=True)
        ]
        shift = np.mean([scores[test] - scores[control] for test, control in pairs], axis=0)
        about = name, of_group["prompt_set"].iloc[0], slot, group
        for associate, curve in zip(lexicons.loc[lexicons["slot"] == slot, "candidate"], shift, strict=True):
            rows += [(*about, associate, layer, value) for layer, value in enumerate(curve)]
    return pd.DataFrame(rows, columns=SHIFT_COLUMNS)


def tests_with_controls(
    prompts: pd.DataFrame, candidates: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return tests with their ``control``, the distinct tests and controls, and each slot's distinct associates."""
    control = prompts["control_id"].where(prompts["control_id"].notna(), prompts["neutral_control_id"])
    slotted = prompts.assign(control=control)[prompts["slot"].notna()]
    tests = slotted[slotted["concept_group"].notna() & slotted["control"].isin(slotted["prompt_id"])]
    used = slotted[slotted["prompt_id"].isin([*tests["prompt_id"], *tests["control"]])].reset_index(drop=True)
    return tests, used, candidates.drop_duplicates(["slot", "candidate"])


def _scores(resumer: Resumer, read: Sequence[Prompted], *, batch_size: int, name: str) -> list[Floats]:
    """Return s after each prompt, [associates, layers]; NaN if no token distinguishes the associate.

    Raises:
        InputError: the model's outputs are not finite.
    """
    asked: dict[Tokens, list[tuple[int, int, Contrast]]] = {}
    for number, prompt in enumerate(read):
        for place, contrast in enumerate(contrasts(prompt.answers)):
            if contrast is not None:
                asked.setdefault(prompt.ids + contrast.beginning, []).append((number, place, contrast))
    scores = [np.full((len(prompt.answers), resumer.n_layers), np.nan) for prompt in read]
    by_length = sorted(asked, key=len)
    batches = [part for _, texts in groupby(by_length, key=len) for part in cut(list(texts), batch_size)]

    def work(texts: list[Tokens]) -> tuple[list[Tokens], list[list[float]]]:
        places = [(row, contrast) for row, text in enumerate(texts) for *_, contrast in asked[text]]
        margin = Margin([contrast for _, contrast in places], [row for row, _ in places])
        layers = resumer.read(torch.tensor(texts)).residuals
        return texts, [margin.of(resumer.unembed(layer[:, -1])) for layer in layers]

    done = shrinking(batches, work)
    for texts, layers in progress(done, total=len(asked), name=name, unit="prompt", size=lambda part: len(part[0])):
        if has_nan(layers):
            raise no_numbers(name, "after a prompt")
        for entry, (number, place, _) in enumerate(question for text in texts for question in asked[text]):
            scores[number][place] = [of_layer[entry] for of_layer in layers]
    return scores
