"""The JavaScript that draws charts in a browser."""

from __future__ import annotations

from functools import cache


@cache
def drawing_program() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that needs no network."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # The script cannot end its HTML element, whatever a later version contains, and its names stay local.
    return f"(() => {{{script}\n}})();".replace("</script", "<\\/script").replace("<!--", "<\\!--")
