"""The section ``plan``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.values import NUMBER, Section

Points = Annotated[float, Field(ge=0, le=50), NUMBER]


class PlanSection(Section):
    """Targets and assumptions of `make plan`."""

    power: Annotated[float, Field(ge=0.5, lt=1), NUMBER] = 0.8
    """Statistical power. Default: convention."""
    rate: Annotated[float, Field(gt=50, lt=100), NUMBER] = 55
    """Match rate or Leak-Rate to detect against 50; `rate` − 50 is the difference between two models to detect."""
    template_sd: Points = 13
    """Standard deviation of match rates between templates, in points. Default: measured, 9 to 16."""
    text_sd: Points = 15
    """Standard deviation, within a prompt and in points, of how often a text is distinguished from texts of other
    concepts. Default: measured, 8 to 20."""
    leak_rate_template_sd: Points = 16
    """Standard deviation of Leak-Rates between templates, in points. Default: measured, 7 to 22."""
    leak_rate_text_sd: Points = 12
    """Standard deviation of a template's Leak-Rate at one text per prompt, in points. Default: measured, 6 to 18."""
    correlation: Annotated[float, Field(gt=-1, lt=1), NUMBER] = 0.2
    """Correlation of two models' rates over templates. Default: measured, -.2 to .5."""
