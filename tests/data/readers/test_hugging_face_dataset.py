"""Datasets of Hugging Face: Arrow and Parquet files if pyarrow is installed, and stand-ins."""

import json
import pickle
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from visiongarden.data import cache
from visiongarden.data.readers import arrow_files, hugging_face_dataset, read, reading
from visiongarden.doctor import diagnose
from visiongarden.errors import DataError, MissingLibraryError

IMAGE = {"_type": "Image"}
LABEL = {"_type": "ClassLabel", "names": ["cat", "dog"]}
NUMBERS = {"_type": "List", "feature": {"_type": "Value", "dtype": "float32"}, "length": 4}


def listed(feature):
    return {"_type": "List", "feature": feature}


OBJECTS = {"bbox": listed(NUMBERS), "category": listed(LABEL)}


def png(number):
    return cv2.imencode(".png", np.full((20, 40, 3), number, np.uint8))[1].tobytes()


def image(number):
    return {"bytes": png(number), "path": None}


class Rows:
    """Rows in memory, instead of those in files."""

    def __init__(self, features, rows):
        self.features, self.rows = features, rows
        self.names = list(features)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def column(self, name):
        return [row[name] for row in self.rows]


@pytest.fixture
def stored(monkeypatch, tmp_path):
    """A function that makes a path be read as given rows."""

    def store(features, *rows):
        monkeypatch.setattr(hugging_face_dataset, "ArrowRows", lambda files: Rows(features, rows))
        (tmp_path / "a.arrow").write_bytes(b"")
        return tmp_path / "a.arrow"

    return store


@pytest.mark.parametrize("layout", ["lists", "mappings", "old"])
def test_detection(stored, layout):
    objects = {"bbox": [[10, 2, 20, 8], [0, 0, 40, 20]], "category": [1, 0]}
    feature = OBJECTS
    if layout == "mappings":
        pairs = zip(objects["bbox"], objects["category"], strict=True)
        objects = [{"bbox": box, "category": category} for box, category in pairs]
        feature = listed({"bbox": NUMBERS, "category": LABEL})
    if layout == "old":
        feature = {"_type": "Sequence", "feature": {"bbox": NUMBERS, "category": LABEL}}
    path = stored({"image": IMAGE, "objects": feature}, {"image": image(7), "objects": objects})
    found = read(path)
    assert found.class_map.names == ("cat", "dog")
    # (left, top, width, height), as COCO has it.
    assert np.asarray(found[0].instances.boxes).tolist() == [[10, 2, 30, 10], [0, 0, 40, 20]]
    assert found[0].instances.classes.tolist() == [1, 0]
    assert found.load(0).image[0, 0].tolist() == [7, 7, 7]


def test_corners_and_given_names(stored):
    feature = {"boxes": listed(NUMBERS), "label": listed({"_type": "Value", "dtype": "int64"})}
    objects = {"boxes": [[10, 2, 30, 10]], "label": [1]}
    path = stored({"image": IMAGE, "things": feature}, {"image": image(7), "things": objects})
    reader = {"type": "HuggingFaceDataset", "bbox": "xyxy"}
    found = read(path, reader=reader, class_names=("cat", "dog"))
    assert np.asarray(found[0].instances.boxes).tolist() == [[10, 2, 30, 10]]
    with pytest.raises(DataError, match="things has no class names"):
        read(path, reader=reader)


def test_classification(stored):
    rows = [{"image": image(i), "label": label} for i, label in enumerate((1, 0))]
    found = read(stored({"image": IMAGE, "label": LABEL}, *rows))
    assert [sample.labels.tolist() for sample in found] == [[0, 1], [1, 0]]
    assert pickle.loads(pickle.dumps(found)).counts().tolist() == [1, 1]  # noqa: S301


