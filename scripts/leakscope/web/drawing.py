"""The program that draws charts in a browser."""

from __future__ import annotations

from functools import cache


@cache
def drawing_program() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that asks no network for anything."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Whatever a later version holds, it cannot end the element that holds it. Its many names stay its own.
    return f"(() => {{{script}\n}})();".replace("</script", "<\\/script").replace("<!--", "<\\!--")
