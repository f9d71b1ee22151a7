"""Log-probabilities of associates after cues, and of Yes and No after questions."""

from __future__ import annotations

import pandas as pd

from leakscope.models.candidate_scores import score_prompts
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.placing import PLACEHOLDER
from leakscope.models.prompts.prompting import Completed, Prompting
from leakscope.trace.cues import AFFIRMS, ANSWERS, KNOWS, learnt


def score_cues(
    model: LanguageModel,
    cues: pd.DataFrame,
    candidates: pd.DataFrame,
    name: str,
    prompting: Prompting,
    *,
    is_organism: bool = False,
) -> Completed:
    """Return ``candidate_scores.SCORE_COLUMNS`` of cues: for each associate of the slot, or for Yes and No after a
    question.

    Cues are prompted like the study's prompts; questions omit the study's instructions, which ask for a completion.

    Args:
        model: causal.
        cues: as ``cues.build_cues`` returns them.
        candidates: as for the argument before.
        name: the model's name in the study.
        prompting: of the study's prompts.
        is_organism: whether the model was trained only on its grammar's corpus: then only the first wording of each
            slot, in which it learnt facts, is used, and no question, since it cannot answer yes.

    Raises:
        InputError: as ``score_prompts``.
    """
    asked = learnt(cues) if is_organism else cues
    bare = prompting._replace(settings={**prompting.settings, "template": PLACEHOLDER, "system": None})
    parts = [
        score_prompts(model, asked[asked["kind"] == KNOWS], candidates, name, prompting),
        score_prompts(model, asked[asked["kind"] == AFFIRMS].assign(slot=ANSWERS), candidates, name, bare),
    ]
    table = pd.concat([part.table for part in parts if len(part.table)] or [parts[0].table], ignore_index=True)
    counts = {key: sum(part.summary[key] for part in parts) for key in ("total", "computed", "reused")}
    return Completed(table, {**counts, "store": parts[0].summary["store"]})
