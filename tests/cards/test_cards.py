"""The shipped cards are complete, other files are safe, and `verify` names differences."""

import copy
import json
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import visiongarden as vg
from visiongarden import cards, recipes
from visiongarden.blocks import DarknetStage
from visiongarden.cli.entry import main
from visiongarden.config import dump_yaml, load_yaml
from visiongarden.errors import ConfigError, UserError
from visiongarden.layers import ConvNormAct

ROOT = Path(__file__).parents[2]
NAMES = cards.names()
# One of each family.
QUICK = (
    *("yolov3-tiny", "yolov4-tiny", "yolov5n", "yolox-nano"),
    *("yolov7-tiny", "yolov8n", "yolo11n"),
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in NAMES]
)
def test_every_model_is_the_published_one(name):
    found = cards.verify(name)
    assert found.ok, str(found)
    checked = {check.what for check in found.checks}
    assert {"parameters", "backbone levels", "decoder levels"} <= checked
    # The convention of the published number for EfficientNet-Lite0 is not stated anywhere; that of
    # Mask R-CNN counts no masks, see below.
    without = ("efficientnet-lite0", "mask-rcnn-r50-fpn")
    assert ("MACs" in checked) == (name not in without)
    assert set(found.card.stages) <= checked


@pytest.mark.slow
def test_the_published_macs_of_mask_rcnn_count_no_masks():
    """torchvision counts 134.38 G with random weights, which find no object."""
    parts = cards.load("mask-rcnn-r50-fpn").model

    def macs(detections):
        head = parts.head.replace(detections=detections)
        return vg.inspect.count(vg.Detector(parts.backbone, parts.decoder, head, 800), 800).macs

    assert 2 * macs(1) - macs(2) == pytest.approx(134.38e9, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_complete(name):
    card = cards.load(name)
    assert card.stages
    assert card.model is not None
    assert all(r.ap is not None or r.ap50 is not None for r in card.results)
    # The table accounts for every parameter, so that a divergence has a place.
    assert sum(stage.params or 0 for stage in card.stages.values()) == card.params
    assert cards.Card.from_dict(card.to_dict()) == card


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_the_page_is_up_to_date():
    assert (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == cards.models().markdown()


TINY = """
title: A network of one stage
authors: [A. Author]
year: 2026
task: detection
license: {code: MIT, weights: none}
image_size: 64
params: 928
macs: 3538944
stages:
  stem: {output: [64, 64, 32], params: 928}
sources: {license: README, params: table 1, macs: table 1, stages: table 1}
"""


def network(filters=32, kernel_size=3, **options):
    images = keras.Input((64, 64, 3))
    stem = ConvNormAct(filters, kernel_size, name="stem", **options)
    return keras.Model(images, stem(images), name="net")


def card_file(folder, **changes):
    path = folder / "mine.yaml"
    fields = load_yaml(TINY)
    fields["stages"] = {"net/stem": fields["stages"]["stem"]}
    path.write_text(dump_yaml(fields | changes))
    return path


def test_a_custom_card(tmp_path):
    assert cards.verify(card_file(tmp_path), network).ok


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: network(31), "net/stem"),
        (lambda: network(kernel_size=1), "net/stem"),
        (lambda: network(strides=2), "net/stem"),
    ],
)
def test_the_first_divergence_is_named(tmp_path, make, what):
    found = cards.verify(card_file(tmp_path), make)
    assert not found.ok
    assert found.first.what == what
    assert found.verdict.startswith(f"mine diverges first at {what}: published 64 × 64 × 32")
    assert "≠" in str(found)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"params": 929}, "parameters"),
        ({"macs": 3538944 * 1.006}, "MACs"),
        ({"macs": 3538944 * 1.0049}, None),
        ({"macs": 3538944 + 2 * 64 * 64 * 32, "convention": {"per_output": 2}}, None),
        ({"macs": 3538944 + 2 * 64 * 64 * 32}, "MACs"),
        ({"stages": {}}, None),
        ({"stages": {"net/other": {"output": [64, 64, 32]}}}, "net/other"),
        ({"stages": {"net/stem": {"output": [64, 64, 32], "repeats": 2}}}, "net/stem"),
        ({"levels": {"backbone": {"p0": {"stride": 1, "channels": 32}}}}, "backbone levels"),
    ],
)
def test_parameters_are_exact_and_macs_within_half_a_percent(tmp_path, changes, what):
    sources = load_yaml(TINY)["sources"]
    sources = {key: text for key, text in sources.items() if changes.get(key, True)}
    if "levels" in changes:
        sources["levels"] = "table 2"
    found = cards.verify(card_file(tmp_path, **changes, sources=sources), network)
    assert (found.first and found.first.what) == what


