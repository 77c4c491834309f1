"""Epochs and batch size of small datasets; runs with too few steps."""

import pytest

from visiongarden.errors import ConfigError
from visiongarden.recipes import resolve
from visiongarden.recipes.training_defaults import default_length, warn_of_few_steps
from visiongarden.scenes import make_scenes
from visiongarden.tasks import find
from visiongarden.training import Training
from visiongarden.transforms import HSV, Affine, HorizontalFlip, Mosaic


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs", "validate_every"),
    [
        (1, 4, 1200, 12),  # one step per epoch
        (4, 4, 1200, 12),
        (8, 4, 600, 6),
        (16, 4, 300, 3),  # 4 × 300 = 1200 steps
        (31, 4, 172, 1),  # 7 × 172 = 1204
        (32, 8, 300, 3),
        (64, 16, 300, 3),
        (191, 16, 110, 1),  # 11 × 110 = 1210
    ],
)
def test_small_sets_get_smaller_batches_and_more_epochs(images, batch_size, epochs, validate_every):
    assert default_length(images, {}) == {
        "batch_size": batch_size,
        "epochs": epochs,
        "validate_every": validate_every,
    }


@pytest.mark.parametrize("images", [192, 118_000])
def test_other_datasets_keep_the_default_length(images):
    defaults = Training()
    length = default_length(images, {})
    assert length == {"batch_size": defaults.batch_size, "epochs": defaults.epochs}
    assert default_length(images, {"epochs": 500}) == {"batch_size": defaults.batch_size}


def test_fields_of_the_recipe_are_kept():
    assert default_length(16, {"epochs": 7}) == {"batch_size": 4, "validate_every": 1}
    assert default_length(16, {"epochs": 700}) == {"batch_size": 4, "validate_every": 7}
    assert default_length(16, {"batch_size": 8}) == {"epochs": 600, "validate_every": 6}
    assert default_length(16, {"batch_size": 64})["epochs"] == 1200  # one batch of all images
    assert default_length(16, {"validate_every": 5}) == {"batch_size": 4, "epochs": 300}
    assert default_length(16, {"epochs": 7, "batch_size": 2, "validate_every": 1}) == {}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("data") / "scenes", 20, (64, 64), val_share=0.2)


def test_recipe_of_a_dataset_has_the_length_that_suits_its_training_split(scenes):
    training = resolve(scenes).training
    assert (training.batch_size, training.epochs, training.validate_every) == (4, 300, 3)
    # 16 images; also where the number of classes is stated, or other fields are.
    stated = {
        "data": {"path": str(scenes)},
        "model": {"head": {"type": "AnchorFree", "num_classes": 5}},
    }
    assert resolve(stated).training == training
    assert resolve(scenes, overrides=["training.batch_size=16"]).training.epochs == 1200
    assert resolve(scenes, overrides=["training.epochs=2"]).training == Training(
        epochs=2, batch_size=4
    )


def test_recipe_without_its_data_keeps_the_default_length(tmp_path):
    head = {"type": "AnchorFree", "num_classes": 5}
    fields = {"data": {"path": str(tmp_path / "elsewhere")}, "model": {"head": head}}
    assert resolve(fields).training == Training()


def test_invalid_batch_size_is_named(scenes):
    with pytest.raises(ConfigError, match=r"training\.batch_size: must be a whole number"):
        resolve(scenes, overrides=["training.batch_size=many"])
    with pytest.raises(ConfigError, match=r"training\.batch_size: must be greater than 0"):
        resolve(scenes, overrides=["training.batch_size=0"])


SMALL = (Affine(scale=0.2), HorizontalFlip(), HSV())


def test_small_datasets_have_weaker_transforms(scenes):
    assert resolve(scenes).transforms == SMALL  # 16 images
    found = resolve(scenes, overrides=["transforms.Affine.scale=0.5"]).transforms
    assert found == (Affine(scale=0.5), *SMALL[1:])
    assert resolve(scenes, overrides=["transforms=[HSV]"]).transforms == (HSV(),)
    assert resolve(scenes, overrides=["transforms=[]"]).transforms == ()
    # The number of classes and the length of the run are given: the transforms still follow.
    given = ["model.head.num_classes=5", "training.epochs=9", "training.batch_size=4"]
    given += ["training.validate_every=1"]
    assert resolve(scenes, overrides=given).transforms == SMALL
    assert find("detection").transforms(63, 300) == SMALL
    # 300 // 6; 40 // 6 is less than the default of ten.
    for images, epochs, last in ((64, 300, 50), (191, 300, 50), (192, 300, 10), (191, 40, 10)):
        found = find("detection").transforms(images, epochs)
        assert found == (Mosaic(skip_last_epochs=last), Affine(), HorizontalFlip(), HSV())


def test_too_few_steps_are_reported_with_the_epochs_that_would_do():
    (line,) = warn_of_few_steps(Training(epochs=20, batch_size=16), 16)
    assert line.startswith(
        "20 steps (epochs × steps per epoch: 20 × 1) are too few to train from scratch"
    )
    assert line.endswith("training.epochs=1200")
    # 100 images at 16 are six full batches: 6 × 49 = 294, 6 × 50 = 300; 1200 / 6 = 200.
    assert warn_of_few_steps(Training(epochs=49), 100)[0].endswith("training.epochs=200")
    assert warn_of_few_steps(Training(epochs=50), 100) == []
    assert warn_of_few_steps(Training(), 118_000) == []
