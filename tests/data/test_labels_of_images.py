"""Transforms that combine images, for datasets with labels or masks of whole images."""

from dataclasses import replace

import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data import Dataset, Loader
from visiongarden.errors import UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.tasks import find
from visiongarden.transforms import CutMix, MixUp, Mosaic, Policy, Transform
from visiongarden.types import ClassMap

SIZE = (64, 64)


class OneOf(Policy):
    transforms: tuple[Transform, ...] = ()

    def choose(self, rng):
        return self.transforms


def dataset(**changes):
    """Return eight images with one object each, and further annotations."""
    samples = []
    for index in range(8):
        image = np.full((*SIZE, 3), 20 * index, np.uint8)
        objects = Instances(SIZE, Boxes([[8, 8, 40, 40]]), [index % 2])
        samples.append(replace(Sample(ImageInfo(index, None, SIZE), image, objects), **changes))
    return Dataset(ClassMap(("cat", "dog")), samples, "train")


LABELS = {"labels": np.array([1, 0], np.float32)}
MASK = {"semantic": np.zeros(SIZE, np.uint8)}


def test_labels_that_the_task_does_not_need_are_left_out():
    loader = find("detection").loader(dataset(**LABELS), SIZE, 4, [Mosaic()])
    sample = loader.sample(0)
    assert sample.labels is None
    assert len(np.unique(sample.image)) > 2
    # Without such a transform, they are kept.
    assert find("detection").loader(dataset(**LABELS), SIZE, 4, []).sample(0).labels is not None


@pytest.mark.parametrize(
    ("annotations", "transform", "words"),
    [
        (LABELS, Mosaic(), "labels of whole images"),
        (LABELS, OneOf(transforms=(Mosaic(grid=3),)), "labels of whole images"),
        (MASK, MixUp(), "semantic masks"),
    ],
)
def test_loader_refuses_transforms_that_cannot_combine_annotations(annotations, transform, words):
    with pytest.raises(UserError, match=f"combines several images, but not their {words}") as found:
        Loader(dataset(**annotations), SIZE, 4, [transform])
    assert "replace it by CutMix" in found.value.fix


@pytest.mark.parametrize("name", ["multi_label", "classification"])
def test_tasks_of_labels_refuse_mosaics(name):
    with pytest.raises(UserError, match="Mosaic combines several images"):
        find(name).loader(dataset(**LABELS), SIZE, 4, [Mosaic()])
    with pytest.raises(UserError, match="MixUp combines several images"):
        find("segmentation").loader(dataset(**MASK), SIZE, 4, [MixUp()])


@pytest.mark.parametrize(
    ("annotations", "transform"),
    [
        (LABELS, MixUp()),
        (LABELS, CutMix()),
        (MASK, CutMix()),
        (MASK, Mosaic()),
        (LABELS, Mosaic(probability=0)),
        ({}, Mosaic()),
    ],
)
def test_transforms_that_combine_annotations_are_taken(annotations, transform):
    sample = Loader(dataset(**annotations), SIZE, 4, [transform]).sample(0)
    assert all(getattr(sample, name) is not None for name in annotations)


def test_several_heads_of_boxes_and_labels():
    heads = {
        "boxes": vg.heads.AnchorFree(num_classes=2),
        "scene": vg.heads.Classification(num_classes=2),
    }
    task = vg.tasks.MultiHeadTask(heads=heads)
    assert not any(isinstance(each, Mosaic) for each in task.transforms(1000, 100))
    with pytest.raises(UserError, match="Mosaic combines several images"):
        task.loader(dataset(**LABELS), SIZE, 4, [Mosaic()])
    batch = next(task.loader(dataset(**LABELS), SIZE, 4, [CutMix()]).epoch(0))
    np.testing.assert_allclose(batch.targets["scene/labels"].sum(axis=1), 1, rtol=1e-6)
    assert batch.targets["boxes/boxes"].shape[2] == 4
