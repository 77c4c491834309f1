"""Readers of the user: found, validated, and named in errors."""

import json

import cv2
import numpy as np
import pytest
from tests.data.test_read import voc

import visiongarden as vg
from visiongarden import registry
from visiongarden.data import Dataset, Reader, Source, cache, read
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.readers import opened, splits_of
from visiongarden.data.rows import Lines, Row
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.doctor import convert_dataset
from visiongarden.errors import DataError, UserError
from visiongarden.samples import (
    Boxes,
    ImageInfo,
    Instances,
    Keypoints,
    Masks,
    RotatedBoxes,
    Sample,
    unknown_keys,
)
from visiongarden.samples.annotations import Annotations

CLASSES = vg.ClassMap(("cat", "dog"))
SIZE = (30, 40)
BOX = [4, 6, 20, 26]


@pytest.fixture(autouse=True)
def clean_registry():
    known = dict(registry._known)
    yield
    registry._known.clear()
    registry._known.update(known)


@pytest.fixture
def root(tmp_path):
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "labels.garden").write_text("anything")
    return tmp_path


def sample(root, index=0, boxes=(BOX,), classes=None, size=SIZE, **fields):
    objects = Instances(size, Boxes(list(boxes)), [0] * len(boxes) if classes is None else classes)
    info = ImageInfo(index, root / f"{'ab'[index]}.png", size)
    return Sample(info, **({"instances": objects} | fields))


def reader_of(make, score=0.95, splits=("train", "val")):
    """Return a registered reader that returns what `make(root, split)` makes."""

    @vg.register(package="garden")
    class Garden(Reader):
        files = "labels.garden"
        shade: int = 0

        def matches(self, source):
            return score if (source.root / "labels.garden").is_file() else 0

        def splits(self, source):
            return splits

        def read(self, source, split):
            return make(source.root, split)

    return Garden


def dataset(*samples, **fields):
    return Dataset(CLASSES, list(samples), **fields)


def test_a_registered_reader_is_found_by_its_files_and_its_name(root):
    garden = reader_of(lambda root, split: dataset(sample(root), sample(root, 1), split=split))
    assert opened(root)[1] == garden()
    for asked in ("auto", "Garden", {"type": "Garden", "shade": 3}, garden(shade=3)):
        found = read(root, reader=asked, split="val")
        assert (len(found), found.split, found.root) == (2, "val", root)
        assert found.load(0).image.shape == (30, 40, 3)
        assert found.counts().tolist() == [2, 0]
    assert splits_of(*opened(root, "Garden")) == ["train", "val"]
    with pytest.raises(UserError, match="has no split 'all'"):
        read(root, split="all")
    with pytest.raises(UserError, match="shade"):
        read(root, reader={"type": "Garden", "shade": "x"})
    with pytest.raises(UserError, match="did you mean Garden"):
        read(root, reader="Gardn")


def test_equal_scores_are_ambiguous(root):
    reader_of(lambda *_: None, score=0.9)
    (root / "train.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(
        DataError, match=r"it looks like Garden \(0\.9\) and COCO \(0\.9\)"
    ) as caught:
        read(root)
    assert caught.value.fix == "reader='Garden' or reader='COCO'"


class OnDemand:
    """Annotations of a class of the user, which reads its samples when they are needed."""

    class_map, label_map = CLASSES, None

    def __init__(self, root, boxes=(BOX,)):
        self.root, self.boxes = root, boxes

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index >= 2:
            raise IndexError(index)
        return sample(self.root, index, self.boxes if index else (BOX,))

    def counts(self):
        return np.array([2, 0])

    def location(self, index, row=None):
        return f"labels.garden:{10 * index + (row or 0)}"


