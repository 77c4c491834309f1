"""Pictures of each transform alone beside the original."""

import doctest

import cv2
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.doctor import transform_sheet
from visiongarden.doctor.transform_sheet import description, transforms_sheet
from visiongarden.doctor.verbs import show_dataset
from visiongarden.errors import UserError
from visiongarden.samples import (
    Boxes,
    ImageInfo,
    Instances,
    Keypoints,
    Masks,
    RotatedBoxes,
    Sample,
)
from visiongarden.transforms import (
    HSV,
    Affine,
    Function,
    HorizontalFlip,
    MixUp,
    Mosaic,
    RandAugment,
    Transform,
    VerticalFlip,
)
from visiongarden.types import ClassMap, LabelMap

SIZE = (48, 64)
GAP = 6
NAMES = ClassMap(("cat", "dog"))


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def sample(seed=0, **fields):
    return Sample(ImageInfo(seed, None, SIZE), picture(seed), **fields)


def cells(sheet, variants, rows):
    """Return the pictures of a sheet whose headings have one line each."""
    heading = sheet.shape[0] // rows - SIZE[0] - GAP
    found = []
    for row in range(rows):
        top = row * (heading + SIZE[0] + GAP) + heading
        lefts = [GAP + n * (SIZE[1] + GAP) for n in range(variants + 1)]
        found.append([sheet[top : top + SIZE[0], left : left + SIZE[1]] for left in lefts])
    return found


def test_each_transform_is_alone_beside_the_original():
    given = sample()
    flips = [HorizontalFlip(probability=0.01), VerticalFlip(probability=0.0)]
    sheet = transforms_sheet(given, flips, size=SIZE, variants=2)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 3 * (SIZE[1] + GAP) + GAP
    (original, *mirrored), (again, *upside) = cells(sheet, 2, 2)
    assert (original == picture()).all()
    assert (again == picture()).all()
    assert all((each == picture()[:, ::-1]).all() for each in mirrored)
    assert all((each == picture()[::-1]).all() for each in upside)
    assert (given.image == picture()).all()


def test_variants_differ_and_the_seed_repeats_them():
    sheets = [transforms_sheet(sample(), [Affine()], size=SIZE, variants=3, seed=s) for s in (1, 1)]
    assert (sheets[0] == sheets[1]).all()
    _, *variants = cells(sheets[0], 3, 1)[0]
    assert len({each.tobytes() for each in variants}) == 3
    other = transforms_sheet(sample(), [Affine()], size=SIZE, variants=3, seed=2)
    assert (other != sheets[0]).any()


def objects():
    ring = [[10, 10, 30, 10, 30, 40, 10, 40]]
    return Instances(
        SIZE,
        Boxes([[10, 10, 30, 40]]),
        [1],
        masks=Masks.from_polygons([ring], SIZE),
        keypoints=Keypoints([[[15, 20, 2], [25, 20, 1], [0, 0, 0]]], skeleton=[(0, 1)], pairs=()),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"instances": objects()},
        {"instances": Instances(SIZE, RotatedBoxes([[30, 20, 20, 10, 30]]), [0])},
        {"instances": Instances(SIZE, masks=objects().masks)},
        {"semantic": np.tile(np.arange(64) // 32, (48, 1)).astype(np.int32)},
        {"labels": np.array([0.25, np.nan], np.float32)},
    ],
    ids=["objects", "rotated", "masks", "semantic", "labels"],
)
@pytest.mark.parametrize("names", [NAMES, None], ids=["names", "indices"])
def test_annotations_are_drawn_on_both(fields, names):
    sheet = transforms_sheet(
        sample(**fields), [HorizontalFlip()], size=SIZE, variants=1, class_map=names
    )
    original, mirrored = cells(sheet, 1, 1)[0]
    assert (original != picture()).any()
    assert (mirrored != picture()[:, ::-1]).any()


def test_chosen_bands_and_named_values_are_shown(tmp_path):
    bands = np.zeros((*SIZE, 5), np.uint8)
    bands[..., 4] = 200
    given = Sample(ImageInfo(0, None, SIZE), bands, labels=np.float32([0.5, np.nan]))
    options = {"size": SIZE, "variants": 1, "class_map": ClassMap(("any",))}
    sheet = transforms_sheet(
        given, [HorizontalFlip()], bands=(4, 0, 0), label_map=LabelMap(("a", "b")), **options
    )
    ((_, result),) = cells(sheet, 1, 1)
    assert result[-1, -1].tolist() == [200, 0, 0]


