"""ONNX: the file predicts what the model predicts, for both types of head, or is removed."""

import json

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.exporters import Parity, compare, export

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

HEADS = [
    vg.heads.AnchorFree(num_classes=2, bins=4),
    vg.heads.AnchorBased(num_classes=2),
]


def detector(head=HEADS[0], size=(64, 96)):
    keras.utils.set_random_seed(0)
    model = vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        vg.decoders.FPN(channels=16),
        head,
        size,
        ("cat", "dog"),
    )
    rng = np.random.default_rng(0)
    model.set_weights(
        [w + 0.05 * rng.normal(size=w.shape) for w in model.get_weights()[:-4]]
        + model.get_weights()[-4:]
    )
    return model


@pytest.mark.parametrize(
    "head", [HEADS[0], pytest.param(HEADS[1], marks=pytest.mark.slow)], ids=["free", "based"]
)
def test_file_and_model_agree(tmp_path, head):
    model = detector(head)
    found = export(model, tmp_path / "m.onnx")
    assert found.parity.agrees
    assert found.parity.found > 0
    assert found.path == tmp_path / "m.onnx"
    assert json.loads(json.dumps(found.to_dict()))["parity"]["agrees"] is True
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    graph = onnx.load(str(tmp_path / "m.onnx"))
    metadata = {p.key: json.loads(p.value) for p in graph.metadata_props}
    assert metadata["class_map"] == {"names": ["cat", "dog"], "ids": [0, 1]}
    assert metadata["image_size"] == [64, 96]
    assert vg.Preprocessing(**metadata["preprocessing"]) == model.preprocessing
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    for batch in (1, 3):
        images = np.zeros((batch, 64, 96, 3), np.uint8)
        boxes, scores = session.run(["boxes", "scores"], {"images": images})
        assert boxes.shape[::2] == (batch, 4)
        assert scores.shape == (*boxes.shape[:2], 2)


@pytest.mark.slow
def test_the_file_of_another_model_differs(tmp_path):
    model = detector()
    export(model, tmp_path / "m.onnx")
    model.set_weights([w * 1.05 for w in model.get_weights()])
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3)).astype(np.uint8)
    assert not compare(model, tmp_path / "m.onnx", images).agrees


@pytest.mark.slow
def test_a_failed_parity_check_leaves_no_file(tmp_path, monkeypatch):
    far = Parity(boxes=9.0, scores=0.0, images=1, found=1, differing=1)
    monkeypatch.setattr("visiongarden.exporters.exporting.compare", lambda *_: far)
    detector().save(tmp_path / "m.keras")
    with pytest.raises(
        UserError, match="the predictions of the exported file and the model differ"
    ):
        export(tmp_path / "m.keras")
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [("m.pb", (64, 64), "ends in .onnx"), ("m.onnx", None, "--image-size 640")],
)
def test_invalid_names_and_sizes(tmp_path, name, size, message):
    with pytest.raises(UserError, match=message):
        export(detector(size=size), tmp_path / name)


def test_other_formats(tmp_path):
    with pytest.raises(UserError, match="the export format 'tflite' is not supported"):
        export(tmp_path / "m.keras", format="tflite")
