"""Positions of boxes: one row per level, parts side by side, branches below each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from visiongarden.inspect.drawing.box_shapes import Box
from visiongarden.types import ImageSize

BOX_WIDTH, BOX_HEIGHT = 118.0, 66.0
SIGN_WIDTH, SIGN_HEIGHT = 30.0, 26.0
LONG_SIGN_WIDTH = 50.0
GAP, LANE_GAP, ROW_GAP = 20.0, 14.0, 34.0
LEFT, TOP, PART_GAP = 92.0, 84.0, 34.0


@dataclass
class Placed:
    """Position of a box in pixels, from the top left."""

    box: Box
    x: float
    y: float
    width: float
    height: float
    row: int
    lane: int

    @property
    def middle(self) -> tuple[float, float]:
        """Center of the box."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def right(self) -> float:
        """Right side of the box."""
        return self.x + self.width


@dataclass
class Layout:
    """Positions of all boxes of a drawing, in pixels.

    Attributes:
        placed: Position of each box, by path.
        width: Width of the drawing.
        height: Height of the drawing.
        rows: Top and height of each row.
        parts: Left and right side of each part.
    """

    placed: dict[str, Placed] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0
    rows: dict[int, tuple[float, float]] = field(default_factory=dict)
    parts: dict[str, tuple[float, float]] = field(default_factory=dict)


def pyramid(boxes: tuple[Box, ...], image: ImageSize) -> Layout:
    """Arrange a model with one row per stride, finest on top, and parts from left to right."""
    layout = Layout()
    start = LEFT
    for part in dict.fromkeys(box.part for box in boxes):
        own = [box for box in boxes if box.part == part]
        placed = _part(own, layout, image, start)
        right = max(each.right for each in placed)
        layout.parts[part] = (start, right)
        start = right + PART_GAP
    _stack(layout, TOP)
    layout.width = start - PART_GAP + 24
    return layout


def strip(boxes: tuple[Box, ...]) -> Layout:
    """Arrange the inside of a block from left to right, with branches below each other."""
    layout = Layout()
    lanes: list[Placed] = []  # the last box of each lane
    for box in boxes:
        width, height = size(box)
        before = [layout.placed[path] for path in box.reads if path in layout.placed]
        x = max((each.right + GAP for each in before), default=60.0)
        # A box continues the lane of a box that it reads; otherwise it starts a new one.
        lane = next((i for i, last in enumerate(lanes) if last in before), None)
        if lane is None:
            lane = next(
                (i for i, last in enumerate(lanes) if not before and last.right < 0), len(lanes)
            )
        added = Placed(box, x, 0.0, width, height, 0, lane)
        layout.placed[box.path] = added
        lanes[lane : lane + 1] = [added]
    _stack(layout, 30.0)
    layout.width = max((each.right for each in layout.placed.values()), default=0.0) + 60
    return layout


def size(box: Box) -> tuple[float, float]:
    """Return width and height of a box or sign."""
    if not box.sign:
        return BOX_WIDTH, BOX_HEIGHT
    return (LONG_SIGN_WIDTH if len(box.sign) > 2 else SIGN_WIDTH), SIGN_HEIGHT


def _part(own: list[Box], layout: Layout, image: ImageSize, start: float) -> list[Placed]:
    ends: dict[tuple[int, int], float] = {}
    lanes: dict[int, int] = {}
    placed: dict[str, Placed] = {}
    first = not layout.placed
    for box in own:
        width, height = size(box)
        before = [placed[path] for path in box.reads if path in placed]
        row = _row(box, layout, image)
        same = [each for each in before if each.row == row]
        lane = max(same, key=lambda each: each.right).lane if same else 0
        if not before and (row, 0) in ends:  # starts a separate branch
            lane = lanes[row] = lanes.get(row, 0) + 1
        x = max([ends.get((row, lane), start - GAP) + GAP, *(each.right + GAP for each in same)])
        if not first:  # right of what it reads, so that no arrow points backward
            x = max([x, *(each.middle[0] - width / 2 for each in before if each.row != row)])
        added = Placed(box, x, 0.0, width, height, row, lane)
        ends[row, lane] = added.right
        placed[box.path] = layout.placed[box.path] = added
    return list(placed.values())


def _row(box: Box, layout: Layout, image: ImageSize) -> int:
    """Return the row of a box, log2 of its stride.

    An output without height and width stays in the row of its input.
    """
    if len(box.output) == 3 and box.output[0]:
        return round(math.log2(image[0] / box.output[0])) if box.output[0] <= image[0] else 0
    if len(box.output) > 3 and box.output[0]:
        return max(round(math.log2(image[0] / box.output[0])), 0)
    read = next((layout.placed[path] for path in box.reads if path in layout.placed), None)
    return read.row if read else 0


def _stack(layout: Layout, top: float) -> None:
    """Set the vertical positions of rows and lanes, from the top."""
    y = top
    for row in sorted({each.row for each in layout.placed.values()}):
        own = [each for each in layout.placed.values() if each.row == row]
        start = y
        for lane in sorted({each.lane for each in own}):
            height = max(each.height for each in own if each.lane == lane)
            height = BOX_HEIGHT if lane == 0 else height
            for each in own:
                if each.lane == lane:
                    each.y = y + (height - each.height) / 2
            y += height + LANE_GAP
        layout.rows[row] = (start, y - LANE_GAP - start)
        y += ROW_GAP - LANE_GAP
    layout.height = y - ROW_GAP + 16
