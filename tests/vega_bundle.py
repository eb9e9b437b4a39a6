"""Makes the script behind the plot of report.html: python -m tests.vega_bundle.

Bundling Vega takes a second and a package of 30 MB, for a script that is the same every time: it is made
once, with the version of vl-convert that `constraints.txt` names, and shipped.
"""

from __future__ import annotations

from importlib.metadata import version

import vl_convert

from margin.report.html import VEGA


def bundle() -> str:
    """Vega-Embed with Vega and Vega-Lite as one script, which sets `vegaEmbed`."""
    names = {"Vega": [vl_convert.get_vega_version()], "Vega-Embed": [vl_convert.get_vega_embed_version()]}
    names["Vega-Lite"] = vl_convert.get_vegalite_versions()[-1:]
    made = ", ".join(f"{name} {version}" for name, (version,) in names.items())
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # The bundle keeps its names to itself, and no string in it may end the element it stands in.
    script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"/* {made}: bundled by {maker()}. */\n(() => {{{script}}})();\n"


def maker() -> str:
    """What bundles here."""
    return f"vl-convert {version('vl-convert-python')}"


if __name__ == "__main__":
    VEGA.write_text(bundle(), encoding="utf-8")
    print(f"{VEGA}: {VEGA.stat().st_size / 1e3:.0f} kB")
