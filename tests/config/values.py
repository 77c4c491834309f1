"""Values that the tests of this package share."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from visiongarden import register
from visiongarden.config import Typed, Value


class Shape(Typed):
    pass


@register(package="tests")
class Circle(Shape):
    radius: PositiveInt = 128
    edge: Literal["sharp", "soft"] = "sharp"


@register(package="tests")
class Square(Shape):
    side: float = 1.0


class Pen(Value):
    width: float = 0.1


class Drawing(Value):
    shape: Shape = Circle()
    more: tuple[Shape, ...] = ()
    maybe: Shape | None = None
    pen: Pen = Pen()
    file: Path | None = None
    copies: PositiveInt = 1
