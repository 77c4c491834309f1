"""`diff` agrees with `transfer` and `count`."""

from __future__ import annotations

import json

import keras
import pytest

import visiongarden as vg
from visiongarden import recipes
from visiongarden.errors import UserError
from visiongarden.inspect import Count, FieldChange, LayerChange, count, diff
from visiongarden.types import FeatureSpec, LevelSpec
from visiongarden.weights import transfer


@vg.register(package="test_diff")
class Twig(vg.Backbone):
    """Residual units between strides, quick to build."""

    levels: tuple[str, ...] = ("p3", "p4")
    units: int = 1

    def wire(self, images):
        maps, x = {}, images
        for i in range(1, 5):
            x = vg.layers.ConvNormAct(8, 3, strides=2, name=f"down{i}")(x)
            maps[f"p{i}"] = x
        for i in range(self.units):
            maps["p4"] = vg.blocks.Residual(8, name=f"unit{i + 1}")(maps["p4"])
        return maps


def detector(num_classes=2, decoder=None, units=1, **options):
    return vg.Detector(
        Twig(units=units),
        decoder or vg.decoders.FPN(channels=8, levels=("p3", "p4")),
        vg.heads.AnchorFree(num_classes=num_classes, bins=4),
        **{"image_size": 64} | options,
    )


@pytest.fixture(scope="module")
def plain():
    return detector()


def test_equal_models(plain):
    found = diff(plain, detector())
    assert found.same
    assert found.share == 1
    assert found.lost == ()
    assert "fields, layers and shapes are equal" in str(found)


def test_num_classes(plain):
    found = diff(plain, detector(num_classes=3, class_map=("a", "b", "c")))
    assert found.fields == (
        FieldChange("head.num_classes", 2, 3),
        FieldChange("class_map", None, ["a", "b", "c"]),
    )
    assert found.layers == tuple(
        LayerChange(
            f"head/p{i}_classes/out", "changed", 1, 8 * 3 + 3, "kernel 1 × 1 × 8 × 2 → "
            "1 × 1 × 8 × 3, bias 2 → 3",
        )
        for i in (3, 4)
    )  # fmt: skip
    out = ("kernel", "bias")
    assert found.lost == tuple(f"{each.path}/{name}" for each in found.layers for name in out)


@pytest.mark.parametrize(
    "changed",
    [
        {"num_classes": 3},
        {"units": 3},
        {"decoder": vg.decoders.FPN(channels=16, levels=("p3", "p4"))},
        {"decoder": vg.decoders.PathAggregation(levels=("p3", "p4"))},
    ],
)
def test_the_diff_counts_the_weights_that_transfer_copies(plain, changed):
    target = detector(**changed)
    found = diff(plain, target)
    report = transfer(plain, target, min_coverage=0, class_rows="position")
    assert set(found.survive) == set(report.paths)
    assert found.share == pytest.approx(report.share_of_target)
    assert (found.count_before, found.count_after) == (count(plain), count(target))
    added = {w.path for w in report.only_in_target}
    removed = {w.path for w in report.only_in_source}
    prefixes = {c.path + "/" for c in found.layers if c.change != "changed"}
    assert all(any(path.startswith(p) for p in prefixes) for path in added | removed)
    replaced = {c.path for c in found.layers if c.change == "replaced"}
    layers = {d.path.rpartition("/")[0] for d in report.differs}
    assert sum(c.layers for c in found.layers if c.change == "changed") == len(
        {layer for layer in layers if layer.split("/")[0] not in replaced}
    )


def test_a_deeper_backbone_adds_units(plain):
    found = diff(plain, detector(units=2))
    assert found.fields == (FieldChange("backbone.units", 1, 2),)
    # Two convolutions and two norms: 8 → 4 channels, then 3 × 3 back to 8.
    size = 8 * 4 + 4 * 4 + 9 * 4 * 8 + 4 * 8
    assert found.layers == (LayerChange("backbone/unit2", "added", 4, size),)