@vg.register(package="test_cards")
class SevenUnits(vg.backbones.Darknet53):
    """Darknet-53 with one unit too few in its fourth stage, and one too many in its fifth."""

    def wire(self, images):
        x, maps = ConvNormAct(32, 3, activation="leaky_relu", name="stem")(images), {}
        for number, (filters, units) in enumerate(
            ((64, 1), (128, 2), (256, 8), (512, 7), (1024, 5)), start=1
        ):
            x = maps[f"p{number}"] = DarknetStage(filters, units, name=f"stage{number}")(x)
        return maps


def test_the_first_stage_that_differs_is_named():
    card = cards.load("yolov3")
    parts = card.model.replace(backbone=SevenUnits())
    found = cards.verify(card.replace(model=parts))
    assert found.first.what == "backbone/stage4"
    assert "published 8 units" in found.verdict
    assert "built 7 units" in found.verdict
    off = [check.what for check in found.checks if not check.agrees]
    # A unit of either stage costs the same: the MACs do not reveal such a change.
    assert off == ["backbone/stage4", "backbone/stage5", "parameters"]


def test_a_stage_that_the_card_does_not_list_is_named(tmp_path):
    def longer():
        images = keras.Input((64, 64, 3))
        x = ConvNormAct(32, 3, name="stem")(images)
        return keras.Model(images, ConvNormAct(32, name="more")(x), name="net")

    assert cards.verify(card_file(tmp_path), longer).first.what == "net/more"


def test_a_factory_may_use_its_weights(tmp_path):
    def filled():
        model = network()
        model.set_weights([weight * 0 for weight in model.get_weights()])
        return model

    assert cards.verify(card_file(tmp_path), filled).ok


@pytest.mark.parametrize(
    "factory", [lambda: None, "os:nothing", "no_such_module:f", "os", "os:sep"]
)
def test_invalid_factories(tmp_path, factory):
    with pytest.raises(UserError):
        cards.verify(card_file(tmp_path), factory)


def test_sizes_share_fields(tmp_path):
    path = card_file(
        tmp_path,
        convention={"macs": "shared", "fused": False},
        sizes={"a": {}, "b": {"params": 7, "convention": {"macs": "its own"}, "stages": {}}},
    )
    a, b = cards.find(path)
    assert (a.name, a.params, b.name, b.params) == ("a", 928, "b", 7)
    assert (a.convention.macs, b.convention.macs) == ("shared", "its own")
    assert a.architecture == b.architecture == "mine"
    assert b.convention.per_output == 0
    with pytest.raises(ConfigError, match="2 sizes"):
        cards.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parms": 1}, "parms"),
        ({"params": "many"}, "params"),
        ({"params": 0}, "params"),
        ({"sizes": [1]}, "sizes is not a mapping"),
        ({"sizes": {"a": 1}}, "size a is not a mapping of fields"),
        ({"sources": {"params": "here"}}, "no source for license, macs, stages"),
        ({"sources": {"speed": "here"}}, "no source for license"),
        ({"image_size": 10**9}, "image_size"),
        ({"stages": {"net/stem": {"output": [64] * 9}}}, "output"),
        ({"model": {"backbone": "os:system", "decoder": "FPN", "head": "AnchorFree"}}, "os:system"),
        ({"trained": {"training": {"optimizr": "SGD"}}}, "did you mean optimizer"),
    ],
)
def test_errors_are_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        cards.load(card_file(tmp_path, **changes))
    assert "mine.yaml" in str(error.value)


@pytest.mark.parametrize("name", ["yolov33", "nothing.yaml", "../yolov3", ""])
def test_no_such_card(name):
    with pytest.raises(ConfigError):
        cards.load(name)
    if name == "yolov33":
        with pytest.raises(ConfigError, match="did you mean yolov3"):
            cards.load(name)


