"""Log-odds of a task's items by a model, in every form, or by layer in the main form."""

from __future__ import annotations

import pandas as pd

from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed
from leakscope.validate.scoring.item_scores import (
    GeneratorItem,
    score_generator,
    score_generator_by_layer,
    score_validator,
    score_validator_by_layer,
)
from leakscope.validate.scoring.score_columns import FORM_COLUMNS, SCORE_COLUMNS
from leakscope.validate.tasks.asking import Asking, all_prompts, as_read, joint_summary, main_prompts

LAYER_COLUMNS = ["item_id", "layer", "l_g_first", "l_v"]


def score_items(model: LanguageModel, items: pd.DataFrame, name: str, asking: Asking) -> Completed:
    """Return ``SCORE_COLUMNS``, one row per item, form and style; nats.

    Generators and negated generators have ``tokens`` to ``log_odds_first`` (see ``item_scores.score_generator``),
    validators ``log_odds, logprob_yes, logprob_no``; the other columns are missing. The summary's ``answers`` lists the
    tokens that count as yes and no.

    Args:
        model: causal.
        items: from ``items.item_table``.
        name: the model's name in the study.
        asking: forms, styles and prompting.

    Raises:
        InputError: as ``item_scores.score_generator`` and ``score_validator``.
    """
    prompts = all_prompts(items, asking)
    candidates = dict(zip(items["item_id"], items["candidate"], strict=True))
    parts, generated, judged = [], [], []
    for chat, rows in prompts.groupby("chat", sort=False):
        prompting = asking.prompting._replace(chat=bool(chat))
        read = pd.Series(as_read(model, rows["prompt"], prompting), index=rows.index)
        asks = rows["kind"].eq("validator")
        answers = rows.loc[~asks, "item_id"].map(candidates)
        to_go_on = [GeneratorItem(*pair) for pair in zip(read[~asks], answers, strict=True)]
        generated.append(score_generator(model, to_go_on, name, prompting))
        judged.append(score_validator(model, list(read[asks]), name, prompting))
        parts += [generated[-1].table.set_index(rows.index[~asks]), judged[-1].table.set_index(rows.index[asks])]
    table = prompts[FORM_COLUMNS].join(pd.concat(parts))[SCORE_COLUMNS]
    summary = joint_summary(*(scored.summary for scored in generated + judged))
    return Completed(
        table.astype({"tokens": "Int64"}),
        {**summary, "answers": judged[0].summary["answers"], "styles": asking.styles},
    )


def score_layers(model: LanguageModel, items: pd.DataFrame, name: str, asking: Asking) -> Completed:
    """Return ``LAYER_COLUMNS`` in the main form by the logit lens, one row per item and layer; nats.

    ``l_g_first`` is the log-odds of the candidate's first token, ``l_v`` that of yes against no. Layer 0 is the
    embeddings, the last layer the model's own output.

    Args:
        model: causal.
        items: from ``items.item_table``.
        name: the model's name in the study.
        asking: forms, styles and prompting.

    Raises:
        InputError: as ``item_scores.score_generator_by_layer``.
    """
    prompting = asking.main_prompting
    to_go_on, to_judge = (
        as_read(model, main_prompts(items, kind, asking), prompting) for kind in ("generator", "validator")
    )
    candidates = [GeneratorItem(*pair) for pair in zip(to_go_on, items["candidate"], strict=True)]
    generated = score_generator_by_layer(model, candidates, name, prompting)
    judged = score_validator_by_layer(model, to_judge, name, prompting)
    both = generated.table.merge(judged.table, on=["item", "layer"], validate="one_to_one")
    table = both.rename(columns={"log_odds_first": "l_g_first", "log_odds": "l_v"})
    table.insert(0, "item_id", items["item_id"].to_numpy()[table["item"]])
    summary = joint_summary(generated.summary, judged.summary)
    return Completed(table[LAYER_COLUMNS], {**summary, "answers": judged.summary["answers"]})
