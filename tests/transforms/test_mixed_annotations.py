"""Random lists of all transforms on samples with any combination of annotations."""

import numpy as np
import pytest

from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Masks, RotatedBoxes, Sample
from visiongarden.transforms import (
    Affine,
    CenterCrop,
    CopyPaste,
    CutMix,
    HorizontalFlip,
    Letterbox,
    MixUp,
    Mosaic,
    Perspective,
    Pipeline,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    Resize,
    Rotate90,
    VerticalFlip,
)

CHOICE = [
    Affine(degrees=30, shear=5), CenterCrop(), CopyPaste(), CutMix(), HorizontalFlip(), Letterbox(),
    MixUp(), Mosaic(), Mosaic(grid=3), Perspective(distortion=0.3), RandomCrop(), RandomErasing(),
    RandomResizedCrop(), Resize(), Rotate90(), VerticalFlip(),
]  # fmt: skip


def instances_of(rng, size, boxes, masks, pairs):
    """Return objects with some of the fields; `pairs` is None for no keypoints."""
    height, width = size
    count = int(rng.integers(0, 4))
    corner = rng.uniform(0, 0.6, (count, 2)) * (width, height)
    side = rng.uniform(0.1, 0.4, (count, 2)) * (width, height)
    array = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
    fields = {"boxes": None, "classes": np.arange(count)}
    if boxes == "xyxy":
        fields["boxes"] = Boxes(array)
    elif boxes == "rotated":
        angle = rng.uniform(-90, 90, (count, 1))
        fields["boxes"] = RotatedBoxes(np.concatenate([corner + side / 2, side, angle], axis=1))
    rings = [[[x1, y1, x2, y1, x2, y2, x1, y2]] for x1, y1, x2, y2 in array.tolist()]
    if masks != "none":
        polygons = Masks.from_polygons(
            [None if masks == "some" and rng.random() < 0.5 else ring for ring in rings], size
        )
        fields["masks"] = polygons if masks != "pixels" else Masks.from_bitmaps(polygons.bitmaps())
    if pairs != "none":
        values = np.concatenate(
            [rng.uniform(0, 1, (count, 3, 2)) * (width, height), rng.integers(0, 3, (count, 3, 1))],
            axis=-1,
        )
        known = {"known": [(0, 1)], "unknown": None}[pairs]
        fields["keypoints"] = Keypoints(values.astype(np.float32), pairs=known)
    return Instances(size, **fields, data={"row": np.arange(count)})


def sample_of(rng, number, boxes, masks, pairs, semantic):
    size = (int(rng.integers(30, 90)), int(rng.integers(30, 90)))
    image = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
    return Sample(
        ImageInfo(number, None, size),
        image,
        instances_of(rng, size, boxes, masks, pairs),
        semantic=image[..., 0] // 100 if semantic and rng.random() < 0.7 else None,
        known_classes=rng.random(4) < 0.5 if rng.random() < 0.5 else None,
    )


@pytest.mark.parametrize("boxes", ["none", "xyxy", "rotated"])
@pytest.mark.parametrize("masks", ["none", "some", "polygons", "pixels"])
@pytest.mark.parametrize("pairs", ["none", "known", "unknown"])
def test_every_list_returns_valid_samples(boxes, masks, pairs):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        semantic = seed % 2 == 0
        samples = [sample_of(rng, i, boxes, masks, pairs, semantic) for i in range(9)]
        chosen = [CHOICE[i] for i in rng.integers(0, len(CHOICE), rng.integers(1, 5))]
        if semantic:
            chosen = [each for each in chosen if not isinstance(each, MixUp)]
        pipeline = Pipeline(chosen, samples, size=(64, 48), capacity=40, epochs=1, seed=seed)
        found = pipeline(int(rng.integers(9)), 0)
        objects = found.instances
        assert found.image.shape == (64, 48, 3)
        assert objects.size == (64, 48)
        assert found.semantic is None or found.semantic.shape == (64, 48)
        fields = (objects.boxes, objects.masks, objects.keypoints, objects.data.get("row"))
        assert {len(field) for field in fields if field is not None} <= {len(objects)}
        targets = {}
        for field in fields[:3]:
            if field is not None:
                targets |= field.to_targets(40, (64, 48))
        assert all(np.isfinite(value).all() for value in targets.values())
        if isinstance(objects.boxes, Boxes):
            array = np.asarray(objects.boxes)
            assert (array >= 0).all()
            assert (array <= [48, 64, 48, 64]).all()
            assert (array[:, 2:] > array[:, :2]).all()
        if objects.boxes is not None:
            assert (objects.boxes.visible_fraction((64, 48)) > 0).all()
        if objects.masks is not None:
            assert objects.masks.size == (64, 48)
            assert (objects.masks.visible_fraction((64, 48)) >= 0.1).all()
