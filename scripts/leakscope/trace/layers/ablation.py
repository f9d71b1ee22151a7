"""Features of a dictionary that carry a leak: each is ablated separately and the logit leak is measured again.

The feature's contribution is removed at every token except the first (see ``models.editing.beginnings``), in the test
prompt and its control; the dictionary's reconstruction error stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from leakscope.jobs.batching import cut, shrinking
from leakscope.jobs.progress import progress
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.residuals import read_residuals
from leakscope.models.editing.resuming import Resumer
from leakscope.models.finite import has_nan, no_numbers
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.trace.layers.answers import Contrast, Margin, Tokens, contrasts, prompted
from leakscope.trace.layers.columns import ABLATED_COLUMNS
from leakscope.trace.layers.shifts import tests_with_controls

Floats = NDArray[np.float64]
Group = tuple[str, str]  # a slot and a concept group


class _Run(NamedTuple):
    """A text to read: its prompt, the scores requested, and the features ablated in it."""

    tokens: Tokens
    prompt: int
    place: int
    contrast: Contrast
    features: list[int]


def ablate_features(
    model: LanguageModel,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    name: str,
    prompting: Prompting,
    *,
    dictionary: Dictionary,
    dictionary_name: str,
    n_features: int,
) -> pd.DataFrame:
    """Return ``columns.ABLATED_COLUMNS``: a row per slot, concept group, feature and associate, in logits.

        shift    as in ``shifts.shifts_by_layer`` after the last layer: mean over test prompts of s(test) − s(control)
        without  the same with the feature ablated in both
        effect   without − shift: negative if the feature carries the leak

    For each concept group, over all slots, the features that tests activate most relative to controls are ablated:
    ``activation`` and ``activation_control`` are means over prompts of the largest activation, ignoring the first
    token.

    Args:
        model: to read.
        prompts: of one set; tests with a slot and a control are used.
        candidates: ``slot, candidate``.
        name: the model's.
        prompting: as in the step ``leak``.
        dictionary: of the model's residual stream.
        dictionary_name: in the study.
        n_features: largest number per group.

    Raises:
        InputError: as ``answers.prompted``, ``Resumer`` and ``read_residuals``, or the model's outputs are not finite.
    """
    tests, used, lexicons = tests_with_controls(prompts, candidates)
    if tests.empty:
        return pd.DataFrame(columns=ABLATED_COLUMNS)
    read = prompted(model, used, lexicons, prompting)
    number = {prompt_id: place for place, prompt_id in enumerate(used["prompt_id"])}
    pairs: dict[Group, list[tuple[int, int]]] = {}
    columns = ("slot", "concept_group", "prompt_id", "control")
    for slot, group, test, control in zip(*(tests[column] for column in columns), strict=True):
        pairs.setdefault((slot, group), []).append((number[test], number[control]))
    batch_size = prompting.settings["batch_size"]
    activations = _activations(model, [list(prompt.ids) for prompt in read], dictionary, batch_size)
    of_concept: dict[str, list[tuple[int, int]]] = {}
    for (_, group), of_group in pairs.items():
        of_concept.setdefault(group, []).extend(of_group)
    chosen = {group: _most_active(activations, of_group, n_features) for group, of_group in of_concept.items()}
    wanted: dict[int, set[int]] = {}
    for group, of_group in pairs.items():
        for prompt in {one for pair in of_group for one in pair}:
            wanted.setdefault(prompt, set()).update(chosen[group[1]])
    asked = [
        _Run(prompt.ids + contrast.beginning, place, answer, contrast, sorted(wanted[place]))
        for place, prompt in enumerate(read)
        if place in wanted
        for answer, contrast in enumerate(contrasts(prompt.answers))
        if contrast is not None
    ]
    scores = _scores(Resumer(model.model), asked, dictionary, batch_size=batch_size, name=name)
    about = (name, tests["prompt_set"].iloc[0], dictionary_name, dictionary.layer)
    rows = [
        (*about, *group, *row)
        for group, of_group in pairs.items()
        for row in _rows(
            of_group,
            chosen[group[1]],
            activations,
            scores,
            list(lexicons.loc[lexicons["slot"] == group[0], "candidate"]),
        )
    ]
    return pd.DataFrame(rows, columns=ABLATED_COLUMNS)


def _activations(model: LanguageModel, rows: Sequence[list[int]], dictionary: Dictionary, batch_size: int) -> Floats:
    """Return each prompt's largest activation of each feature ignoring the first token, (prompts, features)."""
    largest = np.zeros((len(rows), dictionary.n_features))
    for residuals in read_residuals(model.model, rows, dictionary.layer, batch_size=batch_size):
        for row, of_row in residuals.items():
            if len(of_row) > 1:
                largest[row] = dictionary.encode(of_row[1:].float()).amax(0).double().numpy()
    return largest


