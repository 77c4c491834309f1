import copy
import pickle
from pathlib import Path

import pytest
from tests.config.values import Circle, Drawing, Pen, Shape, Square

import visiongarden as vg
from visiongarden.config import Typed
from visiongarden.errors import ConfigError

ROUND = {"type": "Circle", "radius": 128, "edge": "sharp"}


@pytest.mark.parametrize(
    ("drawing", "written"),
    [
        (
            Drawing(),
            {"shape": ROUND, "more": [], "maybe": None, "pen": {"width": 0.1}, "file": None,
             "copies": 1},
        ),
        (
            Drawing(shape=Square(side=2), more=(Circle(radius=3),), file="runs/a", copies=2),
            {"shape": {"type": "Square", "side": 2.0}, "more": [ROUND | {"radius": 3}],
             "maybe": None, "pen": {"width": 0.1}, "file": "runs/a", "copies": 2},
        ),
    ],
)  # fmt: skip
def test_to_dict_and_back(drawing, written):
    assert drawing.to_dict() == written
    assert Drawing.from_dict(written) == drawing


def test_an_empty_dict_means_the_defaults():
    assert Drawing.from_dict({}) == Drawing()


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (Square(side=3), Square(side=3)),
        ("Square", Square()),
        ({"type": "Square"}, Square()),
        ({"type": "Square", "side": 3}, Square(side=3)),
        ({"type": "tests>Square", "side": 3}, Square(side=3)),
        ({"type": "tests.config.values:Square", "side": 3}, Square(side=3)),
    ],
)
def test_spellings_of_a_kind(given, shape):
    assert Drawing(shape=given).shape == shape
    assert Shape.from_dict(given) == shape if isinstance(given, dict) else True


def test_kinds_have_short_names():
    assert Shape.kinds() == {"Circle": Circle, "Square": Square}
    assert Typed.kinds().items() >= Shape.kinds().items()


def test_values_compare_hash_copy_and_pickle():
    drawing = Drawing(shape=Square(side=2))
    assert drawing == Drawing(shape={"type": "Square", "side": 2})
    assert drawing != Drawing()
    for again in (copy.deepcopy(drawing), pickle.loads(pickle.dumps(drawing))):  # noqa: S301
        assert again == drawing
        assert hash(again) == hash(drawing)


def test_values_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Pen().width = 3


def test_replace_checks_again():
    changed = Drawing().replace(copies=3, file=Path("a"))
    assert changed == Drawing(copies=3, file="a")
    with pytest.raises(ConfigError, match="copies: must be greater than 0"):
        Drawing().replace(copies=0)


def test_a_file_cannot_import(monkeypatch):
    with pytest.raises(ConfigError, match=r"import antigravity \(on the command line: --import"):
        Shape.from_dict({"type": "antigravity:Circle"})
    with pytest.raises(ConfigError, match="unknown Shape 'os:system'"):
        Shape.from_dict({"type": "os:system"})


class Unmarked(Circle):
    """A class that nobody registered."""


@pytest.mark.parametrize(
    ("name", "words", "fix"),
    [
        (f"{__name__}:Unmarked", "without @vg.register", "@vg.register\nclass Unmarked("),
        ("tests.config.values:Cirkle", "unknown Shape 'tests.config.values:Cirkle'", "Circle"),
        ("nowhere:Circle", "must be imported first", "--import nowhere"),
    ],
)
def test_why_a_class_of_a_module_is_not_found(name, words, fix):
    with pytest.raises(ConfigError) as error:
        Shape.find(name)
    assert words in str(error.value)
    assert fix in error.value.fix


def test_a_class_of_another_kind_is_named():
    with pytest.raises(ConfigError, match="Focal is a ScoreLoss and cannot be used as Loss"):
        vg.losses.Loss.find("Focal")
