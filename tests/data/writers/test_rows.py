"""Random annotations are written and read back equal, or what is dropped is listed."""

import sys
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visiongarden import register, registry
from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.reading import read
from visiongarden.data.rows import KeypointScheme, Row, sample_of
from visiongarden.data.writers import Writer, writer_of
from visiongarden.errors import UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, RotatedBoxes, Sample
from visiongarden.types import ClassMap, LabelMap

SIZE = (48, 64)
NAMES = ClassMap(("ant", "bee"))
SCHEME = KeypointScheme(("nose", "left_eye", "right_eye"), ((1, 2),), ((0, 1), (0, 2)))
LARGE = [4.0, 4.0, 60.0, 44.0]


def image(seed):
    return np.random.default_rng(seed).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


def boxes_of(rng, count, rotated):
    if rotated:
        center, sides = rng.uniform((8, 8), (56, 40), (count, 2)), rng.uniform(3, 30, (count, 2))
        found = np.concatenate([center, sides, rng.uniform(-90, 90, (count, 1))], axis=1)
        return np.asarray(RotatedBoxes(found))
    low = rng.uniform(0, (40, 30), (count, 2))
    return np.concatenate([low, low + rng.uniform(2, 18, (count, 2))], axis=1).astype(np.float32)


def polygon_in(box):
    x1, y1, x2, y2 = box.tolist()
    ring = np.array([[x1, y1], [x2, y1], [x2, y2], [(x1 + x2) / 2, y2]], np.float32)
    return (ring,)


@st.composite
def datasets(draw):
    rotated, masked, posed = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = []
    for number in range(draw(st.integers(1, 3))):
        count = draw(st.integers(0, 3)) + (number == 0)
        boxes = boxes_of(rng, count, rotated)
        if number == 0 and not rotated:
            boxes[0] = LARGE  # boxes of a pixel alone would look like fractions
        rings = None
        if masked and not rotated:
            kept = rng.random(count) < 0.8
            rings = tuple(polygon_in(b) if k else None for b, k in zip(boxes, kept, strict=True))
        points = None
        if posed:
            places = rng.uniform(0, SIZE[::-1], (count, 3, 2))
            seen = rng.integers(0, 3, (count, 3, 1))
            points = np.concatenate([np.where(seen > 0, places, 0), seen], axis=2)
            points = points.astype(np.float32)
        classes = rng.integers(0, 2, count).astype(np.int32)
        crowd = (rng.random(count) < 0.2) & (np.arange(count) > 0)
        rings = rings if rings is not None and any(rings) else None
        rows.append(Row(None, SIZE, boxes, classes, crowd, rings, points, image=image(number)))
    scheme = SCHEME if posed else KeypointScheme()
    samples = [sample_of(row, i, NAMES, scheme) for i, row in enumerate(rows)]
    return Dataset(NAMES, samples)


def corners_differ(one, other):
    """Largest distance of equal corners, whichever is the first."""
    first, second = RotatedBoxes(one).corners(), RotatedBoxes(other).corners()
    steps = [np.abs(first - np.roll(second, s, axis=1)).max(axis=(1, 2)) for s in range(4)]
    return np.min(steps, axis=0).max(initial=0)


def listed(lost, name, text):
    return sum(line.startswith(f"{name}: ") and text in line for line in lost)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(datasets(), st.sampled_from(["coco", "yolo", "arrayrecord", "dota"]))
def test_rows_are_read_back_or_listed(tmp_path_factory, dataset, to):
    folder = tmp_path_factory.mktemp("rows")
    writer = writer_of(to)
    lost = writer.write({"train": dataset}, folder)
    reader = {"type": writer.reader}
    if to == "yolo" and "rotated" in dataset.fields:
        reader["boxes"] = "rotated"
    found = read(folder, split="train", reader=reader)
    assert len(found) == len(dataset)
    assert to != "arrayrecord" or lost == []
    for index, one in enumerate(dataset.rows()):
        other, name = found.row(index), f"{index:06}.png"
        np.testing.assert_array_equal(found.load(index).image, one.image)
        np.testing.assert_array_equal(one.classes, other.classes)
        changed = listed(lost, name, "a rotated box") + listed(lost, name, "an upright box")
        if len(one.boxes) and one.boxes.shape == other.boxes.shape:
            if one.boxes.shape[1] == 5:
                assert corners_differ(one.boxes, other.boxes) < 0.01
            else:
                np.testing.assert_allclose(one.boxes, other.boxes, atol=2e-3)
        elif len(one.boxes):
            assert changed >= len(one.boxes)
        crowds = listed(lost, name, "a crowd region")
        assert one.crowd.sum() == other.crowd.sum() + crowds
        masks = [sum(p is not None for p in row.polygons or ()) for row in (one, other)]
        added = listed(lost, name, "with its corners as a polygon")
        assert masks[0] + added == masks[1] + listed(lost, name, "mask")
        points = [0 if r.keypoints is None else (r.keypoints[..., 2] > 0) for r in (one, other)]
        posed = [np.sum(np.any(p, axis=1)) if np.ndim(p) else 0 for p in points]
        assert posed[0] == posed[1] + listed(lost, name, "the keypoints of an object")
        if posed[1]:
            seen = points[0]
            np.testing.assert_allclose(one.keypoints[seen], other.keypoints[seen], atol=2e-3)
    if "keypoints" in dataset.fields and "keypoints" in found.fields:
        texts = {"names": "names", "skeleton": "skeleton", "pairs": "left and right"}
        given, again = SCHEME._asdict(), found.scheme._asdict()
        for part, text in texts.items():
            assert given[part] == again[part] or listed(lost, "train", text)


