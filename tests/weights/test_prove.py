"""`transfer(prove=images)`: the values of the source's network, level by level."""

from __future__ import annotations

import json

import cv2
import h5py
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import visiongarden as vg
from visiongarden.cli.entry import app

torch = pytest.importorskip("torch")
nn = torch.nn
SIDE = 64
LEVELS = ["backbone/p2", "backbone/p3"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSING = vg.Preprocessing(mean=MEAN, std=STD)


class Network(nn.Module):
    """Four convolutions of one shape but the first, and classes as logits or probabilities."""

    def __init__(self, softmax=False):
        super().__init__()
        for number in range(4):
            conv = nn.Conv2d(4 if number else 3, 4, 3, 2 if number < 3 else 1, 1)
            setattr(self, f"conv{number}", conv)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 5)
        self.softmax = softmax

    def forward(self, x):
        for conv in (self.conv0, self.conv1, self.conv2, self.conv3):
            x = self.relu(conv(x))
        x = self.fc(x.mean((2, 3)))
        return x.softmax(-1) if self.softmax else x


RENAME = {"conv{n}": "backbone/conv{n}", "fc": "head/out"}


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return Network()


def network_of_keras():
    x = inputs = keras.Input((None, None, 3))
    for number in range(4):
        x = keras.layers.ZeroPadding2D(1)(x)
        x = keras.layers.Conv2D(4, 3, 2 if number < 3 else 1, name=f"conv{number}")(x)
        x = keras.layers.ReLU(name=f"relu{number}")(x)
    return keras.Model(inputs, x, name="inner")


@pytest.fixture(scope="module")
def model():
    return vg.Classifier(
        vg.backbones.KerasModel(network_of_keras(), levels={"p2": "relu1", "p3": "relu3"}),
        vg.heads.Classification(num_classes=5, levels=("p3",)),
        image_size=SIDE,
        preprocessing=PREPROCESSING,
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number, size in enumerate(((50, 90), (80, 64))):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (*size, 3), np.uint8))
    return folder


def proof_of(source, model, images, rename=RENAME, **options):
    return vg.transfer(source, model, prove=images, rename=rename, class_rows="position", **options)


@pytest.mark.backends
def test_a_module_in_memory(module, model, photos):
    module.train()
    attached = attached_to(module.conv0)
    report = proof_of(module, model, photos, min_coverage=1.0)
    proof = report.proof
    assert proof.passed
    assert proof.images == 2
    found = {each.name: each.source for each in proof.levels}
    assert list(found) == [*LEVELS, "head/p3/classes"]
    assert "proved: 2 images" in str(report)
    assert report.to_dict()["proof"]["levels"][0]["name"] == "backbone/p2"
    assert "<table" in report._repr_html_()
    assert module.training
    assert attached_to(module.conv0) == attached
    with torch.no_grad():
        x = module.conv1(module.conv0(prepared(model, photos)).relu()).relu()
    assert proof.levels[0].deviation == pytest.approx(x.numpy().std(), rel=1e-4)


def attached_to(layer):
    """Return the number of entries of each dict of a module, one of which holds its hooks."""
    return {name: len(value) for name, value in vars(layer).items() if isinstance(value, dict)}


