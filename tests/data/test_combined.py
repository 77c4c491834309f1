"""Several datasets as one: classes by name, what each annotates, and how often images are shown."""

import pickle
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from visiongarden.data.combined import Part, combined
from visiongarden.data.dataset import Dataset
from visiongarden.data.fingerprints import changes, fingerprint
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.loader import Loader
from visiongarden.data.readers import read
from visiongarden.data.rows import NO_SCHEME, KeypointScheme, Row
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.errors import DataError, UserError
from visiongarden.samples import ImageInfo, Sample
from visiongarden.types import ClassMap, LabelMap

SIZE = (8, 10)


def row(name, classes=(), polygons=None, keypoints=None, labels=None, rotated=False):
    count = len(classes)
    box = [4, 4, 4, 2, 0] if rotated else [1, 2, 5, 6]
    return Row(
        Path(name),
        SIZE,
        np.array([box] * count, np.float32).reshape(count, len(box)),
        np.array(classes, np.int32),
        np.zeros(count, bool),
        polygons=polygons,
        keypoints=keypoints,
        labels=labels,
    )


def dataset(names, *rows, scheme=NO_SCHEME, **attributes):
    return Dataset.of_rows(ClassMap(names), rows, scheme=scheme, **attributes)


def pets(**fields):
    rows = [row(f"pets{i}.jpg", (i % 2,)) for i in range(5)]
    return Part(dataset(("cat", "dog"), *rows), "pets", **fields)


def cars(**fields):
    rows = [row("car0.jpg", (0, 1)), row("car1.jpg"), row("car2.jpg", (1,))]
    return Part(dataset(("dog", "car"), *rows), "cars", **fields)


def test_classes_are_matched_by_name():
    both = combined([pets(), cars()])
    assert both.class_map.names == ("cat", "dog", "car")
    assert [sample.info.id for sample in both] == list(range(8))
    assert [s.instances.classes.tolist() for s in both] == [
        [0],
        [1],
        [0],
        [1],
        [0],
        [1, 2],
        [],
        [2],
    ]
    assert both.counts().tolist() == [3, 3, 2]
    assert both.objects().tolist() == [1, 1, 1, 1, 1, 2, 0, 1]
    assert both.fields == {"boxes"}
    assert [row.classes.tolist() for row in both.rows()][5:] == [[1, 2], [], [2]]
    assert str(both.image_path(6)) == "car1.jpg"
    assert both.location(5, 1) == "car0.jpg: object 2"
    assert both[0].instances.class_map is both.class_map


def test_unannotated_classes_are_recorded():
    both = combined([pets(), cars()])
    assert both[0].known_classes.tolist() == [True, True, False]
    assert both[7].known_classes.tolist() == [False, True, True]
    both = combined([pets(classes=("cat", "dog", "car")), cars(classes=("cat", "dog", "car"))])
    assert both[0].known_classes is None
    # Each image has the array if some image needs it, because a batch is one array.
    both = combined([pets(classes=("cat", "dog", "car")), cars()])
    assert both[0].known_classes.tolist() == [True] * 3
    # A class that is in no class map can be annotated and absent.
    both = combined([pets(classes=("cat", "dog", "fox"))])
    assert both.class_map.names == ("cat", "dog", "fox")


def test_given_class_names_define_the_order():
    both = combined([pets(), cars()], ("car", "bus", "dog", "cat"))
    assert both.class_map.names == ("car", "bus", "dog", "cat")
    assert both[5].instances.classes.tolist() == [2, 0]
    assert both[5].known_classes.tolist() == [True, False, True, False]
    with pytest.raises(DataError, match=r"cars: class 'car' is not in class_names") as caught:
        combined([pets(), cars()], ("cat", "dog"))
    assert caught.value.fix == "class_names=['cat', 'dog', 'car']"


