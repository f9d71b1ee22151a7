"""The section ``plan``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leakscope.typed.values import NUMBER, Section

Points = Annotated[float, Field(ge=0, le=50), NUMBER]


class PlanSection(Section):
    """What a plan asks for, and what it takes for granted."""

    power: Annotated[float, Field(ge=0.5, lt=1), NUMBER] = 0.8
    """Probability with which what is called detectable is found. Default: convention."""
    rate: Annotated[float, Field(gt=50, lt=100), NUMBER] = 55
    """Match rate, or Leak-Rate, that shall be told from 50; less 50, the difference that tells two models apart."""
    template_sd: Points = 13
    """Standard deviation of match rates between templates, in points. Default: measured, 9 to 16."""
    text_sd: Points = 15
    """Standard deviation within a prompt, in points, of how often a text is told from those of other concepts. Default:
    measured, 8 to 20."""
    leak_rate_template_sd: Points = 16
    """Standard deviation of Leak-Rates between templates, in points. Default: measured, 7 to 22."""
    leak_rate_text_sd: Points = 12
    """Standard deviation that one text a prompt leaves in a template's Leak-Rate, in points. Default: measured, 6 to
    18."""
    correlation: Annotated[float, Field(gt=-1, lt=1), NUMBER] = 0.2
    """Correlation of two models' rates over templates. Default: measured, -.2 to .5."""