def test_the_mirrored_box_is_drawn_mirrored():
    dark = Sample(ImageInfo(0, None, SIZE), np.zeros((*SIZE, 3), np.uint8), objects())
    sheet = transforms_sheet(dark, [HorizontalFlip()], size=SIZE, variants=1, class_map=NAMES)
    original, mirrored = cells(sheet, 1, 1)[0]
    bright = [(each[30] > 200).any(axis=1) for each in (original, mirrored)]
    assert bright[0][[10, 30]].all()  # the lines of the box, 10 to 30
    assert not bright[0][[34, 54]].any()
    assert bright[1][[34, 54]].all()
    assert not bright[1][[10, 30]].any()


def test_mosaics_take_other_samples():
    others = [sample(seed, instances=objects()) for seed in (1, 2, 3)]
    sheet = transforms_sheet(sample(), [Mosaic(), MixUp()], size=SIZE, variants=1, others=others)
    (_, mosaic), (_, mixed) = cells(sheet, 1, 2)
    assert (mosaic != picture()).any()
    assert (mixed != picture()).any()
    alone = transforms_sheet(sample(instances=objects()), [Mosaic()], size=SIZE, variants=1)
    assert alone.shape[0] > SIZE[0]


def test_a_refused_sample_has_the_reason_in_its_row():
    image = np.zeros((*SIZE, 5), np.uint16)
    image[:, :20] = 900
    given = Sample(ImageInfo(0, None, SIZE), image)
    sheet = transforms_sheet(given, [HSV(), HorizontalFlip()], size=SIZE, variants=2)
    red = (sheet[..., 0] > 150) & (sheet[..., 1] < 60) & (sheet[..., 2] < 60)
    assert red.any()
    rows = np.flatnonzero(red.any(axis=1))
    assert rows.max() < sheet.shape[0] // 2
    assert (sheet[-SIZE[0] - GAP : -GAP, -SIZE[1] - GAP : -GAP] == 255)[:, -20:].all()


def test_descriptions():
    assert description(HSV()) == "HSV(hue=0.015, saturation=0.7, value=0.4)"
    assert description(HSV(probability=0.3, hue=0)) == (
        "HSV(probability=0.3, hue=0, saturation=0.7, value=0.4)"
    )
    assert description(RandAugment(skip_last_epochs=2)).startswith("RandAugment(skip_last_epochs=2")
    assert description(Function(function="my.aug:darken")) == (
        "Function(function='my.aug:darken', argument='auto')"
    )


@pytest.mark.parametrize(("transforms", "variants"), [([], 1), ([HSV()], 0)])
def test_nothing_to_show(transforms, variants):
    with pytest.raises(UserError, match="nothing to show"):
        transforms_sheet(sample(), transforms, variants=variants)


def test_all_transforms_are_shown():
    kinds = [k for k in Transform.kinds().values() if not k.__module__.startswith("tests")]
    shown = [kind() for kind in kinds if kind.__name__ not in ("Function", "Albumentations")]
    sheet = transforms_sheet(sample(instances=objects()), shown, size=SIZE, variants=1)
    assert sheet.shape[0] > len(shown) * SIZE[0]
    assert len(shown) > 15


def test_the_example_runs():
    found = doctest.DocTestFinder().find(
        transforms_sheet, "transforms_sheet", globs={**vars(transform_sheet), "vg": vg, "np": np}
    )
    failed = [doctest.DocTestRunner(verbose=False).run(example).failed for example in found]
    assert failed == [0]


def test_images_without_annotations_are_shown_with_the_transforms_of_a_recipe(tmp_path):
    images = tmp_path / "scans" / "images"
    images.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    cv2.imwrite(str(images / "a.png"), pixels)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("transforms: [{type: VerticalFlip, probability: 1}]")
    options = {"reader": "Images", "image_size": 32, "count": 1, "columns": 1}
    plain = show_dataset(images, **options).image
    assert (show_dataset(images, recipe=recipe, **options).image == plain[::-1]).all()
    with pytest.raises(UserError, match="no transform to show"):
        show_dataset(images, each=True, **options)
    with pytest.raises(UserError, match=r"(?s)contains no image.*fix: .*scans.images"):
        show_dataset(images.parent, **options)