@pytest.mark.parametrize(
    ("weights", "shown"),
    [((1, 1), (5, 3)), ((2, 1), (10, 3)), ((0.4, 3), (2, 9)), ((1.6, 0.001), (8, 1))],
)
def test_weights_are_the_number_of_times_per_epoch(weights, shown):
    both = combined([pets(weight=weights[0]), cars(weight=weights[1])])
    assert both.images_per_epoch == sum(shown)
    totals = Counter()
    for epoch in range(50):
        order = both.sampled(np.random.default_rng((7, epoch)))
        again = both.sampled(np.random.default_rng((7, epoch)))
        assert order.tolist() == again.tolist()
        assert ((order < 5).sum(), (order >= 5).sum()) == shown
        counts = np.bincount(order, minlength=8)
        for part, weight in ((counts[:5], weights[0]), (counts[5:], weights[1])):
            assert set(part) <= {int(weight), int(weight) + 1}
        totals.update(order.tolist())
    # The images that are shown once more differ between epochs.
    assert len(totals) == 8


def test_loader_shows_the_images_of_an_epoch(tmp_path):
    rows = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((*SIZE, 3), number, np.uint8))
        rows.append(row(path, (0,)))
    both = combined(
        [
            Part(dataset(("cat",), *rows[:2]), "a", weight=2),
            Part(dataset(("dog",), rows[2]), "b"),
        ]
    )
    loader = Loader(both, SIZE, 2, transforms=(), shuffle=True, drop_remainder=False)
    assert len(loader) == 3
    batches = list(loader.epoch(0))
    assert sorted(i for b in batches for i in b.info.ids.tolist()) == [0, 0, 1, 1, 2]
    for batch in batches:
        for number, known in zip(batch.info.ids, batch.targets["known_classes"], strict=True):
            assert known.tolist() == ([False, True] if number == 2 else [True, False])
    # Evaluation shows each image once, in order.
    plain = Loader(both, SIZE, 2)
    assert [i for b in plain.epoch(0) for i in b.info.ids.tolist()] == [0, 1, 2]


def test_masks_and_keypoints_stay():
    ring = np.array([[1, 2], [5, 2], [5, 6]], np.float32)
    points = np.array([[[1, 2, 2], [3, 4, 1]]], np.float32)
    scheme = KeypointScheme(("left", "right"), ((0, 1),))
    part = dataset(("cat",), row("a.jpg", (0,), ((ring,),), points), scheme=scheme)
    both = combined([Part(part, "a"), Part(part, "b")])
    assert both.fields == {"boxes", "masks", "keypoints"}
    found = both[1].instances
    assert found.masks.polygons()[0][0].tolist() == ring.tolist()
    assert found.keypoints.values.tolist() == points.tolist()
    assert found.keypoints.names == ("left", "right")
    again = both.with_rows(both.rows())
    assert again[1].instances.keypoints.pairs == ((0, 1),)


def test_part_of_a_combination():
    part = combined([pets(weight=2), cars()]).part([5, 0, 7])
    assert [s.instances.classes.tolist() for s in part] == [[1, 2], [0], [2]]
    assert part.counts().tolist() == [1, 1, 2]
    assert part.images_per_epoch == 4
    assert pickle.loads(pickle.dumps(part)).objects().tolist() == [2, 1, 1]  # noqa: S301


def test_images_with_one_class_have_no_other():
    cats = ClassSamples(ClassMap(("cat", "dog")), (Path("a.jpg"),), (1,))
    birds = ClassSamples(ClassMap(("bird",)), (Path("b.jpg"),), (0,))
    both = combined([Part(Dataset(s.class_map, s), "x") for s in (cats, birds)])
    assert [s.labels.tolist() for s in both] == [[0, 1, 0], [0, 0, 1]]
    assert both.counts().tolist() == [0, 1, 1]


def test_unannotated_labels_are_unknown():
    rows = [row("a.jpg", labels=np.array(each, np.float32)) for each in ([1, 1], [0, 1])]
    one = dataset(("cat", "dog"), *rows)
    two = dataset(("dog", "fox"), row("b.jpg", labels=np.array([0, np.nan], np.float32)))
    both = combined([Part(one, "one"), Part(two, "two")])
    nan = np.nan
    # The second image may have a third class, because others have several.
    expected = [[1, 1, nan], [0, 1, nan], [nan, 0, nan]]
    assert np.array_equal([s.labels for s in both], expected, equal_nan=True)


