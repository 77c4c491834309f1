"""Drawing of a model as one SVG file, for documents."""

from __future__ import annotations

import re
from html import escape

from visiongarden.inspect.counting import Count
from visiongarden.inspect.drawing.box_shapes import Box
from visiongarden.inspect.drawing.files import read_file
from visiongarden.inspect.drawing.layout import pyramid
from visiongarden.inspect.drawing.svg import ARROW_TIP, pyramid_svg
from visiongarden.terminal import printable
from visiongarden.types import ImageSize

# The background is part of the drawing, so that it is readable on light and dark pages.
_FILE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
width="{width}" height="{height}">
<title>{title}</title>
<style>
{style}</style>
{tip}
<rect width="{width}" height="{height}" rx="10" fill="{paper}"/>
{figure}
</svg>
"""


def svg_file(title: str, image_size: ImageSize, boxes: tuple[Box, ...], count: Count) -> str:
    """Return the drawing of a `Figure` as a standalone SVG file, from its fields."""
    colors = _light_colors()
    layout = pyramid(boxes, image_size)
    return _FILE.format(
        width=f"{layout.width:.0f}",
        height=f"{layout.height:.0f}",
        title=escape(printable(title)),
        # Few programs other than browsers support custom properties of CSS.
        style=re.sub(r"var\(--(\w+)\)", lambda found: colors[found[1]], read_file("svg.css")),
        tip=ARROW_TIP,
        paper=colors["paper"],
        figure=pyramid_svg(layout, count, image_size, {}),
    )


def _light_colors() -> dict[str, str]:
    """Return the page's colors on light backgrounds, by name."""
    light, *_ = read_file("page.css").split("@media")
    return dict(re.findall(r"--(\w+): (#\w+);", light))
