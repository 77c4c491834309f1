"""Rows of class outputs are matched by class name, never by position."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.types import ClassMap
from visiongarden.weights import transfer


@vg.register(package="tests")
class Strides(vg.Backbone):
    """One strided convolution a level."""

    channels: int = 4

    def wire(self, images):
        x, maps = images, {}
        for number in range(1, 6):
            x = keras.layers.Conv2D(self.channels, 3, 2, "same", name=f"down{number}")(x)
            maps[f"p{number}"] = x
        return {level: maps[level] for level in self.levels}


def anchor_free(classes):
    return vg.heads.AnchorFree(num_classes=classes, bins=4)


def anchor_based(classes):
    anchors = {"p4": ((8, 8), (16, 16)), "p5": ((32, 32),)}
    return vg.heads.AnchorBased(num_classes=classes, anchors=anchors)


def detector(head, names, count=None):
    model = vg.Detector(
        Strides(levels=("p4", "p5")),
        vg.decoders.FPN(channels=8, levels=("p4", "p5")),
        head(count or len(names)),
        image_size=64,
        class_map=names,
    )
    # Every number is different, so that a row identifies its origin.
    start = 0
    for weight in model.weights:
        size = int(np.prod(weight.shape))
        weight.assign(np.arange(start, start + size, dtype=np.float32).reshape(weight.shape))
        start += size
    return model


def arrays(model):
    return {w.path: np.array(keras.ops.convert_to_numpy(w.value)) for w in model.weights}


def out(path):
    return path.startswith("head/") and ("_classes/out/" in path or "_out/" in path)


def by_class(array, names, anchors=1, before=0):
    """Class -> its rows in all anchors; what precedes the classes is under ""."""
    split = array.reshape(*array.shape[:-1], anchors, before + len(names))
    rows = {name: split[..., before + i] for i, name in enumerate(names)}
    return rows | {"": split[..., :before]}


@pytest.mark.backends
@pytest.mark.parametrize("head", [anchor_free, anchor_based])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("cat", "dog", "cow"), ("cow", "cat", "dog")),
        (("cat", "dog", "cow"), ("lion", "dog", "cat", "tiger")),
        (("cat", "dog", "cow", "pig"), ("pig", "dog")),
    ],
)
def test_rows_are_matched_by_name_and_new_classes_keep_their_initial_values(
    tmp_path, head, theirs, ours
):
    source, target = detector(head, theirs), detector(head, ours)
    fresh, given = arrays(target), arrays(source)
    source.save(tmp_path / "m.keras")
    report = transfer(tmp_path / "m.keras", target, min_coverage=0.5)
    now = arrays(target)
    checked = 0
    for path in filter(out, now):
        anchors, before = (1, 0) if head is anchor_free else ({"p4": 2, "p5": 1}[path[5:7]], 5)
        want = by_class(given[path], theirs, anchors, before)
        was = by_class(fresh[path], ours, anchors, before)
        for name, rows in by_class(now[path], ours, anchors, before).items():
            np.testing.assert_array_equal(rows, want.get(name, was[name]))
            checked += 1
    assert checked == 4 * (len(ours) + 1)
    shared, new = set(theirs) & set(ours), set(ours) - set(theirs)
    assert f"matched by name: {len(shared)} of {len(ours)} classes" in str(report)
    rows_a_class = sum(numbers_a_class(now[p], len(ours), head) for p in filter(out, now))
    assert report.fresh == len(new) * rows_a_class
    assert bool(new) == (report.share_of_target < 1)
    for name in new:
        assert name in report.classes


def numbers_a_class(array, count, head):
    if head is anchor_free:
        return array.size // count
    return array.size // (5 + count)


def test_without_a_name_on_both_sides_class_outputs_are_left_out_unless_asked(tmp_path):
    source = detector(anchor_free, ("cat", "dog"))
    source.save(tmp_path / "m.keras")
    given = arrays(source)
    for names in (("red", "blue"), None):
        target = detector(anchor_free, names, 2)
        for weight in target.weights:
            weight.assign(weight + 0.5)
        before = arrays(target)
        report = transfer(tmp_path / "m.keras", target, min_coverage=0.5)
        for path, array in arrays(target).items():
            np.testing.assert_array_equal(array, (before if out(path) else given)[path])
        assert "class outputs were not copied (4 weights)" in str(report)
        assert "class_rows='position'" in report.classes
        transfer(tmp_path / "m.keras", target, class_rows="position", min_coverage=1.0)
        assert all(np.array_equal(array, given[path]) for path, array in arrays(target).items())


def test_class_outputs_of_models_without_any_names_are_left_out_unless_asked_for():
    source, target = (detector(anchor_free, None, 2) for _ in range(2))
    for weight in source.weights:
        weight.assign(weight + 1)
    before = arrays(target)
    report = transfer(source, target, min_coverage=0.5)
    assert "neither source nor target has class names" in report.classes
    assert "class_rows" in report.classes
    after = arrays(target)
    for path, array in after.items():
        of_classes = "_classes/out/" in path
        assert np.array_equal(array, (before if of_classes else arrays(source))[path]), path
    report = transfer(source, target, min_coverage=1.0, class_rows="position")
    assert report.classes == "class rows were copied by position, as requested"
    assert all(np.array_equal(a, arrays(source)[p]) for p, a in arrays(target).items())


def test_the_same_names_in_the_same_order_need_no_note():
    source, target = (detector(anchor_free, ("a", "b")) for _ in range(2))
    target.class_map = ClassMap(("a", "b"), (7, 9))  # other ids in the files
    assert transfer(source, target, min_coverage=1.0).classes == ""
    with pytest.raises(UserError, match="unknown value 'number' of class_rows"):
        transfer(source, target, class_rows="number")


def test_rows_of_a_tower_that_levels_share_are_matched_in_all_anchors(tmp_path):
    def head(classes):
        ratios = (0.5, 1.0, 2.0)
        return vg.heads.RetinaNetHead(
            num_classes=classes, filters=8, repeats=1, anchor_scales=(1.0,), anchor_ratios=ratios
        )

    theirs, ours = ("cat", "dog", "cow"), ("cow", "lion", "cat")
    source, target = detector(head, theirs), detector(head, ours)
    source.save(tmp_path / "m.keras")
    fresh, given = arrays(target), arrays(source)
    transfer(tmp_path / "m.keras", target, min_coverage=0.5)
    now = arrays(target)
    for name in ("kernel", "bias"):
        path = f"head/class_tower/out/{name}"
        want, was = by_class(given[path], theirs, 3), by_class(fresh[path], ours, 3)
        for label, rows in by_class(now[path], ours, 3).items():
            np.testing.assert_array_equal(rows, want.get(label, was[label]))
    np.testing.assert_array_equal(
        now["head/box_tower/out/kernel"], given["head/box_tower/out/kernel"]
    )