def test_another_class_of_annotations(root):
    reader_of(lambda root, split: OnDemand(root))
    found = read(root)
    assert (len(found), found.fields, found.root) == (2, {"boxes"}, root)
    assert found.location(1, 3) == "labels.garden:13"
    assert found.load(1).image.shape == (30, 40, 3)
    assert isinstance(OnDemand(root), Annotations)
    reader_of(lambda root, split: OnDemand(root, [BOX, [4, 6, 90, 26], [3, 3, 3, 9]]))
    with pytest.raises(DataError, match="has 2 errors") as caught:
        read(root)
    assert "labels.garden:11: box (4, 6, 90, 26) is outside the image of 40 × 30" in str(
        caught.value
    )
    assert "labels.garden:12: box (3, 3, 3, 9) has no area" in str(caught.value)
    assert "invalid_boxes='drop'" in caught.value.fix
    found = read(root, invalid_boxes="drop")
    assert [len(each.instances) for each in found] == [1, 1]
    assert len(found.dropped) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"boxes": [[4, 6, 41.5, 26]]}, r"a\.png: object 1: box .* is outside"),
        ({"classes": [2]}, r"class indices \[2\] are outside the class map of 2"),
        ({"classes": [-1]}, r"class indices \[-1\] are outside"),
        ({"size": (0, 0)}, "`info.original_size` is"),
        ({"labels": np.zeros(3, np.float32)}, "`labels` has 3 values; expected 2"),
        (
            {"instances": Instances(SIZE, Boxes([BOX]))},
            "the objects have no classes",
        ),
        ({"instances": Instances((9, 9), Boxes([BOX]), [0])}, "`instances.size` is"),
        ({"instances": Instances(SIZE, classes=[0])}, "neither boxes, masks nor keypoints"),
        (
            {"instances": Instances(SIZE, RotatedBoxes([[50, 9, 4, 2, 30]]), [0])},
            "has its center outside",
        ),
    ],
)
def test_what_is_returned_is_validated(root, fields, words):
    reader_of(lambda root, split: dataset(sample(root, 1), sample(root, **fields)))
    with pytest.raises(DataError, match=words):
        read(root)


def test_clipping_and_dropping_keep_the_other_fields(root):
    triangle = [[4, 6, 20, 6, 20, 26]]
    objects = Instances(
        SIZE,
        Boxes([[4, 6, 40.5, 26], [50, 6, 60, 9]]),
        [1, 0],
        masks=Masks.from_polygons([triangle, None], SIZE),
        keypoints=Keypoints([[[5, 7, 2]], [[6, 8, 2]]]),
    )
    reader_of(lambda root, split: dataset(sample(root, instances=objects)))
    found = read(root, invalid_boxes="drop")[0].instances
    assert np.asarray(found.boxes).tolist() == [[4, 6, 40, 26]]
    assert found.classes.tolist() == [1]
    assert found.keypoints.values.tolist() == [[[5, 7, 2]]]
    assert len(found.masks) == 1


def test_rows_keep_their_lines_and_unknown_keys(root):
    row = Row(
        path=root / "a.png",
        size=SIZE,
        boxes=np.array([[50, 6, 60, 9], [4, 6, 40.5, 26]], np.float32),
        classes=np.array([0, 1], np.int32),
        crowd=np.zeros(2, bool),
        lines=Lines("labels.garden:", np.array([3, 8], np.int32)),
        unknown=unknown_keys.pack({"sun": 1}, [{"leaf": 1}, {"leaf": 2}]),
    )
    reader_of(lambda root, split: Dataset.of_rows(CLASSES, [row]))
    with pytest.raises(DataError, match=r"labels\.garden:3: box \(50, 6, 60, 9\) is outside"):
        read(root)
    found = read(root, invalid_boxes="drop")
    assert found.location(0, 0) == "labels.garden:8"
    assert unknown_keys.unpack(found[0].info.unknown, 1) == ({"sun": 1}, [{"leaf": 2}])
    assert np.asarray(found[0].instances.boxes).tolist() == [[4, 6, 40, 26]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda *_: None, "Garden does not return .* from `read`"),
        (lambda *_: [1, 2], "class_map"),
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda *_: {}["boxes"], "KeyError: 'boxes'"),
        (lambda *_: Boxes([[1]]), "Garden failed to read"),
        (lambda *_: Dataset(CLASSES, ["a"]), "sample 0 of the reader Garden is of type str"),
        (lambda *_: Dataset(("cat",), []), "class map of the reader Garden is of type tuple"),
        (lambda root, _: (root / "missing").read_text(), "cannot be read"),
    ],
)
def test_failures_name_the_reader(root, make, words):
    reader_of(make)
    with pytest.raises(DataError, match=words):
        read(root)


@pytest.mark.parametrize("splits", ["train", None, (1,), ("",)])
def test_splits_are_names(root, splits):
    reader_of(lambda *_: dataset(), splits=splits)
    with pytest.raises(DataError, match="Garden does not return a tuple of names from `splits`"):
        read(root)


def test_a_data_error_is_the_users_own(root):
    def refuse(*_):
        raise DataError("labels.garden:7: there is no such plant")

    reader_of(refuse)
    with pytest.raises(DataError, match=r"^labels\.garden:7: there is no such plant$"):
        read(root)


