import pytest
from tests.config.values import Circle, Drawing, Shape

from visiongarden.errors import ConfigError
from visiongarden.recipes import Recipe

FIELDS = "copies, file, maybe, more, pen, shape"
BOTH = "Circle, Square"

ONE_ERROR = [
    ({"copies": 0}, "copies: must be greater than 0\n  received: 0"),
    ({"copies": 1.5}, "copies: must be a whole number\n  received: 1.5"),
    ({"copies": "x" * 99}, f"copies: must be a whole number\n  received: '{'x' * 76}..."),
    (
        {"copis": 3},
        f"Drawing: unknown field 'copis'\n  fix: did you mean copies? (valid: {FIELDS})",
    ),
    ({"pen": {"width": "fat"}}, "pen.width: must be a number\n  received: 'fat'"),
    (
        {"pen": {"widht": 1}},
        "pen (Pen): unknown field 'widht'\n  fix: did you mean width? (valid: width)",
    ),
    ({"pen": 3}, "pen: must be a mapping of fields, `name: value`\n  received: 3"),
    (
        {"shape": {"type": "Circel"}},
        "shape: unknown Shape 'Circel'\n  rule: the name of a registered class; "
        "import the module of your own (on the command line: --import MODULE)\n"
        f"  fix: did you mean Circle? (valid: {BOTH})",
    ),
    (
        {"shape": {"type": "Circle", "edge": "blurred"}},
        "shape.edge: must be 'sharp' or 'soft'\n  received: 'blurred'",
    ),
    (
        {"shape": {"type": "Circle", "raduis": 1}},
        "shape (Circle): unknown field 'raduis'\n  fix: did you mean radius? (valid: edge, radius)",
    ),
    (
        {"shape": {"radius": 3}},
        f"shape: the type of Shape is missing\n  fix: add `type:`, one of {BOTH}",
    ),
    ({"shape": 3}, "shape: must be a mapping of fields, `name: value`\n  received: 3"),
    ({"more": ["Square", 3]}, "more.1: must be a mapping of fields, `name: value`\n  received: 3"),
    (
        {"more": ["Square", {"type": "Circle", "radius": "big"}]},
        "more.1.radius: must be a whole number\n  received: 'big'",
    ),
    (
        {"maybe": {"type": "Square", "size": 1}},
        "maybe (Square): unknown field 'size'\n  fix: did you mean side? (valid: side)",
    ),
    ({"maybe": {"type": "Square", "side": "long"}}, "maybe.side: must be a number\n"),
]


@pytest.mark.parametrize(("data", "message"), ONE_ERROR)
@pytest.mark.parametrize("make", [Drawing.from_dict, lambda data: Drawing(**data)])
def test_one_error(make, data, message):
    with pytest.raises(ConfigError) as error:
        make(data)
    assert str(error.value).startswith(message)
    assert error.value.__suppress_context__


def test_all_errors_are_reported_together():
    with pytest.raises(ConfigError) as error:
        Drawing(copies=0, shape={"type": "Circle", "radius": "x", "edge": "y"}, pan=1)
    assert str(error.value).splitlines() == [
        "4 errors in Drawing:",
        "    shape.radius: must be a whole number, received 'x'",
        "    shape.edge: must be 'sharp' or 'soft', received 'y'",
        "    copies: must be greater than 0, received 0",
        f"    Drawing: unknown field 'pan'; did you mean pen? (valid: {FIELDS})",
    ]


@pytest.mark.parametrize(
    ("cls", "data", "message"),
    [
        (Drawing, [1], "Drawing: must be a mapping of fields"),
        (Circle, {"type": "Square"}, "unknown Circle 'Square'"),
        (Shape, {"type": ["Circle"]}, "unknown Shape"),
        (Shape, {}, "the type of Shape is missing"),
        (Shape, None, "must be a mapping of fields"),
    ],
)
def test_the_outermost_value(cls, data, message):
    with pytest.raises(ConfigError, match=message):
        cls.from_dict(data)


@pytest.mark.parametrize("head", ["AnchorFree", {"type": "AnchorFree"}])
def test_a_name_in_place_of_a_mapping(head):
    model = {"backbone": "Darknet53", "decoder": "FPN", "head": head}
    with pytest.raises(ConfigError, match=r"^model\.head\.num_classes: is missing"):
        Recipe.from_dict({"data": {"path": "x"}, "model": model})
