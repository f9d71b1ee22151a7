"""The section ``rating``."""

from __future__ import annotations

from leakscope.typed.values import Distinct, NotNegative, Nullable, Positive, Section, Text


class RatingSection(Section):
    """The test of the match rate as judges and people take it: which of two texts belongs to which of two concepts?
    `make rate` writes the page for people."""

    items: Positive = 100
    """Comparisons in the sample, of each model on each prompt set. Default: an interval of about ten points on either
    side."""
    seed: Nullable[NotNegative] = None
    """Seed of the sample. Another seed is another sample, to which old answers do not belong. Default: `seed`."""
    ratings: Distinct[Text] = []
    """Files of people's answers, as the page saves them, or the sheet filled in. Raters' names stay in them."""
