"""The section ``leak``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.values import WHOLE, Nullable, Part, Positive, Section, Shown


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
    truth_texts: Positive = 2000
    """Texts a prompt from which the true rates of organisms are known that write sentences: what these may write cannot
    be enumerated. Default: enough for an error below a tenth of the interval."""
    matrix: list[Shown] = ["color-to-color", "2"]
    """Categories whose matrix from the concept in the prompt to the concept in the text is drawn: those where a concept
    of the same kind is generated. concept_matrix.csv holds every category."""