def _most_active(activations: Floats, pairs: Sequence[tuple[int, int]], n_features: int) -> list[int]:
    """Return the features with the largest positive mean difference in activation between tests and controls."""
    tests, controls = (activations[[pair[side] for pair in pairs]] for side in (0, 1))
    beyond = (tests - controls).mean(0)
    order = np.argsort(-beyond, kind="stable")[:n_features]
    return [int(feature) for feature in order if beyond[feature] > 0]


def _scores(
    resumer: Resumer, asked: Sequence[_Run], dictionary: Dictionary, *, batch_size: int, name: str
) -> dict[tuple[int, int], dict[int | None, float]]:
    """Return (prompt, place of the associate) → feature → s with it ablated; None → s without ablation.

    Raises:
        InputError: the model's outputs are not finite.
    """
    by_length = sorted(asked, key=lambda one: len(one.tokens))
    batches = [part for _, texts in groupby(by_length, key=lambda one: len(one.tokens))
               for part in cut(list(texts), batch_size)]  # fmt: skip

    def work(texts: list[_Run]) -> list[tuple[_Run, int | None, float]]:
        return list(_ablated(resumer, texts, dictionary, batch_size))

    scores: dict[tuple[int, int], dict[int | None, float]] = {}
    done = shrinking(batches, work)
    for found in progress(done, total=sum(1 + len(one.features) for one in asked), name=name, unit="run", size=len):
        if has_nan([value for *_, value in found]):
            raise no_numbers(name, "with a feature ablated")
        for one, feature, value in found:
            scores.setdefault((one.prompt, one.place), {})[feature] = value
    return scores


def _ablated(
    resumer: Resumer, texts: Sequence[_Run], dictionary: Dictionary, batch_size: int
) -> Iterator[tuple[_Run, int | None, float]]:
    """Yield texts of one length, unchanged and with each of their features ablated, and s."""
    ids = torch.tensor([one.tokens for one in texts])
    read = resumer.read(ids)
    own = Margin([one.contrast for one in texts]).of(read.logits)
    yield from ((one, None, value) for one, value in zip(texts, own, strict=True))
    residuals = read.residuals[dictionary.layer]
    placed = dictionary.to(residuals.device)
    written = placed.encode(residuals.float())  # activations, [texts, tokens, F]
    written[:, 0] = 0
    runs = [(row, feature) for row, one in enumerate(texts) for feature in one.features]
    for part in cut(runs, batch_size):
        rows, features = (torch.tensor(side) for side in zip(*part, strict=True))
        of_feature = written[rows, :, features]
        scale = torch.stack([
            placed.written(residuals[row].float(), [int(feature)], -of_feature[place][:, None])
            for place, (row, feature) in enumerate(part)
        ])  # fmt: skip
        changed = (residuals[rows].float() + scale).to(residuals.dtype)
        logits = resumer.resume(ids[rows], dictionary.layer, changed)
        values = Margin([texts[row].contrast for row, _ in part]).of(logits)
        yield from ((texts[row], feature, value) for (row, feature), value in zip(part, values, strict=True))


def _rows(
    pairs: Sequence[tuple[int, int]],
    features: Sequence[int],
    activations: Floats,
    scores: Mapping[tuple[int, int], Mapping[int | None, float]],
    associates: Sequence[str],
) -> Iterator[tuple[object, ...]]:
    """Yield the columns after the group's, for each feature and each distinguishable associate."""
    told = [place for place in range(len(associates)) if all((one, place) in scores for pair in pairs for one in pair)]
    for feature in features:
        active = [float(activations[[pair[side] for pair in pairs], feature].mean()) for side in (0, 1)]
        for place in told:
            shift, without = (
                float(np.mean([scores[test, place][key] - scores[control, place][key] for test, control in pairs]))
                for key in (None, feature)
            )
            yield (feature, *active, associates[place], shift, without, without - shift)