def test_errors_can_be_collected(root):
    class Collecting(Reader):
        def splits(self, source):
            return ("train",)

        def read(self, source: Source, split):
            source.errors.add("labels.garden:3", "the name is missing")
            source.errors.add("labels.garden:5", "the name is missing")
            source.errors.note("labels.garden:9", "nothing is planted here")
            return dataset(sample(source.root))

    with pytest.raises(DataError, match=r"has 2 errors:\n .*garden:3.*\n .*garden:5"):
        read(root, reader=Collecting())


def test_class_names_change_masks_and_known_classes_too(root):
    mask = np.array([[0, 1, 255]], np.uint8)
    own = sample(root, classes=[1], semantic=mask, known_classes=np.array([True, False]))
    reader_of(lambda root, split: dataset(own))
    (found,) = read(root, class_names=("bird", "dog", "cat"))
    assert found.instances.classes.tolist() == [1]
    assert found.semantic.tolist() == [[2, 1, 255]]
    assert found.known_classes.tolist() == [False, False, True]
    assert mask.tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("colors", [None, ((9, 9, 9), (8, 8, 8))])
def test_class_names_of_mask_files(root, colors):
    stored = np.array([[4, 7, 255]], np.uint8) if colors is None else np.array([[colors]], np.uint8)
    cv2.imwrite(str(root / "mask.png"), stored.reshape(1, -1, *stored.shape[3:]))
    names = vg.ClassMap(("cat", "dog"), (4, 7) if colors is None else (0, 1))
    samples = SemanticSamples(names, (root / "a.png",), (root / "mask.png",), colors)
    reader_of(lambda root, split: Dataset(names, samples))
    found = read(root, class_names=("dog", "cat"))
    assert found.fields == {"semantic"}
    assert found.samples.semantic(0).ravel().tolist()[:2] == [1, 0]


def test_class_names_of_samples_that_are_read_on_demand(root):
    asked = []

    class OnDemand:
        fields = frozenset({"boxes"})
        max_objects = 1

        def __len__(self):
            return 2

        def __getitem__(self, index):
            asked.append(index)
            return sample(root, index, classes=[index])

        def image_path(self, index):
            return root / f"{'ab'[index]}.png"

        def counts(self):
            return np.array([1, 1])

    reader_of(lambda root, split: Dataset(CLASSES, OnDemand()))
    found = read(root, class_names=("bird", "dog", "cat"))
    assert (found.image_path(1), found.objects().tolist()) == (root / "b.png", [1, 1])
    assert found.counts().tolist() == [0, 1, 1]
    assert asked == []
    assert [found[i].instances.classes.tolist() for i in (0, 1)] == [[2], [1]]
    assert found.part([1])[0].instances.classes.tolist() == [1]


def test_class_names_keep_classes_of_images_compact(root):
    samples = ClassSamples(CLASSES, (root / "a.png", root / "b.png"), (0, 1))
    reader_of(lambda root, split: Dataset(CLASSES, samples))
    found = read(root, class_names=("bird", "dog", "cat"))
    assert found.samples.classes == (2, 1)
    assert found[0].labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("format", ["coco", "yolo", "arrayrecord"])
def test_columns_and_names_of_splits_in_other_formats(root, format):
    def make(root, split):
        found = sample(root, boxes=(BOX, BOX), classes=[0, 1])
        objects = found.instances.replace(data={"age": np.array([1.5, 2])})
        found.instances, found.extra = objects, {"depth": np.zeros(SIZE)}
        return dataset(found, sample(root, 1), split=split)

    reader_of(make, splits=("holdout", "training"))
    lost = convert_dataset(root, root / "copy", format=format).lost
    assert sorted(set(lost)) == [
        "a.png: the annotation 'depth' of the image",
        "a.png: the column 'age' of its objects",
    ]
    for split in ("training", "holdout"):
        assert read(root / "copy", split=split).counts().tolist() == [2, 1]


def test_the_error_names_the_line_of_the_reader(root):
    def make(root, split):
        return Masks.from_polygons([[[1, 2, 3, 4]]], SIZE)

    reader_of(make)
    with pytest.raises(DataError, match=r"fewer than three points \(test_own_reader\.py:\d+\)"):
        read(root)
    reader_of(lambda root, split: json.loads("{"))
    with pytest.raises(DataError, match=r"JSONDecodeError.*\(test_own_reader\.py:\d+\)"):
        read(root)


def test_a_dataset_is_printed_in_one_line(root):
    found = dataset(sample(root), split="val", root="garden")
    assert repr(found) == "Dataset('garden', val: 1 image; cat, dog)"


