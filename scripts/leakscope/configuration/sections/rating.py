"""The section ``rating``."""

from __future__ import annotations

from leakscope.typed.values import Distinct, NotNegative, Nullable, Positive, Section, Text


class RatingSection(Section):
    """The match-rate test for human raters and judge models: which of two texts belongs to which of two concepts? `make
    rate` writes the rating page."""

    items: Positive = 100
    """Comparisons sampled per model and prompt set. Default: a confidence interval of about ±10 points."""
    seed: Nullable[NotNegative] = None
    """Seed of the sample. With another seed, ratings of the old sample no longer apply. Default: `seed`."""
    ratings: Distinct[Text] = []
    """Files of human ratings, as saved by the rating page, or the completed sheet. Raters' names stay in these files.
    """
