import contextlib
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.values import Circle, Drawing, Square

from visiongarden.config import Value, apply_overrides
from visiongarden.config.overrides import as_override
from visiongarden.errors import ConfigError

SQUARE = {"type": "Square", "side": 2.0}


@pytest.mark.parametrize(
    ("data", "overrides", "result"),
    [
        ({}, [], {}),
        ({}, ["a=1"], {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, ["a.b=3"], {"a": {"b": 3, "c": 2}}),
        ({}, ["a.b.c=x"], {"a": {"b": {"c": "x"}}}),
        ({"a": None}, ["a.b=1"], {"a": {"b": 1}}),
        ({}, ["a=1", "a=2"], {"a": 2}),
        ({}, ["a="], {"a": None}),
        ({}, ["a=[p3, p4]"], {"a": ["p3", "p4"]}),
        ({}, ["a={b: 1}"], {"a": {"b": 1}}),
        ({}, ['a="50"'], {"a": "50"}),
        ({}, ["a=1e-3"], {"a": 0.001}),
        ({}, ["a=x=y"], {"a": "x=y"}),
        ({"a": [1, 2]}, ["a.1=3"], {"a": [1, 3]}),
        ({"a": [{"b": 1}]}, ["a[0].b=3"], {"a": [{"b": 3}]}),
        ({"a": "Square"}, ["a.side=3"], {"a": {"type": "Square", "side": 3}}),
        ({"a": SQUARE}, ["a.type=Circle"], {"a": {"type": "Circle"}}),
        ({"a": SQUARE}, ["a.type=Square"], {"a": SQUARE}),
        ({"a": SQUARE}, ["a.r=1", "a.type=Circle"], {"a": {"type": "Circle", "r": 1}}),
        ({"a": [SQUARE]}, ["a.0.type=Circle"], {"a": [{"type": "Circle"}]}),
        ({"a": SQUARE}, ["type=b"], {"a": SQUARE, "type": "b"}),
    ],
)
def test_sets(data, overrides, result):
    before = repr(data)
    assert apply_overrides(data, overrides) == result
    assert repr(data) == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("", "is not path=value"),
        ("a", "is not path=value"),
        ("=1", "is not path=value"),
        ("a..b=1", "is not path=value"),
        ("a b=1", "is not path=value"),
        ("--a=1", "is not path=value"),
        ("a=[1", "override 'a=.1'"),
        ("a=${oc.env:HOME}", "references"),
        ("a=!!python/name:os.system", "tags"),
        ("number.b=1", "number has no fields"),
        ("list.2=1", "the list has no index '2'\n  rule: an index from 0 to 1"),
        ("list.x=1", "the list has no index 'x'"),
    ],
)
def test_refuses(override, message):
    with pytest.raises(ConfigError, match=message):
        apply_overrides({"number": 3, "list": [1, 2]}, [override])


@given(st.lists(st.text(alphabet="ab.=[]01 {}type", max_size=12), max_size=3))
def test_any_text_sets_or_is_refused(overrides):
    with contextlib.suppress(ConfigError):
        assert isinstance(apply_overrides({"a": {"b": [1, {}]}}, overrides), dict)


@pytest.mark.parametrize(
    ("overrides", "drawing"),
    [
        (["shape.radius=96"], Drawing(shape=Circle(radius=96))),
        (["shape.type=Square"], Drawing(shape=Square())),
        (["shape.side=3", "shape.type=Square"], Drawing(shape=Square(side=3))),
        (["shape=Square"], Drawing(shape=Square())),
        (["more=[Circle, Square]", "more[1].side=3"], Drawing(more=(Circle(), Square(side=3)))),
        (["maybe.type=Circle", "maybe.radius=5"], Drawing(maybe=Circle(radius=5))),
        (["pen.width=2"], Drawing(pen={"width": 2})),
    ],
)
def test_typed_values(overrides, drawing):
    assert Drawing.from_dict(apply_overrides(Drawing().to_dict(), overrides)) == drawing


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("shape.side=3", "shape .Circle.: unknown field 'side'"),
        ("shape.type=Cicle", "did you mean Circle"),
        ("shpe.radius=3", "unknown field 'shpe'\n  fix: did you mean shape"),
        ("copies=many", "copies: must be a whole number"),
    ],
)
def test_wrong_fields_of_typed_values(override, message):
    with pytest.raises(ConfigError, match=message):
        Drawing.from_dict(apply_overrides(Drawing().to_dict(), [override]))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: "${" not in text)
    | st.sampled_from(["yes", "1e-3", "010", "~", "", "*", "it's", "a b", "$HOME", "p3, p4"])
)


@given(
    SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text("ab"), SCALARS, max_size=3)
)
def test_an_override_that_a_fix_shows_sets_the_value(value):
    words = shlex.split(as_override("a.b", value))
    assert apply_overrides({"a": {"c": 1}}, words) == {"a": {"c": 1, "b": value}}


def test_parts_of_a_model():
    from visiongarden import Backbone, Decoder, backbones, decoders

    class Model(Value):
        backbone: Backbone
        decoder: Decoder

    class Recipe(Value):
        model: Model

    start = Recipe(model=Model(backbone=backbones.Darknet53(), decoder=decoders.FPN()))
    overrides = ["model.decoder.channels=96", "model.backbone.type=ResNet"]
    model = Recipe.from_dict(apply_overrides(start.to_dict(), overrides)).model
    assert model.backbone == backbones.ResNet()
    assert model.decoder == decoders.FPN(channels=96)
    with pytest.raises(ConfigError, match=r"model.backbone: unknown Backbone 'ResNte'\n"):
        Recipe.from_dict(apply_overrides(start.to_dict(), ["model.backbone.type=ResNte"]))
