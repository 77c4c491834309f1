"""Boxes, signs and arrows as SVG; every name is escaped, because it may come from a file."""

from __future__ import annotations

from html import escape

from visiongarden.inspect.counting import Count
from visiongarden.inspect.drawing.box_shapes import Box
from visiongarden.inspect.drawing.layout import TOP, Layout, Placed
from visiongarden.terminal import printable
from visiongarden.types import ImageSize

_MAX_LETTERS = 16

ARROW_TIP = """<defs>
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6"
 orient="auto-start-reverse"><path d="M0 0L8 4L0 8z"/></marker></defs>"""
"""Definition of the tip of all arrows; a page or file contains it once."""


def pyramid_svg(layout: Layout, total: Count, image: ImageSize, opens: dict[str, str]) -> str:
    """Return the drawing of a whole model as SVG."""
    lines = [
        _open(layout, "architecture of the model: one row per level, parts from left to right")
    ]
    for row, (y, height) in layout.rows.items():
        lines.append(_row(row, y, height, layout.width, image))
    for number, (part, (left, right)) in enumerate(layout.parts.items()):
        lines.append(
            f'<text class="part c{number % 3}" x="{(left + right) / 2:.0f}" y="24">'
            f"{escape(printable(part))}</text>"
        )
    lines += [_image(layout, image), *_arrows(layout)]
    colors = {part: number % 3 for number, part in enumerate(layout.parts)}
    for placed in layout.placed.values():
        lines.append(_draw(placed, total, colors[placed.box.part], opens))
    return "\n".join([*lines, "</svg>"])


def strip_svg(layout: Layout, total: Count, color: int, opens: dict[str, str], exit_: str) -> str:
    """Return the drawing of the inside of one block as SVG, with its entry and exit."""
    lines = [_open(layout, "layers of the block")]
    middle = layout.rows[0][0] + 33 if layout.rows else 40
    lines.append(f'<circle class="end" cx="22" cy="{middle:.0f}" r="6"/>')
    for placed in layout.placed.values():
        if "entry" in placed.box.reads:
            lines.append(_from_entry(placed, middle, layout))
    lines += _arrows(layout)
    if exit_ in layout.placed:
        last = layout.placed[exit_]
        lines.append(_line(last.right, last.middle[1], layout.width - 30, last.middle[1]))
        lines.append(
            f'<circle class="end" cx="{layout.width - 20:.0f}" cy="{last.middle[1]:.0f}" r="6"/>'
        )
    lines += [_draw(placed, total, color, opens) for placed in layout.placed.values()]
    return "\n".join([*lines, "</svg>"])


