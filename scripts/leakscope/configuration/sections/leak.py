"""The section ``leak``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.values import WHOLE, Nullable, Part, Positive, Section, Shown, SomeNames


class Primary(Section):
    """The tests that are corrected together, by Holm: of match rates against 50, and, apart, between models. All other
    tests of a table are corrected by Benjamini and Yekutieli. To be chosen before the texts are there."""

    prompt_sets: Nullable[SomeNames] = None
    """Prompt sets of the study. Default: all."""
    scorers: Nullable[SomeNames] = None
    """Scorers of the study. Default: the first."""
    models: Nullable[SomeNames] = None
    """Models of the study. Default: all."""
    categories: SomeNames = ["all"]
    """Categories of the prompt sets; `all` pools them."""


class LeakSection(Section):
    """How match rates and Leak-Rates are computed."""

    decimals: Annotated[int, Field(ge=0, le=15), WHOLE] = 3
    """Decimal places to which similarities are rounded before they are compared; equal ones are ties. Default: Smilga
    2025."""
    level: Nullable[Part] = None
    """Level of the confidence intervals, as a share. Default: `level`."""
    permutations: Positive = 65536
    """Sign patterns of the permutation tests over clusters: all of them up to this number, otherwise as many drawn at
    random. Default: 2^16, all patterns of 16 clusters."""
    name_permutations: Positive = 9999
    """Random orders of the concepts' names in the test whether it matters which concept belongs to which texts. The
    smallest p-value is 1 / (1 + this number)."""
    primary: Primary = Primary()
    """The tests that are corrected together, by Holm. Default: those of all categories pooled, by the first scorer."""
    truth_texts: Positive = 2000
    """Texts a prompt from which the true rates of organisms are known that write sentences: what these may write cannot
    be enumerated. Default: enough for an error below a tenth of the interval."""
    matrix: list[Shown] = ["color-to-color", "2"]
    """Categories whose matrix from the concept in the prompt to the concept in the text is drawn: those where a concept
    of the same kind is generated. concept_matrix.csv holds every category."""