def prepared(model, photos):
    """Normalized images, (batch, channels, height, width)."""
    images = (placed(model, photos) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def placed(model, photos):
    images = [cv2.imread(str(path))[..., ::-1] for path in sorted(photos.iterdir())]
    return np.stack([model.resize.place(image, (SIDE, SIDE))[0] for image in images])


def test_exchanged_weights_differ_at_every_level_after_them(module, model, photos):
    swap = {"conv1": "conv2", "conv2": "conv1"}

    def rename(name):
        layer, _, leaf = name.partition(".")
        start = "head/out" if layer == "fc" else f"backbone/{swap.get(layer, layer)}"
        return f"{start}.{leaf}"

    report = proof_of(module, model, photos, rename)
    assert not report.proof.passed
    assert min(each.relative for each in report.proof.levels) > 1e-2
    assert "3 of 3 levels differ" in str(report)


def test_classes_that_were_not_copied_are_left_out(module, model, photos):
    proof = vg.transfer(module, model, prove=photos, rename=RENAME).proof
    assert proof.passed
    assert proof.left_out == ("head",)
    assert [each.name for each in proof.levels] == LEVELS
    assert "not compared: head" in str(proof)


def test_a_backbone_that_was_not_copied_as_a_whole(module, model, photos):
    before = model.get_weights()
    with pytest.raises(vg.UserError, match="no level can be compared") as error:
        proof_of(Network(), model, photos, only="backbone/conv1", min_coverage=0)
    assert "backbone/conv0" in error.value.received
    assert error.value.fix == "leave out prove"
    assert all(map(np.array_equal, before, model.get_weights()))


def onnx_file(module, path, side=SIDE):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    module.eval()
    torch.onnx.export(module, (torch.zeros(1, 3, side, side),), path, dynamo=False)
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_file_on_the_command_line(module, model, photos, tmp_path):
    source, target, output = (str(tmp_path / n) for n in ("s.onnx", "t.keras", "o.keras"))
    probable = Network(softmax=True)
    probable.load_state_dict(module.state_dict())
    onnx_file(probable, source)
    model.save(target)
    call = ["transfer", source, target, "--output", output, "--prove", str(photos), "--json"]
    call += ["--class-rows", "position"]
    for old, new in RENAME.items():
        call += ["--rename", f"{old}={new}"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    levels = json.loads(done.stdout)["proof"]["levels"]
    assert [each["name"] for each in levels] == [*LEVELS, "head/p3/classes"]
    done = CliRunner().invoke(app, [*call, "--tolerance", "1e-12"])
    assert done.exit_code == 1
    opened = vg.load(output)
    with torch.no_grad():
        expected = module(prepared(opened, photos)).numpy()
    found = opened(placed(opened, photos), training=False)["p3"]["classes"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_image_size_changes_nothing(module, model, photos, tmp_path):
    path = onnx_file(module, tmp_path / "s.onnx", side=96)
    before = model.get_weights()
    with pytest.raises(vg.UserError, match="cannot be run on the images") as error:
        proof_of(path, model, photos)
    assert "image_size" in error.value.fix
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_keras_file_with_a_model_inside(model, photos, tmp_path, suffix):
    outer = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.GlobalAveragePooling2D()(network_of_keras()(outer))
    whole = keras.Model(outer, keras.layers.Dense(5, "softmax", name="top")(x))
    path = tmp_path / f"s{suffix}"
    whole.save(path)
    images = [np.full((SIDE, SIDE, 3), 9, np.uint8), *sorted(photos.iterdir())]
    rename = {"inner": "backbone", "top": "head/out"}
    proof = proof_of(path, model, images, rename).proof
    assert proof.passed
    found = {each.name: each.source for each in proof.levels}
    assert found == {
        "backbone/p2": "inner/relu1",
        "backbone/p3": "inner",
        "head/p3/classes": "softmax top",
    }


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors"])
def test_a_source_without_a_network(module, model, photos, tmp_path, suffix):
    path = tmp_path / f"s{suffix}"
    before = model.get_weights()
    with pytest.raises(vg.UserError, match="contains weights alone") as error:
        vg.transfer(path, model, prove=photos)
    assert ("module" in error.value.fix) == (suffix != ".npz")
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("change", ["Lambda", "Unknown", None])
def test_an_h5_file_with_code_or_without_a_network(model, photos, tmp_path, change):
    path = tmp_path / "s.h5"
    network_of_keras().save(path)
    with h5py.File(path, "a") as file:
        config = file.attrs["model_config"]
        del file.attrs["model_config"]
        if change:
            file.attrs["model_config"] = config.replace('"ReLU"', f'"{change}"')
    message = f"not registered: {change}" if change else "contains weights alone"
    with pytest.raises(vg.UserError, match=message):
        proof_of(path, model, photos)


def test_a_constant_level_is_no_proof(model, photos):
    dead = Network()
    nn.init.constant_(dead.conv1.bias, -1e3)
    proof = proof_of(dead, model, photos).proof
    assert not proof.passed
    assert proof.levels[0].relative > 1e3


def test_no_images(module, model, photos):
    with pytest.raises(vg.UserError, match="images is empty") as error:
        proof_of(module, model, [])
    call = error.value.fix
    assert call == 'transfer(source, model, prove=["a.jpg", "b.jpg"])'
    files = [str(path) for path in sorted(photos.iterdir())]
    call = call.replace("a.jpg", files[0]).replace("b.jpg", files[1])
    names = {"source": module, "model": model}
    transfer = lambda *args, **options: vg.transfer(*args, **options, rename=RENAME)  # noqa: E731
    assert eval(call, {}, names | {"transfer": transfer}).proof.images == 2  # noqa: S307


def test_an_invalid_tolerance(module, model, photos):
    with pytest.raises(vg.UserError, match="tolerance=0 is not valid"):
        proof_of(module, model, photos, tolerance=0)
