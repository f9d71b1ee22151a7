"""Scores of an axis by a model: every template filled with every subject and group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from leakscope.counting.lexicons import names_in
from leakscope.ground.imported import SCORE_COLUMNS, SCORES
from leakscope.ground.naming import Naming
from leakscope.ground.sentence_scores import Sentence
from leakscope.ground.templates import fill, lead_in, read_sentence_templates
from leakscope.models.prompts.prompting import Completed


def score_axis(
    score: Callable[[Sequence[Sentence]], Completed],
    name: str,
    axis: str,
    naming: Naming,
    *,
    lexicons: Mapping[str, Path],
    templates: Mapping[str, Path],
    templates_used: int,
    country: str | None,
) -> Completed:
    """Return the scores of an axis by a model, one row per language, template, subject and group.

    Columns: ``model, axis, language, template_id, subject, group, tokens, logprob, logprob_mean, logprob_span, pmi``;
    log-probabilities in nats, see ``sentence_scores``.

    Args:
        score: sentences → ``sentence_scores.SENTENCE_COLUMNS`` and a summary.
        name: the model's name in the study.
        axis: name of the axis.
        naming: naming rules of the axis.
        lexicons: ``subjects`` and ``groups``, paths of the files.
        templates: language → file.
        templates_used: number of templates to use, from the first one.
        country: country for the prefix of each sentence; None: no prefix.

    Raises:
        InputError: as ``score``.
    """
    keys, sentences = [], []
    for language, path in templates.items():
        read = read_sentence_templates(path)
        lead = lead_in(read, country, path)
        subjects, groups = (names_in(lexicons[side], language) for side in ("subjects", "groups"))
        subjects = {subject: text for subject, text in subjects.items() if naming.subject(subject) is not None}
        for template in read.templates[:templates_used]:
            for subject, subject_name in subjects.items():
                for group, group_name in groups.items():
                    filled = fill(template, subject_name, group_name, lead)
                    sentences.append(Sentence(*filled))
                    keys.append((name, axis, language, template.id, subject, group))
    scored = score(sentences)
    table = pd.concat([pd.DataFrame(keys, columns=SCORE_COLUMNS), scored.table.reset_index(drop=True)], axis=1)
    named = naming.apply(table, ["language", "template_id", "subject", "group"], f"scores of {name} for {axis}")
    return Completed(named[[*SCORE_COLUMNS, "tokens", *SCORES]].astype({"tokens": "Int64"}), scored.summary)
