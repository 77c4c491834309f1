"""Each head may have its own classes, from the data to the results."""

import cv2
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import recipes
from visiongarden.errors import ConfigError, ContractError, UserError
from visiongarden.tasks import task_of
from visiongarden.types import ClassMap, LabelMap

CELLS, SCENES = ("a", "b", "c"), ("indoor", "outdoor")


def heads(**changes):
    return {
        "boxes": vg.heads.AnchorFree(num_classes=3, bins=4, levels=("p3",)),
        "scene": vg.heads.Classification(num_classes=2, levels=("p5",), dropout=0.0),
    } | changes


def build(**fields):
    keras.utils.set_random_seed(0)
    parts = {
        "backbone": vg.backbones.CSPDarknet(levels=("p3", "p5"), width=0.0625, depth=0.33),
        "decoder": vg.decoders.PassOn(levels=("p3", "p5")),
        "heads": heads(),
        "image_size": 32,
        "class_map": {"boxes": CELLS, "scene": SCENES},
    }
    return vg.MultiHead(**(parts | fields))


def data(labels=None, count=4, classes=CELLS):
    rng, samples, labels = np.random.default_rng(0), [], labels or LabelMap(SCENES)
    for number in range(count):
        image = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        cv2.rectangle(image, (4, 4), (20, 20), (255, 0, 0), -1)
        objects = vg.samples.Instances(
            (32, 32), vg.samples.Boxes([[4, 4, 20, 20]]), np.array([number % 3])
        )
        info = vg.samples.ImageInfo(number, None, (32, 32))
        scene = np.eye(len(labels), dtype=np.float32)[number % len(labels)]
        samples.append(vg.samples.Sample(info, image, objects, labels=scene))
    return vg.data.Dataset(ClassMap(classes), samples, label_map=labels)


@pytest.mark.slow
def test_results_have_the_classes_of_their_head(tmp_path):
    model = build()
    assert model.class_map == ClassMap(CELLS)
    assert model.parts.head.class_maps == {"scene": SCENES}
    model.save(tmp_path / "m.keras")
    reopened = vg.load(tmp_path / "m.keras")
    assert reopened.parts == model.parts
    image = np.zeros((40, 50, 3), np.uint8)
    for each in (model, reopened):
        (found,) = vg.predict(each, image, score=0.0)
        assert found["boxes"].class_map.names == CELLS
        assert found["scene"].class_map.names == SCENES
        rows = found.to_dict()
        assert {row["class"] for row in rows["scene"]["classes"]} == set(SCENES)
    # Other names for all heads, as a renumbering to a dataset gives them, leave those of the scene.
    assert found.replace(class_map=ClassMap(("x", "y", "z")))["scene"].class_map.names == SCENES


def test_metrics_have_a_row_for_each_class_of_each_head():
    result = vg.evaluate(build(), data())
    assert {f"boxes/{name}" for name in CELLS} <= result.per_class.keys()
    assert {f"scene/{name}" for name in SCENES} <= result.per_class.keys()


def test_boxes_are_matched_by_name_and_scenes_must_agree():
    """Another order of the classes of boxes does not touch the scenes."""
    model = build()
    expected = vg.evaluate(model, data())
    other = data(classes=("c", "b", "a"))
    assert vg.evaluate(model, other)["scene/top1"] == expected["scene/top1"]
    with pytest.raises(UserError, match="other classes than the head 'scene'"):
        vg.evaluate(model, data(LabelMap(("outdoor", "indoor"))))


@pytest.mark.slow
def test_training_takes_both_from_the_data():
    task = task_of(build())
    assert task.class_map(data()) == ClassMap(CELLS)
    assert task.model_class_map(data()) == {"boxes": ClassMap(CELLS), "scene": ClassMap(SCENES)}
    loader = task.loader(data(), (32, 32), 4, [])
    model = build()
    model.compile("sgd", jit_compile=False)
    history = model.fit(loader, validation_data=task.loader(data(), (32, 32), 4), verbose=0)
    assert {"val_boxes/AP", "val_scene/top1"} <= history.history.keys()


def test_a_recipe_fills_in_the_number_of_classes_of_each_head(monkeypatch, tmp_path):
    monkeypatch.setattr("visiongarden.recipes.resolution.read_split", lambda *_: data())
    fields = {
        "data": {"path": str(tmp_path)},
        "model": {"heads": {"boxes": "AnchorFree", "scene": "Classification"}},
        "evaluation": {"monitor": "boxes/AP"},
    }
    recipe = recipes.resolve(fields)
    counts = {name: head.num_classes for name, head in recipe.model.head.heads.items()}
    assert counts == {"boxes": 3, "scene": 2}
    model = recipe.build_weightless()
    assert model.parts.head.class_maps == {}
    built = recipe.build(class_map=recipe.kind.model_class_map(data()))
    assert built.class_map.names == CELLS
    assert built.parts.head.class_maps == {"scene": SCENES}


def test_one_class_map_is_that_of_all_heads():
    model = build(heads=heads(scene=vg.heads.Classification(num_classes=3)), class_map=CELLS)
    assert model.parts.head.class_maps == {}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"class_map": {"boxes": CELLS, "scenes": SCENES}}, ConfigError, "scenes"),
        ({"class_map": {"boxes": CELLS, "scene": (*SCENES, "x")}}, ConfigError, "outdoor, x"),
        ({"class_map": {"boxes": SCENES, "scene": SCENES}}, ContractError, "num_classes"),
        ({"class_map": CELLS}, ContractError, "num_classes"),
    ],
)
def test_names_that_do_not_fit(fields, error, message):
    with pytest.raises(error, match=message):
        build(**fields)


@pytest.mark.parametrize("label_map", [LabelMap(SCENES, ("m", "m")), LabelMap(SCENES)])
def test_values_are_no_classes(label_map):
    """Labels with units, or outside 0 to 1, are values of a regression."""
    found = data(label_map)
    if not any(label_map.units):
        found.samples[0].labels[:] = 7
    with pytest.raises(UserError, match="are values"):
        task_of(build()).check(found)


def test_labels_of_whole_images_hide_no_boxes():
    """They are listed above the image, which stays as the head with boxes draws it."""
    model = build()
    image = np.full((60, 90, 3), 128, np.uint8)
    boxes = vg.samples.Instances(
        (60, 90), vg.samples.Boxes([[0, 0, 30, 30]]), np.array([0]), scores=np.array([0.9])
    )
    scene = vg.types.Ranking(np.array([1, 0], np.int32), np.array([0.75, 0.25], np.float32))
    found = vg.types.HeadResults({"boxes": boxes, "scene": scene})
    task = task_of(model)
    drawn = task.draw(image, found, model.class_map)
    alone = task.tasks["boxes"].draw(image, boxes, model.class_map)
    band = drawn.shape[0] - 60
    assert 0 < band < 60
    np.testing.assert_array_equal(drawn[band:], alone)
    # The names are those of the scenes: the same band as of the head alone.
    listed = task.tasks["scene"].draw(np.full_like(image, 255), scene, ClassMap(SCENES))
    np.testing.assert_array_equal(drawn[:band], listed[:band])