def test_an_unknown_reader_or_field_names_what_is_missing(root):
    reader_of(lambda *_: dataset())
    with pytest.raises(UserError, match=r"(?s)unknown reader 'Meadow'.*--import MODULE"):
        read(root, reader="Meadow")
    with pytest.raises(UserError, match=r"(?s)^Garden: unknown field 'shde'.*did you mean shade"):
        read(root, reader={"type": "Garden", "shde": 2})


def test_the_size_of_an_image_has_two_numbers():
    with pytest.raises(UserError, match=r"(?s)image 3 is not valid.*fix: image\.shape\[:2\]"):
        ImageInfo(3, "a.png", (30, 40, 3))


def test_a_loader_needs_height_and_width(root):
    with pytest.raises(UserError, match=r"fix: image_size=\(64, 64\)"):
        vg.data.Loader(dataset(sample(root)), 64, 1)


def test_splits_that_a_format_does_not_read(root):
    reader_of(lambda root, split: dataset(sample(root), split=split), splits=("holdout",))
    with pytest.raises(DataError, match=r"(?s)'holdout' is not found again.*named train, val"):
        convert_dataset(root, root / "copy", format="csv")


def test_the_error_names_the_split_that_is_meant(root):
    reader_of(lambda *_: dataset(), splits=("holdout", "training"))
    with pytest.raises(DataError, match="fix: split='training'"):
        read(root)


def test_class_names_are_matched_by_name(root):
    labels = np.array([0, 1], np.float32)
    reader_of(lambda root, split: dataset(sample(root), sample(root, 1, labels=labels)))
    found = read(root, class_names=("bird", "dog", "cat"))
    assert found.class_map.names == ("bird", "dog", "cat")
    assert found.class_map.ids == (2, 1, 0)
    assert found[0].instances.classes.tolist() == [2]
    assert found[1].labels.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="`class_names` lacks classes that Garden has read"):
        read(root, class_names=("cat", "bird"))


def test_a_single_split_of_a_folder_is_divided(root):
    names = [f"{i}.png" for i in range(40)]

    def make(root, split):
        size, box = SIZE, Boxes([BOX])
        return dataset(
            *(Sample(ImageInfo(i, root / n, size), instances=Instances(size, box, [0]))
              for i, n in enumerate(names))
        )  # fmt: skip

    reader_of(make, splits=("train",))
    parts = {split: read(root, split=split) for split in ("train", "val", "test")}
    found = [each.info.source.name for part in parts.values() for each in part]
    assert sorted(found) == sorted(names)
    assert all(map(len, parts.values()))
    assert splits_of(*opened(root)) == ["train", "val", "test"]


def test_readers_of_the_user_are_not_cached(root, tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 1)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)
    reader_of(lambda root, split: dataset(sample(root)).with_rows(dataset(sample(root)).rows()))
    assert read(root).counts().tolist() == [1, 0]
    reader_of(lambda root, split: dataset(sample(root, classes=[1])))
    assert read(root).counts().tolist() == [0, 1]
    assert not (tmp_path / "cache").exists()


def test_a_reader_is_part_of_the_key_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 2)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)
    voc(tmp_path / "set")
    for _ in range(2):
        assert read(tmp_path / "set").row(0).boxes[0].tolist() == BOX
        shifted = read(tmp_path / "set", reader={"type": "VOC", "one_based": True})
        assert shifted.row(0).boxes[0].tolist() == [3, 5, 20, 26]
    assert len(list((tmp_path / "cache" / "indexes").iterdir())) == 2


def test_keypoints_are_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 1)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)
    (tmp_path / "set").mkdir()
    cv2.imwrite(str(tmp_path / "set" / "a.png"), np.zeros((*SIZE, 3), np.uint8))
    data = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [
            {"id": 1, "name": "cat", "keypoints": ["l_eye", "r_eye"], "skeleton": [[1, 2]]}
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 6, 16, 20],
             "keypoints": [5, 7, 2, 9, 7, 1]}
        ],
    }  # fmt: skip
    (tmp_path / "set" / "train.json").write_text(json.dumps(data))
    for _ in range(2):
        points = read(tmp_path / "set")[0].instances.keypoints
        assert points.values.tolist() == [[[5, 7, 2], [9, 7, 1]]]
        assert (points.names, points.pairs, points.skeleton) == (
            ("l_eye", "r_eye"), ((0, 1),), ((0, 1),),
        )  # fmt: skip
    assert len(list((tmp_path / "cache" / "indexes").iterdir())) == 1