def test_labels_of_images_are_kept_by_shards_and_listed_by_others(tmp_path):
    labels = ([0.5, np.nan], [1.5, 2])
    samples = [
        Sample(ImageInfo(i, None, SIZE), image(i), labels=np.array(row, np.float32))
        for i, row in enumerate(labels)
    ]
    dataset = Dataset(NAMES, samples, label_map=LabelMap(("angle", "speed"), ("rad", "")))
    (tmp_path / "shards").mkdir()
    assert writer_of("arrayrecord").write({"train": dataset}, tmp_path / "shards") == []
    found = read(tmp_path / "shards", split="train")
    assert found.label_map == dataset.label_map
    for one, other in zip(samples, found, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
    with pytest.raises(UserError, match="values, not classes"):
        writer_of("folders").write({"train": dataset}, tmp_path)


def test_only_one_class_fits_into_a_class_folder(tmp_path):
    both = Sample(ImageInfo(0, None, SIZE), image(0), labels=np.array([1, 1], np.float32))
    with pytest.raises(UserError, match="exactly one class"):
        writer_of("folders").write({"train": Dataset(NAMES, [both])}, tmp_path)
    samples = [
        Sample(ImageInfo(i, None, SIZE), image(i), labels=np.eye(2, dtype=np.float32)[i])
        for i in range(2)
    ]
    assert writer_of("folders").write({"train": Dataset(NAMES, samples)}, tmp_path) == []
    assert (tmp_path / "train" / "bee" / "000001.png").is_file()


def test_semantic_masks_in_memory_are_written(tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    mask[:20], mask[40:] = 1, 255
    sample = Sample(ImageInfo(0, None, SIZE), image(0), semantic=mask)
    assert writer_of("masks").write({"train": Dataset(NAMES, [sample])}, tmp_path) == []
    np.testing.assert_array_equal(read(tmp_path, split="train").load(0).semantic, mask)


class Listed:
    """Annotations of a class that is not visiongarden's."""

    class_map, label_map = NAMES, None

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]

    def counts(self):
        return np.zeros(2, np.int64)

    def location(self, index, row=None):
        return f"sample {index}"


def test_annotations_of_another_class_are_written(tmp_path):
    row = Row(None, SIZE, np.array([LARGE], np.float32), np.array([1]), np.array([False]),
              image=image(0))  # fmt: skip
    assert writer_of("coco").write({"train": Listed([sample_of(row, 0)])}, tmp_path) == []
    assert read(tmp_path, split="train").row(0).boxes.tolist() == [LARGE]


def test_a_writer_of_the_user_is_found_by_its_format(tmp_path):
    @register(package="test_rows")
    class NamesWriter(Writer):
        format: ClassVar[str] = "names"

        def write(self, splits, folder):
            for split, found in splits.items():
                (folder / f"{split}.txt").write_text("\n".join(found.class_map.names))
            return ["train: the boxes"]

    assert Writer.by_name()["names"] is NamesWriter
    assert writer_of("names").write({"train": Dataset(NAMES, [])}, tmp_path) == ["train: the boxes"]
    assert (tmp_path / "train.txt").read_text() == "ant\nbee"
    with pytest.raises(UserError, match="did you mean names"):
        writer_of("name")


@pytest.mark.parametrize("name", ["COCOWriter", "visiongarden>COCOWriter"])
def test_the_name_of_a_class_is_no_format(name):
    """It would be written into commands and folders as a format that does not exist."""
    with pytest.raises(UserError, match="unknown format") as error:
        writer_of(name)
    assert error.value.rule.startswith("the format of a registered class")


def test_a_package_whose_writer_has_another_format_is_refused(tmp_path, monkeypatch):
    """A package that declares the format "pairs", while its writer has "triples"."""
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    (tmp_path / "pair_formats.py").write_text(
        "import visiongarden as vg\n"
        "from visiongarden.data.writers import Writer\n"
        "@vg.register(package='pair_formats')\n"
        "class PairWriter(Writer):\n"
        "    format = 'triples'\n"
    )
    info = tmp_path / "pair_formats-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pair-formats\nVersion: 1.0\n")
    entry = "writer.pairs = pair_formats:PairWriter"
    (info / "entry_points.txt").write_text(f"[visiongarden.plugins]\n{entry}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(UserError, match="'pairs' is not that of a registered writer") as error:
            writer_of("pairs")
    finally:
        sys.modules.pop("pair_formats", None)
    assert error.value.fix == 'format: ClassVar[str] = "pairs"'
    assert "PairWriter has the format 'triples'" in error.value.received


def test_what_no_format_stores_is_listed(tmp_path):
    objects = Instances(SIZE, Boxes([LARGE]), [0], data={"track": np.array([7])}, scores=[0.5])
    sample = Sample(
        ImageInfo(0, None, SIZE), image(0), objects, known_classes=np.array([True, False])
    )
    lost = writer_of("coco").write({"train": Dataset(NAMES, [sample])}, tmp_path)
    assert list(lost) == [
        "000000: the column 'track' of its objects",
        "000000: the scores of its objects",
        "000000: which classes are annotated",
    ]
