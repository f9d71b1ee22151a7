"""The section ``leak``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.values import WHOLE, Nullable, Part, Positive, Section, Shown, SomeNames


class Primary(Section):
    """The primary tests, Holm-corrected in two families: match rates against 50, and differences between models. All
    other tests of a table are corrected by Benjamini and Yekutieli. Choose them before the texts are generated."""

    prompt_sets: Nullable[SomeNames] = None
    """Prompt sets of the primary tests. Default: all of the study."""
    scorers: Nullable[SomeNames] = None
    """Scorers of the primary tests. Default: the study's first."""
    models: Nullable[SomeNames] = None
    """Models of the primary tests. Default: all of the study."""
    categories: SomeNames = ["all"]
    """Prompt categories of the primary tests; `all` pools them."""


class LeakSection(Section):
    """How match rates and Leak-Rates are computed."""

    decimals: Annotated[int, Field(ge=0, le=15), WHOLE] = 3
    """Decimal places to which similarities are rounded before comparison; equal ones are ties. Default: Smilga 2025."""
    level: Nullable[Part] = None
    """Level of the confidence intervals, as a share. Default: `level`."""
    permutations: Positive = 65536
    """Sign patterns in the cluster permutation tests: all if there are at most this many, else this many random ones.
    Default: 2^16, all patterns of 16 clusters."""
    name_permutations: Positive = 9999
    """Random permutations of the concepts' names in the test that the pairing of concepts and texts matters. The
    smallest p-value is 1 / (1 + this number)."""
    primary: Primary = Primary()
    """The primary tests, corrected together by Holm. Default: all categories pooled, first scorer."""
    truth_texts: Positive = 2000
    """Texts per prompt that estimate the true rates of organisms that write sentences, whose outputs cannot be
    enumerated. Default: error below a tenth of the interval."""
    matrix: list[Shown] = ["color-to-color", "2"]
    """Categories for which the matrix of prompt concept × text concept is drawn: those whose texts name a concept of
    the same kind. concept_matrix.csv holds every category."""