def test_labels_are_cached_until_the_file_changes(stored, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(cache, "LARGE", 2)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)  # the file was written just now
    rows = [{"image": image(i), "label": label} for i, label in enumerate((1, 0))]
    path = stored({"image": IMAGE, "label": LABEL}, *rows)
    read(path)
    monkeypatch.setattr(reading, "gather", None)  # from here on nothing can be read
    again = read(path)
    assert [sample.labels.tolist() for sample in again] == [[0, 1], [1, 0]]
    assert again.load(1).image[0, 0].tolist() == [1, 1, 1]
    path.write_bytes(b"1")
    with pytest.raises(TypeError):
        read(path)


def test_unknown_and_several_labels(stored):
    rows = [{"image": image(i), "label": label} for i, label in enumerate((1, -1, None))]
    found = read(stored({"image": IMAGE, "label": LABEL}, *rows))
    assert np.array_equal([s.labels for s in found], [[0, 1], [np.nan] * 2, [np.nan] * 2], True)
    rows = [{"image": image(i), "tags": tags} for i, tags in enumerate(([0, 1], []))]
    found = read(stored({"image": IMAGE, "tags": listed(LABEL)}, *rows))
    assert [s.labels.tolist() for s in found] == [[1, 1], [0, 0]]


def test_labels_of_classes_in_another_order(stored):
    names = ("fox", "dog", "cat")
    # An image of one class has no other; of several classes, one without labels is unknown.
    rows = [{"image": image(i), "label": label} for i, label in enumerate((0, 1, -1))]
    found = read(stored({"image": IMAGE, "label": LABEL}, *rows), class_names=names)
    expected = [[0, 0, 1], [0, 1, 0], [np.nan] * 3]
    assert np.array_equal([s.labels for s in found], expected, equal_nan=True)
    rows = [{"image": image(i), "tags": tags} for i, tags in enumerate(([0, 1], [0]))]
    found = read(stored({"image": IMAGE, "tags": listed(LABEL)}, *rows), class_names=names)
    expected = [[np.nan, 1, 1], [np.nan, 0, 1]]
    assert np.array_equal([s.labels for s in found], expected, equal_nan=True)


def test_segmentation(stored):
    mask = np.zeros((20, 40), np.uint8)
    mask[3:, 5:] = 1
    row = {"image": image(1), "annotation": {"bytes": cv2.imencode(".png", mask)[1].tobytes()}}
    path = stored({"image": IMAGE, "annotation": IMAGE}, row)
    found = read(path, class_names=("sky", "tree"))
    assert np.array_equal(found.load(0).semantic, mask)


def test_images_in_files(stored, tmp_path):
    (tmp_path / "a.png").write_bytes(png(9))
    row = {"image": {"bytes": None, "path": "a.png"}, "label": 1}
    found = read(stored({"image": IMAGE, "label": LABEL}, row))
    assert found.load(0).image[0, 0].tolist() == [9, 9, 9]
    outside = tmp_path.parent / "outside.png"
    outside.write_bytes(png(9))
    for path in (str(outside), "../outside.png"):
        row = {"image": {"bytes": None, "path": path}, "label": 1}
        with pytest.raises(DataError, match="outside the dataset") as caught:
            read(stored({"image": IMAGE, "label": LABEL}, row)).load(0)
        assert "save_to_disk" in caught.value.fix


@pytest.mark.parametrize(
    ("objects", "what"),
    [
        ({"bbox": [[10, 2, 40, 8]], "category": [1]}, "outside the image"),
        ({"bbox": [[1, 2, 3, 4]], "category": [2]}, "class 2 is outside the class map"),
        ({"bbox": [[1, 2, 3, 4]], "category": [-1]}, "class -1 is outside the class map"),
        ({"bbox": [[1, 2, 3, 4]], "category": []}, "1 boxes, 0 classes"),
        ({"bbox": [[1, 2, 3]], "category": [1]}, "objects are damaged"),
        ({"bbox": None, "category": [1]}, "objects are damaged"),
        (None, "objects are damaged"),
    ],
)
def test_wrong_objects(stored, objects, what):
    path = stored({"image": IMAGE, "objects": OBJECTS}, {"image": image(7), "objects": objects})
    with pytest.raises(DataError, match=what):
        read(path)


