"""The doctor on images without annotations, and on pixels that a reader returns."""

import cv2
import numpy as np
import pytest

from visiongarden.data import Dataset, Reader
from visiongarden.doctor import check_dataset
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.types import ClassMap

SIZE = (40, 60)


def test_images_without_annotations_have_no_classes(tmp_path):
    random = np.random.default_rng(0)
    for number in range(3):
        image = random.integers(0, 255, (*SIZE, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    report = check_dataset(tmp_path, reader="Images", output=tmp_path / "report.html")
    assert report.ok
    assert report.findings == []
    assert "  train: 3 images\n" in report.text()
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_folder_without_images_names_one_with_images(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "a" / "b" / "0.png"), np.zeros((*SIZE, 3), np.uint8))
    (finding,) = check_dataset(tmp_path, reader="Images").findings
    assert finding.fix.endswith(f"such as {tmp_path / 'a' / 'b'}")


class Made(Reader):
    """Reader of pixels that a program makes."""

    kind: str = "float32"
    channels: int = 5

    def splits(self, source):
        return ("train",)

    def read(self, source, split):
        random, samples = np.random.default_rng(0), []
        for index in range(3):
            # The first two images are equal.
            if index != 1:
                image = random.uniform(0, 255, (*SIZE, self.channels)).astype(self.kind)
            objects = Instances(SIZE, Boxes([[4, 4, 30, 30]]), [0])
            samples.append(Sample(ImageInfo(index, None, SIZE), image, objects))
        return Dataset(ClassMap(("cat",)), samples, split)


@pytest.mark.parametrize(
    ("kind", "channels"), [("float32", 5), ("uint16", 2), ("uint8", 7), ("uint8", 3)]
)
def test_pixels_in_memory_of_any_type(tmp_path, kind, channels):
    report = check_dataset(
        tmp_path, reader=Made(kind=kind, channels=channels), output=tmp_path / "report.html"
    )
    assert report.ok, report
    assert [finding.kind for finding in report.findings] == ["duplicate-image"]
    assert report.sizes["train"] == {SIZE: 3}