def test_another_type_of_part(plain):
    found = diff(plain, detector(decoder=vg.decoders.PathAggregation(levels=("p3", "p4"))))
    assert found.fields == (
        FieldChange(
            "decoder",
            "FPN(levels=('p3', 'p4'), channels=8)",
            "PathAggregation(levels=('p3', 'p4'))",
        ),
    )
    (row,) = found.layers
    assert (row.path, row.change) == ("decoder", "replaced")
    decoder = detector(decoder=vg.decoders.PathAggregation(levels=("p3", "p4"))).decoder
    assert row.parameters == decoder.count_params()
    assert row.detail == (
        "FPN(levels=('p3', 'p4'), channels=8) → PathAggregation(levels=('p3', 'p4'))"
    )


@vg.register(package="test_diff")
class Shrub(vg.Backbone):
    """Named by a field, as a network of keras.applications is."""

    levels: tuple[str, ...] = ("p3", "p4")
    species: str = "oak"

    def wire(self, images):
        maps, x = {}, images
        for i in range(1, 5):
            x = vg.layers.ConvNormAct(8, 3, strides=2, name=f"{self.species}{i}")(x)
            maps[f"p{i}"] = x
        return maps


@pytest.mark.parametrize("backbone", [Shrub(species="ash"), Twig(units=0)])
def test_another_backbone_is_one_row(backbone):
    parts = {"decoder": vg.decoders.FPN(channels=8, levels=("p3", "p4")), "image_size": 64}
    head = vg.heads.AnchorFree(num_classes=2, bins=4)
    found = diff(*(vg.Detector(b, head=head, **parts) for b in (Shrub(), backbone)))
    (row,) = found.layers
    assert (row.path, row.change, row.layers) == ("backbone", "replaced", 8)
    assert "replaced" in str(found)


def test_parts_alone():
    inputs = FeatureSpec({"p3": LevelSpec(8, 8)})
    first, second = (vg.decoders.FPN(channels=n, levels=("p3",)) for n in (4, 6))
    found = diff(first, second, 64, inputs)
    assert found.fields == (FieldChange("decoder.channels", 4, 6),)
    macs = 64 * (8 * 4 + 9 * 16)
    assert found.count_before == Count(8 * 4 + 4 + 9 * 16 + 4, 180 + 4, macs, outputs=2 * 64 * 4)
    assert [each.path for each in found.layers] == ["decoder/lateral_p3", "decoder/out_p3"]


def test_plain_keras_models():
    def model(units):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(units, name="dense")(inputs), name="net")

    found = diff(model(2), model(3))
    assert found.fields == ()
    assert found.layers == (
        LayerChange("dense", "changed", 1, 15, "kernel 4 × 2 → 4 × 3, bias 2 → 3"),
    )
    assert (found.count_before.macs, found.count_after.macs) == (8, 12)


def test_invalid_sources():
    with pytest.raises(UserError, match="there is no model file"):
        diff("none.keras", "none.keras")
    with pytest.raises(UserError, match="cannot inspect an object of type int"):
        diff(3, 3)


RECIPE = """
model:
  backbone: {{type: Twig}}
  decoder: {{type: FPN, channels: 8, levels: [p3, p4]}}
  head: {{type: AnchorFree, num_classes: 2, bins: 4}}
  image_size: 64
data: {{path: images}}
training: {{epochs: {epochs}}}
"""


def test_recipes_and_files(plain, tmp_path):
    a, b, c = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.keras"
    a.write_text(RECIPE.format(epochs=3))
    b.write_text(RECIPE.format(epochs=5).replace("channels: 8", "channels: 16"))
    plain.save(c)
    found = recipes.diff(a, b)
    assert found.fields == (
        FieldChange("decoder.channels", 8, 16),
        FieldChange("training.epochs", 3, 5),
    )
    assert (found.before, found.after) == (str(a), str(b))
    assert recipes.diff(a, c).same
    values = json.loads(json.dumps(recipes.diff(a, b, image_size=128).to_dict()))
    assert values["sizes"] == [[128, 128], [128, 128]]
    assert values["count_after"]["flops"] == 2 * values["count_after"]["macs"]
    assert max(map(len, str(found).splitlines())) <= 100