def number(value: int) -> str:
    """Format a number with three significant digits and a suffix: 1234567 as "1.23 M"."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= power:
            return f"{value / power:.3g} {letter}"
    return str(value)


def sides(shape: tuple[int | None, ...]) -> str:
    """Format a shape: (80, 80, 64) as "80 × 80 × 64"."""
    return " × ".join("?" if side is None else str(side) for side in shape)


def _open(layout: Layout, label: str) -> str:
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="group" '
        f'aria-label="{label}">'
    )


def _row(row: int, y: float, height: float, width: float, image: ImageSize) -> str:
    size = f"{image[0] >> row} × {image[1] >> row}"
    name = f"stride {2**row}" if row else "image"
    return (
        f'<rect class="row" x="4" y="{y - 11:.0f}" width="{width - 8:.0f}" '
        f'height="{height + 22:.0f}" rx="8"/>'
        f'<text class="level" x="16" y="{y + height / 2 - 12:.0f}">p{row}</text>'
        f'<text class="small" x="16" y="{y + height / 2 + 4:.0f}">{name}</text>'
        f'<text class="small" x="16" y="{y + height / 2 + 19:.0f}">{size}</text>'
    )


def _image(layout: Layout, image: ImageSize) -> str:
    """Return the image at the top and its arrows to the boxes that read it."""
    readers = [each for each in layout.placed.values() if "image" in each.box.reads]
    if not readers:
        return ""
    x, y = readers[0].middle[0], TOP - 46
    text = f"image {image[0]} × {image[1]} × {readers[0].box.inputs[0][-1]}"
    return (
        f'<rect class="image" x="{x - 59:.1f}" y="{y:.1f}" width="118" height="22" rx="4"/>'
        f'<text class="on" x="{x:.1f}" y="{y + 15:.1f}">{text}</text>'
        + "".join(
            _path(f"M{x:.1f} {y + 22:.1f}L{each.middle[0]:.1f} {each.y:.1f}") for each in readers
        )
    )


def _draw(placed: Placed, total: Count, color: int, opens: dict[str, str]) -> str:
    box = placed.box
    tip = escape(printable(_tip(box)), quote=True)
    label = escape(printable(f"{box.path}, {box.kind}"), quote=True)
    if box.sign:
        return (
            f'<g class="sign c{color}" tabindex="0" role="img" aria-label="{label}" '
            f'data-tip="{tip}">'
            f'<rect x="{placed.x:.1f}" y="{placed.y:.1f}" width="{placed.width:.0f}" '
            f'height="{placed.height:.0f}" rx="13"/><text x="{placed.middle[0]:.1f}" '
            f'y="{placed.middle[1] + 4:.1f}">{escape(box.sign)}</text></g>'
        )
    target = opens.get(box.path)
    attributes = (
        f'role="button" aria-expanded="false" aria-controls="{target}" data-opens="{target}"'
        if target
        else 'role="img"'
    )
    x, y = placed.x, placed.y
    times = box.repeats if box.repeats > 1 else box.holds
    badge = (
        f'<text class="times" x="{x + 110:.1f}" y="{y + 16:.1f}">×{times}</text>'
        if times > 1
        else ""
    )
    plus = f'<text class="toggle" x="{x + 110:.1f}" y="{y + 57:.1f}">+</text>' if target else ""
    stack = (
        f'<rect class="behind" x="{x + 4:.1f}" y="{y - 4:.1f}" width="{placed.width:.0f}" '
        f'height="{placed.height:.0f}" rx="7"/>'
        if times > 1
        else ""
    )
    share = box.count.macs / total.macs if total.macs else 0
    bar = f'<rect class="bar" x="{x:.1f}" y="{y + 63:.1f}" width="{118 * share:.1f}" height="3"/>'
    name, kind = _short(box.name, times > 1), _short(box.words or box.kind)
    numbers = " · ".join(
        number(n) for n in (box.count.trainable, box.count.macs) if box.count.total or n
    )
    return (
        f'<g class="box c{color}{" expandable" if target else ""}" tabindex="0" {attributes} '
        f'aria-label="{label}" data-tip="{tip}">{stack}<rect class="face" x="{x:.1f}" y="{y:.1f}" '
        f'width="{placed.width:.0f}" height="{placed.height:.0f}" rx="7"/>'
        f'<text class="name" x="{x + 8:.1f}" y="{y + 16:.1f}">{name}</text>{badge}'
        f'<text class="kind" x="{x + 8:.1f}" y="{y + 30:.1f}">{kind}</text>'
        f'<text class="size" x="{x + 8:.1f}" y="{y + 44:.1f}">{escape(sides(box.output))}</text>'
        f'<text class="small" x="{x + 8:.1f}" y="{y + 58:.1f}">{escape(numbers)}</text>'
        f"{bar}{plus}</g>"
    )


def _short(text: str, badge: bool = False) -> str:
    limit = _MAX_LETTERS - (5 if badge else 0)
    text = printable(text)
    return escape(text if len(text) <= limit else text[: limit - 1] + "…")


def _tip(box: Box) -> str:
    count = box.count
    lines = [
        box.path + (f"  ×{box.repeats}" if box.repeats > 1 else ""),
        f"{box.kind} {box.words}".strip(),
        "in   " + ", ".join(sides(shape) for shape in box.inputs),
        "out  " + sides(box.output) + (f"  → {box.level}" if box.level else ""),
    ]
    if count.total:
        lines.append(f"parameters {count.trainable:,} trainable, {count.total:,} total")
        lines.append(f"MACs {count.macs:,}")
        lines.append(f"weights {box.path}/…")
    return "\n".join(lines)


def _arrows(layout: Layout) -> list[str]:
    return [
        _arrow(layout.placed[path], target, layout)
        for target in layout.placed.values()
        for path in target.box.reads
        if path in layout.placed
    ]


def _arrow(source: Placed, target: Placed, layout: Layout) -> str:
    (sx, sy), (tx, ty) = source.middle, target.middle
    if source.row != target.row:
        down = target.row > source.row
        start = source.y + source.height if down else source.y
        end = target.y if down else target.y + target.height
        # Between rows: an S-shaped curve from bottom to top, or from top to bottom.
        half = (start + end) / 2
        return _path(
            f"M{sx:.1f} {start:.1f}C{sx:.1f} {half:.1f} {tx:.1f} {half:.1f} {tx:.1f} {end:.1f}"
        )
    between = [
        each
        for each in layout.placed.values()
        if each.row == target.row and each.lane == source.lane
        and source.right < each.middle[0] < target.x
    ]  # fmt: skip
    if between and source.lane == target.lane:
        # Over boxes in the same lane: an arc above them.
        top = min(each.y for each in [*between, source, target]) - 24
        start = source.y if source.box.sign else source.y + 2
        return _path(
            f"M{source.right - 12:.1f} {start:.1f}C{source.right + 4:.1f} {top:.1f} "
            f"{tx - 40:.1f} {top:.1f} {tx:.1f} {target.y:.1f}"
        )
    # To the next box, or to another lane of the row: a flat curve.
    bend = max((target.x - source.right) / 2, 8)
    return _path(
        f"M{source.right:.1f} {sy:.1f}C{source.right + bend:.1f} {sy:.1f} "
        f"{target.x - bend:.1f} {ty:.1f} {target.x:.1f} {ty:.1f}"
    )


def _from_entry(placed: Placed, middle: float, layout: Layout) -> str:
    x, y = placed.x, placed.middle[1]
    if placed.lane == 0 and any(each.x < x for each in layout.placed.values() if each.lane == 0):
        # A bypass from the entry past the first boxes of the lane: an arc above them.
        top = min(each.y for each in layout.placed.values() if each.lane == 0) - 14
        return _path(
            f"M24 {middle - 6:.1f}C40 {top:.1f} {placed.middle[0] - 40:.1f} {top:.1f} "
            f"{placed.middle[0]:.1f} {placed.y:.1f}"
        )
    return _path(f"M28 {middle:.1f}C44 {middle:.1f} {x - 16:.1f} {y:.1f} {x:.1f} {y:.1f}")


def _line(x: float, y: float, to: float, end: float) -> str:
    return _path(f"M{x:.1f} {y:.1f}L{to:.1f} {end:.1f}")


def _path(path: str) -> str:
    return f'<path class="flow" d="{path}"/>'