def test_candidates_are_listed(stored):
    row = {"image": image(1), "fine": 0, "coarse": 1}
    path = stored({"image": IMAGE, "fine": LABEL, "coarse": LABEL}, row)
    with pytest.raises(DataError, match="not clear which field") as caught:
        read(path)
    assert "candidates: fine, coarse" in caught.value.received
    found = read(path, reader={"type": "HuggingFaceDataset", "labels": "coarse"})
    assert found[0].labels.tolist() == [0, 1]


def hub(monkeypatch, rows, **features):
    """Make the stand-in of the library know one dataset; return the calls."""
    calls = []

    class Loaded(list):
        features = SimpleNamespace(to_dict=lambda: columns)

        @property
        def column_names(self):
            return list(columns)

        def cast_column(self, name, kind):
            calls.append((name, kind))
            return self

        def __getitem__(self, key):
            return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)

    columns = features

    def load_dataset(name, config, split, revision, trust_remote_code=True):
        calls.append((name, config, split, revision, trust_remote_code))
        return Loaded(rows)

    def get_dataset_split_names(name, config, revision=None):
        if name == "missing":
            raise FileNotFoundError("doesn't exist on the Hub")
        return ["train", "validation"]

    module = SimpleNamespace(
        load_dataset=load_dataset,
        get_dataset_split_names=get_dataset_split_names,
        Image=lambda decode: ("Image", decode),
    )
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


def test_names_on_the_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = [{"image": image(3), "label": 1}]
    calls = hub(monkeypatch, rows, image=IMAGE, label=LABEL)
    reader = {"type": "HuggingFaceDataset", "config": "small", "revision": "v1"}
    found = read("someone/pets", reader=reader, split="val")
    # No script of the dataset is executed.
    assert calls == [
        ("someone/pets", "small", "validation", "v1", False),
        ("image", ("Image", False)),
    ]
    assert found[0].labels.tolist() == [0, 1]
    assert found.load(0).image[0, 0].tolist() == [3, 3, 3]
    with pytest.raises(DataError, match="the dataset missing cannot be opened") as caught:
        read("missing", reader="HuggingFaceDataset")
    assert "doesn't exist on the Hub" in caught.value.received
    with pytest.raises(DataError, match="neither a path nor the name"):
        read("no/such/folder", reader="HuggingFaceDataset")
    # Without the reader's name, a path must exist, and nothing is downloaded.
    with pytest.raises(DataError, match="does not exist"):
        read("someone/pets")


@pytest.mark.parametrize("library", ["datasets", "pyarrow"])
def test_the_libraries_are_optional(monkeypatch, tmp_path, library):
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "a.arrow").write_bytes(b"ARROW1")
    path = tmp_path / "a.arrow" if library == "pyarrow" else "pets"
    # It is no defect of the files, which a report would list for each split.
    for call in (read, diagnose):
        with pytest.raises(MissingLibraryError, match=f"needs {library}") as caught:
            call(path, reader="HuggingFaceDataset")
        assert caught.value.fix == f"pip install {library}"


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("dataset_dict.json", '{"splits": ["../x"]}', "not a valid file name"),
        ("dataset_dict.json", '{"splits": 3}', "not a list of names"),
        ("dataset_dict.json", "{", "invalid JSON"),
        ("state.json", '{"_data_files": [{"filename": "/etc/passwd"}]}', "not a valid file name"),
        ("state.json", '{"_data_files": [{"filename": "a.arrow"}]}', "no such file"),
        ("state.json", '{"_data_files": 3}', "not a list of files"),
        ("state.json", '{"_data_files": [], "_indices_files": [1]}', "a selection of"),
    ],
)
def test_hostile_indexes(tmp_path, name, text, what):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=what):
        read(tmp_path, reader="HuggingFaceDataset")