def leaves(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from leaves(item, (*path, key))


COMPLETE = load_yaml(Path(cards.__file__).parent / "yolov3.yaml")
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(list(leaves(COMPLETE))), JUNK)
def test_a_card_from_outside_is_read_or_refused(tmp_path_factory, place, junk):
    fields = copy.deepcopy(COMPLETE)
    inner = fields
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    path = tmp_path_factory.mktemp("cards") / "fuzzed.yaml"
    try:
        path.write_text(dump_yaml(fields))
    except (ConfigError, UnicodeEncodeError):
        return
    try:
        found = cards.find(path)
    except UserError:
        return
    assert all(isinstance(card, cards.Card) for card in found)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cards") / "bytes.yaml"
    path.write_bytes(data)
    with pytest.raises(UserError):
        cards.load(path)


@pytest.mark.slow
def test_a_model_by_name():
    model = cards.build("yolox-nano", image_size=(64, 96), class_map=("cat", "dog", "cow"))
    assert model.parts.head.num_classes == 3
    assert model.image_size == (64, 96)
    assert model.parts.backbone == cards.load("yolox-nano").model.backbone
    assert isinstance(model, vg.Detector)


@pytest.mark.parametrize(
    ("source", "overrides"),
    [
        ({"data": {"path": "x"}, "model": {"card": "yolox-s", "head": {"num_classes": 2}}}, ()),
        ({"data": {"path": "x"}}, ("model.card=yolox-s", "model.head.num_classes=2")),
    ],
)
def test_a_recipe_takes_a_card(source, overrides):
    model = recipes.resolve(source, overrides=overrides).model
    card = cards.load("yolox-s")
    assert model.head == card.model.head.replace(num_classes=2)
    assert (model.backbone, model.image_size) == (card.model.backbone, card.image_size)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_verify_on_the_command_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "verify_mine.py").write_text(
        "import keras\n"
        "def make(filters=32):\n"
        "    x = keras.Input((64, 64, 3))\n"
        "    from visiongarden.layers import ConvNormAct\n"
        "    return keras.Model(x, ConvNormAct(filters, 3, name='stem')(x), name='net')\n"
        "def other():\n"
        "    return make(16)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path = str(card_file(tmp_path))
    assert run("verify", path, "verify_mine:make") == 0
    assert "mine matches its published card" in capsys.readouterr().out
    assert run("verify", path, "verify_mine:other") == 1
    assert "diverges first at net/stem" in capsys.readouterr().out
    assert run("verify", path, "verify_mine:nothing") == 2
    assert run("verify", path) == 2
    assert "does not specify the parts of its model" in capsys.readouterr().err
    assert run("verify") == 2
    assert run("verify", "yolov33") == 2


def test_models_on_the_command_line(capsys):
    assert run("models", "--task", "detection") == 0
    assert "yolov3-spp" in capsys.readouterr().out
    assert run("models", "--json") == 0
    assert [card["name"] for card in json.loads(capsys.readouterr().out)] == list(NAMES)
    assert run("models", "--markdown") == 0
    assert run("models", "--task", "speech") == 2


CLASSIFIER = """
title: Deep residual learning for image recognition
authors: [A. Author]
year: 2015
task: classification
license: {code: MIT, weights: none}
image_size: 64
model:
  backbone: {type: ResNet, depth: 18, levels: [p5]}
  head: {type: Classification, num_classes: 1000}
params: 11689512
sources: {license: README, params: torchvision's documentation, model: "section 4.1"}
"""


def test_a_classifier_states_its_parts(tmp_path):
    """ResNet-18 has 11,689,512 parameters, torchvision's documentation states."""
    path = tmp_path / "resnet18.yaml"
    path.write_text(CLASSIFIER)
    assert cards.verify(path).ok
    model = cards.build(path, num_classes=5)
    assert isinstance(model, vg.Classifier)
    assert model.parts.decoder == vg.decoders.PassOn(levels=("p5",))
    assert model.parts.head.num_classes == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: classification", "task: detection", "is for a different task"),
        ("{type: Classification, num_classes: 1000}", "{type: Segmentation, num_classes: 3}",
         "has no decoder"),
    ],
)  # fmt: skip
def test_parts_that_do_not_suit_the_task(tmp_path, old, new, message):
    path = tmp_path / "resnet18.yaml"
    path.write_text(CLASSIFIER.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        cards.load(path)
