"""Every layer of nineteen networks equals Darknet's own C code, with seeded weights."""

import subprocess
import sys

import numpy as np
import pytest
from tests.darknet.nets import cfg_of, fastest, rows_of
from tests.shared import inference, shared

from visiongarden.darknet import import_darknet

QUICK = ["yolov3-tiny", "yolov2-tiny", "yolov4-tiny", "yolov7-tiny"]
SLOW = [
    "csdarknet53-omega",
    "darknet19",
    "darknet53",
    "efficientnet_b0",
    "yolov2",
    "yolov3",
    "yolov3-spp",
    "yolov4",
    "yolov4-csp",
    "yolov4-csp-swish",
    "yolov4-p5",
    "yolov4-tiny-3l",
    "yolov4x-mish",
    "yolov7",
    "yolov7x",
]


def as_darknet(y):
    """(1, h, w, c) or (1, n) -> Darknet's flat order."""
    return (y[0].transpose(2, 0, 1) if y.ndim == 4 else y[0]).ravel()


def agree(model, found, rows):
    for step, y, row in zip(model.steps, found, rows, strict=False):
        if not row["outputs"] if "outputs" in row else not any(row["out"]):
            continue  # Darknet's last layer of a classifier has no size in the dump
        assert step.kind == "softmax" or row["out"] == [step.shape[i] for i in (2, 0, 1)]
        # Darknet keeps a region's output cell by cell, as it is here.
        flat = y[0].ravel() if step.kind == "region" else as_darknet(y)
        exact = flat.astype(np.float64)
        mine = [exact.mean(), np.sqrt((exact**2).mean()), exact.min(), exact.max(), *flat[:8]]
        theirs = [*(row[name] for name in ("mean", "rms", "min", "max")), *row["first"]]
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-4, err_msg=f"layer {step.index}")


def heads_of(model, found):
    """Per prediction layer its input and its output; of a classifier the result."""
    if not model.heads:
        return next(
            as_darknet(y) for s, y in zip(model.steps, found, strict=True) if s.kind == "softmax"
        )
    pieces = []
    for step in model.heads:
        own = found[step.index]
        pieces += [
            as_darknet(found[step.index - 1]),
            own[0].ravel() if step.kind == "region" else as_darknet(own),
        ]
    return np.concatenate(pieces)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_random_networks(name, tmp_path):
    oracle = shared("reference", "darknet", "oracle")
    weights, image = tmp_path / "a.weights", tmp_path / "a.f32"
    maker = [sys.executable, oracle / "make_random_weights.py", cfg_of(name)]
    subprocess.run([*maker, weights, image, "160", "128", "7"], check=True)
    model = import_darknet(cfg_of(name), weights, image_size=(128, 160))
    weights.unlink()  # up to 400 MB
    # Darknet's floats from 0 to 1 as pixel values.
    pixels = 255 * np.fromfile(image, "<f4").reshape(1, 3, 128, 160).transpose(0, 2, 3, 1)
    found = [np.asarray(y) for y in inference(model.every_layer, [pixels])]
    rows = rows_of(oracle / f"{name}.layers.json")
    assert len(rows) >= len(found) - 1
    agree(model, found, rows)
    theirs = np.fromfile(oracle / f"{name}.heads.f32", "<f4")
    np.testing.assert_allclose(heads_of(model, found), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["yolo-fastest-1.1", pytest.param("yolo-fastest-1.1-xl", marks=pytest.mark.slow)]
)
def test_trained_networks(name):
    model, expected = fastest(name), shared("reference", "yolo_fastest", "expected")
    pixels = 255 * np.fromfile(expected / "dog_320_chw_rgb01.f32", "<f4").reshape(1, 3, 320, 320)
    pixels = pixels.transpose(0, 2, 3, 1)
    found = [np.asarray(y) for y in inference(model.every_layer, [pixels])]
    agree(model, found, rows_of(expected / f"{name}.dog.layers.json"))
    theirs = np.fromfile(expected / f"{name}.dog.heads.f32", "<f4")
    np.testing.assert_allclose(heads_of(model, found), theirs, rtol=0, atol=1e-4)