def written(folder, count=3, metadata=True, name="data.arrow"):
    """Write rows with an image, a label and objects to an Arrow stream."""
    pa = pytest.importorskip("pyarrow")
    features = {"image": IMAGE, "label": LABEL, "objects": OBJECTS}
    box, kind = pa.list_(pa.float32(), 4), pa.list_(pa.int64())
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
            ("objects", pa.struct([("bbox", pa.list_(box)), ("category", kind)])),
        ]
    )
    if metadata:
        info = json.dumps({"info": {"features": features}})
        schema = schema.with_metadata({"huggingface": info})
    rows = [
        {
            "image": image(number),
            "label": number % 2,
            "objects": {"bbox": [[10, 2, 20, 8]] * number, "category": [1] * number},
        }
        for number in range(count)
    ]
    table = pa.Table.from_pylist(rows, schema=schema)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".parquet"):
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, path, row_group_size=2)
        return path
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize("name", ["data.arrow", "data.parquet"])
def test_files(tmp_path, name):
    path = written(tmp_path, name=name)
    for each in (path, tmp_path):
        found = read(each)
        assert found.objects().tolist() == [0, 1, 2]
        assert np.asarray(found[2].instances.boxes).tolist() == [[10, 2, 30, 10]] * 2
        assert [found.load(i).image[0, 0, 0] for i in (2, 0, 1)] == [2, 0, 1]
    labels = read(path, reader={"type": "HuggingFaceDataset", "labels": "label"})
    assert labels.counts().tolist() == [2, 1]


def test_folders_of_splits(tmp_path):
    for split, count in (("train", 3), ("validation", 2)):
        written(tmp_path / split, count)
        state = {"_data_files": [{"filename": "data.arrow"}]}
        (tmp_path / split / "state.json").write_text(json.dumps(state))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    assert [len(read(tmp_path, split=split)) for split in ("train", "val")] == [3, 2]
    assert len(read(tmp_path / "validation")) == 2


def test_names_that_only_contain_the_name_of_a_split(tmp_path):
    for name in ("contest-0.parquet", "latest.parquet", "my_val.parquet"):
        (tmp_path / name).touch()
    found = hugging_face_dataset._files(tmp_path)
    assert {split: [file.name for file in files] for split, files in found.items()} == {
        "train": ["contest-0.parquet", "latest.parquet"],
        "val": ["my_val.parquet"],
    }


def test_threads_read_a_parquet_file_one_after_the_other(tmp_path, monkeypatch):
    reading, most = [], []

    class ParquetFile:
        schema_arrow = SimpleNamespace(names=["a"])
        metadata = SimpleNamespace(
            num_rows=8, num_row_groups=8, row_group=lambda number: SimpleNamespace(num_rows=1)
        )

        def __init__(self, file):
            pass

        def read_row_group(self, number):
            reading.append(number)
            most.append(len(reading))
            time.sleep(0.005)
            reading.remove(number)
            return Group(a=[SimpleNamespace(as_py=lambda: number)])

    class Group(dict):
        def validate(self, full):
            assert full

    monkeypatch.setattr(arrow_files, "imported_library", lambda *names: None)
    module = SimpleNamespace(import_module=lambda name: SimpleNamespace(ParquetFile=ParquetFile))
    monkeypatch.setattr(arrow_files, "importlib", module)
    part = arrow_files._Parquet(tmp_path / "a.parquet")
    with ThreadPoolExecutor(4) as pool:
        assert [row["a"] for row in pool.map(part.row, range(8))] == list(range(8))
    assert max(most) == 1


def test_parquet_shards(tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"):
        written(tmp_path / "data", 2, name=f"{name}.parquet")
    assert [len(read(tmp_path, split=split)) for split in ("train", "val")] == [4, 2]


def test_damaged_files(tmp_path):
    path = written(tmp_path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        bad = bytearray(good)
        for at in rng.integers(0, len(bad), 4):
            bad[at] = rng.integers(256)
        path.write_bytes(bytes(bad[: rng.integers(8, len(bad))] if number % 2 else bad))
        try:
            read(path)
        except DataError:
            continue
