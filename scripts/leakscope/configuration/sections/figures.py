"""The section ``figures``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from leakscope.typed.values import NUMBER, Nullable, Section, Text, mistake


class Width(Section):
    """Widths of figures, in inches."""

    single: Annotated[float, Field(ge=2.5, le=12), NUMBER] = 3.4
    """Width of one column, in inches, for figures of few panels. Default: that of most journals."""
    double: Annotated[float, Field(ge=5, le=12), NUMBER] = 7.0
    """Width of two columns, in inches; no figure is wider. For one-column pages, set it equal to `single`."""

    @model_validator(mode="after")
    def _single_is_no_wider(self) -> Width:
        if self.single > self.double:
            raise mistake("single", f"got {self.single:g}", f"allowed: at most double, {self.double:g}.")
        return self


class Font(Section):
    """Font of figures."""

    family: Nullable[Text] = None
    """Font family, installed where figures are drawn. `null`: DejaVu Sans, which comes with matplotlib. Missing glyphs
    come from fallback fonts."""
    size: Annotated[float, Field(ge=5, le=12), NUMBER] = 7
    """Font size in points; titles are half a point larger. Panels grow in height with it, not in width."""


class FiguresSection(Section):
    """Style, width and font of the figures."""

    style: Nullable[Text] = None
    """Name of a matplotlib style, or path of a `.mplstyle` file, applied over leakscope's own: it sets the models'
    colors, while `font` sets the font. `null`: leakscope's own."""
    width: Width = Width()
    """Widths of figures, in inches."""
    font: Font = Font()
    """Font of figures."""