def test_semantic_masks_get_the_classes_of_all(tmp_path):
    masks = []
    for number, values in enumerate(([[0, 1]], [[1, 255]])):
        masks.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(masks[-1]), np.array(values, np.uint8))
    pairs = [(("sky", "road"), masks[0]), (("tree", "sky"), masks[1])]
    parts = [
        Dataset(ClassMap(names), SemanticSamples(ClassMap(names), (mask,), (mask,)))
        for names, mask in pairs
    ]
    both = combined([Part(part, "x") for part in parts])
    assert both.class_map.names == ("sky", "road", "tree")
    assert [both.load(i).semantic.tolist() for i in range(2)] == [[[0, 1]], [[0, 255]]]


def test_samples_in_memory_with_and_without_a_semantic_mask():
    names, image = ClassMap(("sky", "road")), np.zeros((2, 2, 3), np.uint8)
    samples = [
        Sample(ImageInfo(i, None, (2, 2)), image, semantic=mask)
        for i, mask in enumerate((np.ones((2, 2), np.uint8), None))
    ]
    both = combined([Part(Dataset(names, samples), "x")])
    assert both.load(0).semantic.tolist() == [[1, 1], [1, 1]]
    assert both.load(1).semantic is None


def test_names_that_differ_in_case_give_a_warning():
    other = Part(dataset(("Cat", "traffic light"), row("a.jpg", (0,))), "other")
    third = Part(dataset(("traffic_light",), row("b.jpg", (0,))), "third")
    both = combined([pets(), other, third])
    assert both.class_map.names == ("cat", "dog", "Cat", "traffic light", "traffic_light")
    assert both.notes == [
        "classes 'cat' (pets) and 'Cat' (other) are two classes; if they are the same, rename the "
        "second: class_names=['cat', 'traffic light'] for other",
        "classes 'traffic light' (other) and 'traffic_light' (third) are two classes; if they are "
        "the same, rename the second: class_names=['traffic light'] for third",
    ]


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), 1e6, True, "2", None])
def test_invalid_weights(weight):
    with pytest.raises(UserError, match="cars: weight is"):
        combined([pets(), cars(weight=weight)])


def test_classes_without_annotation_have_no_objects():
    with pytest.raises(UserError, match=r"pets: 2 objects have class 'dog'") as caught:
        combined([pets(classes=("cat",))])
    assert caught.value.fix == "classes=['cat', 'dog']"
    with pytest.raises(UserError, match="classes is empty"):
        combined([pets(classes=())])
    with pytest.raises(UserError, match="list of datasets is empty"):
        combined([])


def test_different_annotations_are_refused():
    ring = np.array([[1, 2], [5, 2], [5, 6]], np.float32)
    masks = dataset(("cat",), row("a.jpg", (0,), ((ring,),)))
    with pytest.raises(DataError, match="different annotations") as caught:
        combined([pets(), Part(masks, "masks")])
    assert caught.value.received == "boxes in pets; boxes, masks in masks"
    assert caught.value.fix.startswith("fields=['boxes'] for each dataset")
    both = combined([pets(), Part(masks, "masks", fields=("boxes",))])
    assert both.fields == {"boxes"}
    assert both[5].instances.masks is None
    with pytest.raises(UserError, match="no field 'mask'"):
        combined([Part(masks, "masks", fields=("mask",))])
    # Images without objects have no masks either.
    empty = dataset(("cat",), row("b.jpg"))
    assert len(combined([Part(masks, "masks"), Part(empty, "empty")])) == 2
    turned = dataset(("cat",), row("c.jpg", (0,), rotated=True))
    with pytest.raises(DataError, match="different annotations"):
        combined([pets(), Part(turned, "turned")])


def test_different_keypoints_are_refused():
    points = np.array([[[1, 2, 2], [3, 4, 1]]], np.float32)
    parts = [
        Part(dataset(("cat",), row("a.jpg", (0,), None, points), scheme=scheme), name)
        for name, scheme in (
            ("one", KeypointScheme(("left", "right"))),
            ("two", KeypointScheme(("head", "tail"))),
        )
    ]
    with pytest.raises(DataError, match="keypoints of the datasets have different") as caught:
        combined(parts)
    assert "2 points (left, right; pairs None) in one" in caught.value.received
    assert len(combined([parts[0], parts[0]])) == 2


