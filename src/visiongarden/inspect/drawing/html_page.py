"""Drawing of a model as one HTML page without external scripts, fonts or styles."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from visiongarden.inspect.counting import Count
from visiongarden.inspect.drawing.box_shapes import Box, every_box
from visiongarden.inspect.drawing.files import read_file
from visiongarden.inspect.drawing.layout import pyramid, strip
from visiongarden.inspect.drawing.svg import ARROW_TIP, number, pyramid_svg, sides, strip_svg
from visiongarden.terminal import printable
from visiongarden.types import ImageSize

# Names in the page may come from a file. They are escaped, and the content security policy forbids
# any access to the network.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>image {image} · {parameters} trainable parameters, {total} total · {macs} MACs
(FLOPs = 2 × MACs: {flops})</p>
<p class="keys"><button id="all">expand all</button> <button id="none">collapse all</button>
<span>click a box with <b>+</b> to see its layers; hover for shapes and weight paths; each box
shows name, type, height × width × channels, and parameters · MACs; the bar is its share of the
MACs</span></p>
</header>
<div class="figure">
<svg width="0" height="0" class="defs" aria-hidden="true">{tip}</svg>
{figure}
</div>
<main>
{sections}
</main>
<table>
<thead><tr><th>part</th><th>parameters</th><th>MACs</th><th>share of MACs</th></tr></thead>
<tbody>
{parts}
</tbody>
</table>
<div id="hover" role="status" hidden></div>
<script>
{script}</script>
</body>
</html>
"""


def page(
    title: str,
    image_size: ImageSize,
    boxes: tuple[Box, ...],
    parts: Mapping[str, Count],
    count: Count,
    images: str = "",
) -> str:
    """Return the HTML page of a `Figure`, from its fields."""
    opens = {box.path: f"in{i}" for i, box in enumerate(every_box(boxes)) if box.inner}
    colors = {part: i % 3 for i, part in enumerate(dict.fromkeys(b.part for b in boxes))}
    # Sections are written for all layers made of layers, hidden until their box is clicked.
    sections = [
        _section(box, count, colors[box.part], opens) for box in every_box(boxes) if box.inner
    ]
    height, width = image_size
    return _PAGE.format(
        title=escape(printable(title)),
        style=read_file("svg.css") + read_file("page.css"),
        script=read_file("page.js"),
        tip=ARROW_TIP,
        image=escape(printable(f"{height} × {width}" + (images and f", {images}"))),
        parameters=f"{count.trainable:,}",
        total=f"{count.total:,}",
        macs=number(count.macs),
        flops=number(count.flops),
        figure=pyramid_svg(pyramid(boxes, image_size), count, image_size, opens),
        sections="\n".join(sections),
        parts="\n".join(_part_row(part, part_count, count) for part, part_count in parts.items()),
    )


def _section(box: Box, count: Count, color: int, opens: dict[str, str]) -> str:
    depth = box.path.count("/") - 1
    times = f" ×{box.repeats}, only the first is shown" if box.repeats > 1 else ""
    return (
        f'<section id="{opens[box.path]}" class="c{color} depth{min(depth, 4)}" hidden>'
        f"<h2>{escape(printable(box.path))} <small>{escape(box.kind)}{times}: "
        f"{escape(', '.join(sides(shape) for shape in box.inputs))} → "
        f"{escape(sides(box.output))}</small>"
        f'<button class="close" data-closes="{opens[box.path]}">collapse</button></h2>'
        f"{strip_svg(strip(box.inner), count, color, opens, box.inner[-1].path)}</section>"
    )


def _part_row(part: str, part_count: Count, count: Count) -> str:
    share = f"{part_count.macs / count.macs:.0%}" if count.macs else ""
    return (
        f"<tr><th>{escape(printable(part))}</th><td>{part_count.trainable:,}</td>"
        f"<td>{number(part_count.macs)}</td><td>{share}</td></tr>"
    )
