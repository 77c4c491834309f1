"""Datasets of TensorFlow Datasets, by a stand-in and, if installed, by the library itself."""

import json
import pickle
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from visiongarden.data import cache
from visiongarden.data.copies import Prints
from visiongarden.data.readers import read, reading
from visiongarden.errors import DataError, UserError


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


class Image:
    """Named as the class of the library."""


class ClassLabel:
    def __init__(self, names=None):
        self.names = names


class Sequence:
    def __init__(self, feature):
        self.feature = feature


class Box:
    def __init__(self, bbox_format="BBoxFormat.REL_YXYX"):
        self.bbox_format = bbox_format


BOXES = {"bbox": Box(), "label": ClassLabel(["cat", "dog"]), "is_crowd": object()}


def record(number, **fields):
    image = png(np.full((20, 40, 3), number, np.uint8))
    return {"image": image, "name": b"x", **fields}


def objects(*pairs):
    boxes = [np.array(box, np.float32) for box, _ in pairs]
    labels = [np.int64(label) for _, label in pairs]
    return {"bbox": boxes, "label": labels, "is_crowd": [np.False_] * len(pairs)}


class Builder:
    data_dir = "data/tiny/1.0.0"

    def __init__(self, features, splits):
        self.features, self.splits = features, splits
        self.info = SimpleNamespace(features=features, splits=dict.fromkeys(splits))

    def as_data_source(self, split, decoders):
        assert {name for name, f in self.features.items() if isinstance(f, Image)} >= set(decoders)
        return self.splits[split]


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    """A function that makes the stand-in know a dataset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    calls = []

    def prepare(features, **splits):
        def builder(name, **options):
            calls.append((name, options))
            if not name.startswith("tiny"):
                raise ValueError(f"Dataset {name} not found.")
            return Builder(features, splits)

        module = SimpleNamespace(
            builder=builder,
            builder_from_directory=builder,
            decode=SimpleNamespace(SkipDecoding=object),
        )
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
        return calls

    return prepare


def test_detection(prepared):
    features = {"image": Image(), "name": object(), "objects": Sequence(BOXES)}
    first = objects(((0.1, 0.25, 0.5, 0.75), 1), ((0, 0, 1, 1), 0))
    first["is_crowd"][1] = np.True_
    calls = prepared(
        features, train=[record(5, objects=first)], validation=[record(6, objects=objects())]
    )
    found = read("tiny", reader="TFDS")
    assert calls[0] == ("tiny", {"try_gcs": False})
    assert found.class_map.names == ("cat", "dog")
    # (top, left, bottom, right) of 20 × 40 pixels.
    assert np.asarray(found[0].instances.boxes).tolist() == [[10, 2, 30, 10], [0, 0, 40, 20]]
    assert found[0].instances.classes.tolist() == [1, 0]
    assert found[0].instances.crowd.tolist() == [False, True]
    assert found.load(0).image[0, 0].tolist() == [5, 5, 5]
    assert str(found.image_path(0)) == "tiny#train#image#0"
    other = read("tiny", reader={"type": "TFDS"}, split="val")
    assert len(other[0].instances) == 0
    assert Prints().equal(found, other) == []
    with pytest.raises(DataError, match="has no split 'test'"):
        read("tiny", reader="TFDS", split="test")


@pytest.mark.parametrize("kind", ["objects", "label"])
def test_labels_are_cached_until_a_file_changes(prepared, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 2)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)  # the files were written just now
    features = {
        "objects": {"image": Image(), "objects": Sequence(BOXES)},
        "label": {"image": Image(), "label": ClassLabel(["cat", "dog"])},
    }[kind]
    of_object = [objects(((0, 0, 1, 1), n % 2)) for n in range(4)]
    fields = [{"objects": each} for each in of_object] if kind == "objects" else None
    fields = fields or [{"label": n % 2} for n in range(4)]
    split = [record(n, **each) for n, each in enumerate(fields)]
    prepared(features, train=split, validation=split[1:])
    file = tmp_path / Builder.data_dir / "records"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    first = [read("tiny", reader="TFDS", split=name) for name in ("train", "val")]
    monkeypatch.setattr(reading, "gather", None)  # from here on nothing can be read
    again = [read("tiny", reader="TFDS", split=name) for name in ("train", "val")]
    for before, after in zip(first, again, strict=True):
        assert after.class_map == before.class_map
        assert list(map(after.image_path, range(len(after)))) == list(
            map(before.image_path, range(len(before)))
        )
        copied = pickle.loads(pickle.dumps(after))  # noqa: S301 (for worker processes)
        assert copied.load(1).image[0, 0].tolist() == before.load(1).image[0, 0].tolist()
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one.labels, other.labels)
            np.testing.assert_array_equal(one.instances.classes, other.instances.classes)
    file.write_text("12")
    with pytest.raises(TypeError):
        read("tiny", reader="TFDS")


def test_no_image_is_decoded_at_opening(prepared, monkeypatch):
    features = {"image": Image(), "panoptic_image": Image(), "objects": Sequence(BOXES)}
    split = [record(1, objects=objects(((0, 0, 1, 1), 1)), panoptic_image=b"")]
    given = []
    as_data_source = Builder.as_data_source
    monkeypatch.setattr(
        Builder,
        "as_data_source",
        lambda self, split, decoders: (
            given.append(set(decoders)),
            as_data_source(self, split, decoders),
        )[1],
    )
    prepared(features, train=split, test=[])
    assert len(read("tiny", reader={"type": "TFDS", "image": "image"})) == 1
    assert given == [{"image", "panoptic_image"}]


def test_one_mapping_for_each_object(prepared):
    each = [{"bbox": [0, 0, 0.5, 0.5], "label": 1}]
    features = {"image": Image(), "objects": Sequence(BOXES)}
    prepared(features, train=[record(1, objects=each), record(2, objects=[])], test=[])
    found = read("tiny", reader="TFDS")
    assert found.objects().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("box_format", "box"),
    [("REL_XYXY", (0.25, 0.1, 0.75, 0.5)), ("XYXY", (10, 2, 30, 10)), ("XYWH", (10, 2, 20, 8))],
)
def test_formats_of_boxes(prepared, box_format, box):
    boxes = BOXES | {"bbox": Box(f"BBoxFormat.{box_format}")}
    features = {"image": Image(), "objects": Sequence(boxes)}
    prepared(features, train=[record(1, objects=objects((box, 1)))], test=[])
    found = read("tiny", reader="TFDS")
    assert np.asarray(found[0].instances.boxes).round(4).tolist() == [[10, 2, 30, 10]]


def test_classification(prepared):
    features = {"image": Image(), "label": ClassLabel(["cat", "dog"])}
    prepared(features, train=[record(1, label=1), record(2, label=0)], test=[])
    found = read("tiny/big:1.0.0", reader="TFDS")
    assert [sample.labels.tolist() for sample in found] == [[0, 1], [1, 0]]
    assert found.load(1).image.shape == (20, 40, 3)
    assert pickle.loads(pickle.dumps(found)).counts().tolist() == [1, 1]  # noqa: S301


def test_unknown_and_several_labels(prepared):
    features = {"image": Image(), "label": ClassLabel(["cat", "dog"])}
    prepared(features, train=[record(1, label=-1), record(2, label=0)], test=[])
    found = read("tiny", reader="TFDS")
    assert np.isnan(found[0].labels).all()
    assert found[1].labels.tolist() == [1, 0]
    assert found.load(0).image.shape == (20, 40, 3)
    features = {"image": Image(), "tags": Sequence(ClassLabel(["cat", "dog", "fox"]))}
    prepared(features, train=[record(1, tags=[0, 2]), record(2, tags=[])], test=[])
    found = read("tiny", reader="TFDS")
    assert [sample.labels.tolist() for sample in found] == [[1, 0, 1], [0, 0, 0]]


def test_segmentation(prepared):
    mask = np.zeros((20, 40), np.uint8)
    mask[3:, 5:] = 1
    features = {"image": Image(), "segmentation_mask": Image(), "label": ClassLabel(["a", "b"])}
    rows = [record(1, segmentation_mask=png(mask), label=0)]
    prepared(features, train=rows, test=[])
    found = read("tiny", reader="TFDS", class_names=("sky", "tree"))
    assert np.array_equal(found.load(0).semantic, mask)
    with pytest.raises(DataError, match="no class names"):
        read("tiny", reader="TFDS")
    # The other annotation is used if it is named.
    found = read("tiny", reader={"type": "TFDS", "labels": "label"})
    assert found[0].labels.tolist() == [1, 0]


def test_names_and_folders(prepared, tmp_path):
    features = {"image": Image(), "label": ClassLabel(["cat", "dog"])}
    calls = prepared(features, train=[record(1, label=1)], test=[])
    read(tmp_path, reader={"type": "TFDS", "name": "tiny", "version": "1.2.0"})
    assert calls[0] == ("tiny:1.2.0", {"data_dir": str(tmp_path), "try_gcs": False})
    with pytest.raises(DataError, match=r"cannot be opened") as caught:
        read("small", reader="TFDS")
    assert "Dataset small not found" in caught.value.received
    for name in ("huggingface:tiny", "tiny/../../x", "user:tiny"):
        with pytest.raises(DataError, match="neither a folder nor the name"):
            read(name, reader="TFDS")


def test_datasets_that_are_not_prepared(prepared):
    prepared({"image": Image()})
    with pytest.raises(DataError, match="the dataset tiny is not prepared") as caught:
        read("tiny", reader="TFDS")
    assert 'builder("tiny", file_format="array_record")' in caught.value.fix


def test_the_library_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match="needs tensorflow_datasets") as caught:
        read("tiny", reader="TFDS")
    assert caught.value.fix == "pip install tensorflow_datasets"


def test_files_that_would_import_a_module_are_refused(prepared, tmp_path):
    prepared({"image": Image()}, train=[])
    folder = tmp_path / "tiny" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    inner = {"a": {"pythonClassName": "antigravity.Flight"}}
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": inner}}))
    for path in (folder, "tiny"):
        with pytest.raises(DataError, match="outside of TensorFlow Datasets"):
            read(path, reader="TFDS" if path == "tiny" else "auto")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (record(1, objects=objects(((0, 0, 2, 0.5), 1))), "outside the image"),
        (record(1, objects=objects(((0, 0, 0.5, 0.5), 7))), "class 7 is outside the class map"),
        (record(1, objects={"bbox": [[0, 0, 1, 1]], "label": []}), "1 boxes, 0 classes"),
        (record(1, objects={}), "objects are damaged"),
        (record(1, objects=objects(((0, 0, float("nan"), 1), 1))), "not finite"),
        ({"image": b"no image", "objects": objects()}, "tiny#train#image#0"),
        ({"image": None, "objects": objects()}, "not an encoded image"),
    ],
)
def test_wrong_records(prepared, row, what):
    features = {"image": Image(), "objects": Sequence(BOXES)}
    prepared(features, train=[row], test=[])
    with pytest.raises(DataError, match=what):
        read("tiny", reader="TFDS")


def test_candidates_are_listed(prepared):
    label = ClassLabel(["a", "b"])
    features = {"left": Image(), "right": Image(), "x": label, "y": label}
    prepared(features, train=[{"left": png(np.zeros((4, 4, 3), np.uint8)), "x": 0}], test=[])
    with pytest.raises(DataError, match="which field of tiny is the image") as caught:
        read("tiny", reader="TFDS")
    assert caught.value.received.startswith("candidates: left, right")
    with pytest.raises(DataError, match="which field of tiny is the annotation"):
        read("tiny", reader={"type": "TFDS", "image": "left"})
    found = read("tiny", reader={"type": "TFDS", "image": "left", "labels": "x"})
    assert found[0].labels.tolist() == [1, 0]
    with pytest.raises(DataError, match="has no field 'z'"):
        read("tiny", reader={"type": "TFDS", "image": "left", "labels": "z"})


def test_a_dataset_of_the_library(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    label = tfds.features.ClassLabel(names=["cat", "dog"])
    inner = {"bbox": tfds.features.BBoxFeature(), "label": label, "is_crowd": np.bool_}

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="png"),
                    "objects": tfds.features.Sequence(inner),
                }
            )
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            return {"train": self._generate_examples(3), "validation": self._generate_examples(2)}

        def _generate_examples(self, count):
            for number in range(count):
                box = {"bbox": tfds.features.BBox(0.1, 0.25, 0.5, 0.75), "label": "dog"}
                image = np.full((20, 40, 3), number, np.uint8)
                yield number, {"image": image, "objects": [box | {"is_crowd": False}] * number}

    builder = Tiny(data_dir=str(tmp_path), file_format="array_record")
    builder.download_and_prepare()
    for path, reader in ((builder.data_dir, "auto"), (tmp_path, {"type": "TFDS", "name": "tiny"})):
        found = read(path, reader=reader)
        order = np.argsort(found.objects())
        assert found.objects()[order].tolist() == [0, 1, 2]
        boxes = np.asarray(found[int(order[2])].instances.boxes)
        assert boxes.round(4).tolist() == [[10, 2, 30, 10]] * 2
        assert found.load(int(order[2])).image[0, 0].tolist() == [2, 2, 2]
        assert len(read(path, reader=reader, split="val")) == 2