def test_different_labels_are_refused():
    values = [
        dataset(("x",), row("a.jpg", labels=np.zeros(1, np.float32)), label_map=LabelMap((name,)))
        for name in ("angle", "speed")
    ]
    with pytest.raises(DataError, match="different meanings"):
        combined([Part(each, name) for name, each in zip("ab", values, strict=True)])
    assert combined([Part(values[0], "a")]).label_map == LabelMap(("angle",))


def test_fingerprints_cover_all_datasets(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path in paths:
        cv2.imwrite(str(path), np.zeros((*SIZE, 3), np.uint8))

    def both(second=0, weight=1):
        parts = [
            dataset(("a", "b"), row(paths[0], (0,))),
            dataset(("a", "b"), row(paths[1], (second,))),
        ]
        return combined([Part(parts[0], "a"), Part(parts[1], "b", weight=weight)])

    before = fingerprint({"train": both()})
    assert changes(before, fingerprint({"train": both()})) == []
    assert changes(before, fingerprint({"train": both(1)})) == ["train: the annotations differ"]
    assert changes(before, fingerprint({"train": both(weight=2)})) == [
        "train: the annotations differ"
    ]
    cv2.imwrite(str(paths[1]), np.ones((*SIZE, 3), np.uint8))
    assert changes(before, fingerprint({"train": both()})) == ["train: the image files differ"]


def write_yolo(root, names, *lines):
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for number, line in enumerate(lines):
        cv2.imwrite(str(root / "images" / f"{number}.png"), np.zeros((*SIZE, 3), np.uint8))
        (root / "labels" / f"{number}.txt").write_text(line)
    (root / "data.yaml").write_text(f"train: images\nnames: {list(names)}\n")
    return root


def test_read_a_list(tmp_path):
    a = write_yolo(tmp_path / "a", ("cat", "dog"), "0 0.5 0.5 0.5 0.5", "1 0.5 0.5 0.5 0.5")
    b = write_yolo(tmp_path / "b", ("dog", "fox"), "0 0.5 0.5 0.5 0.5")
    both = read([{"path": a, "weight": 2, "reader": "YOLO"}, str(b)])
    assert both.class_map.names == ("cat", "dog", "fox")
    assert [s.instances.classes.tolist() for s in both] == [[0], [1], [1]]
    assert both.images_per_epoch == 5
    assert both.root == tmp_path
    both = read(
        [{"path": a, "classes": ["cat", "dog", "fox"]}, {"path": b}],
        class_names=("dog", "fox", "cat"),
    )
    assert both[0].known_classes.tolist() == [True, True, True]
    assert both[2].known_classes.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ([], "list of datasets is empty"),
        ([{"weight": 2}], "dataset 1 of the list has no path"),
        (["a", 3], "dataset 2 of the list has no path"),
        ([{"path": "a", "wieght": 2}], "unknown key 'wieght'"),
        ([{"path": "a", "classes": "cat"}], "classes is not a list of names"),
    ],
)
def test_invalid_lists(tmp_path, monkeypatch, entries, what):
    write_yolo(tmp_path / "a", ("cat",), "0 0.5 0.5 0.5 0.5")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=what):
        read(entries)


def test_channels_are_those_of_all_datasets():
    one, other = pets().dataset.with_channels("gray"), cars().dataset
    both = combined([Part(one, "pets"), Part(other.with_channels("gray"), "cars")])
    assert both.channels.value == "gray"
    assert both.with_rows(both.rows()).channels.value == "gray"
    with pytest.raises(DataError, match="different channels of the images are read") as error:
        combined([Part(one, "pets"), Part(other, "cars")])
    assert error.value.fix == "channels='gray' for cars"


def test_a_dataset_with_a_weight_keeps_its_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 10), 7, np.uint8))
    part = Part(dataset(("cat",), row(tmp_path / "a.png", (0,))).with_channels("gray"), "a", 2)
    assert combined([part]).load(0).image.shape == (8, 10, 1)
