"""The section ``figures``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from leakscope.typed.values import NUMBER, Nullable, Section, Text, mistake


class Width(Section):
    """Widths of figures, in inches."""

    single: Annotated[float, Field(ge=2.5, le=12), NUMBER] = 3.4
    """Width of one column of a page, in inches: that of figures of few panels. Default: that of most journals."""
    double: Annotated[float, Field(ge=5, le=12), NUMBER] = 7.0
    """Width of two columns, in inches: no figure is wider. On a page of one column, the same as `single`."""

    @model_validator(mode="after")
    def _single_is_no_wider(self) -> Width:
        if self.single > self.double:
            raise mistake("single", f"got {self.single:g}", f"allowed: at most double, {self.double:g}.")
        return self


class Font(Section):
    """Font of figures."""

    family: Nullable[Text] = None
    """Family of the font, one that is installed where figures are drawn. `null`: DejaVu Sans, which comes with
    matplotlib. Letters that it lacks are drawn by others."""
    size: Annotated[float, Field(ge=5, le=12), NUMBER] = 7
    """Size of the font in points; titles are half a point larger. Panels get higher with it, not wider."""


class FiguresSection(Section):
    """How figures look in print."""

    style: Nullable[Text] = None
    """A style of matplotlib by name, or the path of a file of one (`.mplstyle`), laid over leakscope's own: models get
    its colors; of fonts, `font` decides. `null`: leakscope's own."""
    width: Width = Width()
    """Widths of figures, in inches."""
    font: Font = Font()
    """Font of figures."""
