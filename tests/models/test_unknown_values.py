"""Files open although a value that only training needs is unknown, and write it back unchanged."""

from __future__ import annotations

import functools
import json
import zipfile

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.config import Unknown
from visiongarden.errors import UserError

IMAGES = np.full((1, 32, 32, 3), 90, np.uint8)


@functools.cache
def detector():
    return vg.Detector(
        vg.backbones.CSPDarknet(width=0.125, levels=("p3",)),
        vg.decoders.FPN(channels=8, levels=("p3",)),
        vg.heads.AnchorFree(num_classes=2, bins=4),
        (32, 32),
    )


def saved(path, **fields):
    """Save a small detector, with changed fields of its head in the file."""
    detector().save(path)
    config = head_config(path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    whole = json.loads(files["config.json"])
    whole["config"]["head"]["config"] = config | fields
    files["config.json"] = json.dumps(whole).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def head_config(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))["config"]["head"]["config"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("loss", {"type": "garden>Absent", "gain": 2.0}, "unknown Loss 'garden>Absent'"),
        ("loss", {"type": "visiongarden>AnchorFreeLoss", "newer": 1}, "newer"),
        (
            "loss",
            {"type": "visiongarden>AnchorFreeLoss", "box_loss": {"type": "garden>Corner"}},
            "unknown BoxLoss 'garden>Corner'",
        ),
        ("loss", {"type": "visiongarden>ClassificationLoss"}, None),
        ("loss", ["a", {"list": None}], "dictionary"),
        ("assigner", {"type": "garden>Absent"}, "unknown Assigner 'garden>Absent'"),
        ("assigner", {"type": "visiongarden>TaskAligned", "top_k": -1}, "top_k"),
    ],
)
def test_an_unknown_value_is_kept(tmp_path, field, value, reason):
    saved(tmp_path / "old.keras", **{field: value})
    model = vg.load(tmp_path / "old.keras")
    model.save(tmp_path / "new.keras")
    if reason is None:  # a valid loss of another task: the fields that it reads are there
        return
    assert head_config(tmp_path / "new.keras") == head_config(tmp_path / "old.keras")
    head = model.parts.head
    assert isinstance(dict(head)[field], Unknown)
    assert hash(head) == hash(type(head).from_config(head.get_config()))
    assert head.replace(num_classes=3).num_classes == 3
    with pytest.raises(UserError, match=f"the {field} of the head AnchorFree is unknown") as error:
        getattr(head, f"chosen_{field}")()
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(vg.load, id="vg"),
        pytest.param(keras.saving.load_model, id="keras", marks=pytest.mark.slow),
    ],
)
def test_a_model_with_an_unknown_loss_predicts(tmp_path, load):
    saved(tmp_path / "model.keras", loss={"type": "garden>Absent"})
    (found,) = load(tmp_path / "model.keras").detect(IMAGES, score=0.0)
    (expected,) = detector().detect(IMAGES, score=0.0)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_training_names_what_is_missing(tmp_path):
    saved(tmp_path / "model.keras", loss={"type": "garden>Absent"})
    model = vg.load(tmp_path / "model.keras")
    batches = [(IMAGES, {"boxes": np.zeros((1, 1, 4)), "classes": np.zeros((1, 1), int)})]
    with pytest.raises(UserError, match="the loss of the head AnchorFree is unknown") as error:
        vg.training.fit(model, batches, folder=tmp_path / "run")
    assert "fix: import garden" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_elsewhere_an_unknown_value_is_an_error():
    config = {"num_classes": 2, "loss": {"type": "garden>Absent"}}
    with pytest.raises(UserError, match="unknown Loss 'garden>Absent'"):
        vg.heads.AnchorFree.from_dict(config)


def test_an_unknown_decoding_is_an_error(tmp_path):
    """A model without it would predict something else."""
    saved(tmp_path / "model.keras", decoding={"type": "garden>Absent"})
    with pytest.raises(UserError, match="unknown Decoding 'garden>Absent'"):
        vg.load(tmp_path / "model.keras")


def test_a_file_names_the_package_of_every_class(tmp_path):
    """Another package may register a class of the same name without changing what files mean."""
    saved(tmp_path / "model.keras")
    config = head_config(tmp_path / "model.keras")
    assert config["loss"]["type"] == "visiongarden>AnchorFreeLoss"
    assert config["loss"]["box_loss"]["type"] == "visiongarden>CIoU"

    @vg.register(package="garden", name="AnchorFreeLoss")
    class AnchorFreeLoss(vg.losses.AnchorFreeLoss):
        pass

    try:
        loss = vg.load(tmp_path / "model.keras").parts.head.loss
        assert type(loss) is vg.losses.AnchorFreeLoss
        assert "visiongarden>AnchorFreeLoss" in vg.losses.Loss.kinds()
    finally:
        vg.registry._known.pop("garden>AnchorFreeLoss")
