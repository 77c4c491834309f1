"""Weights of other libraries: PyTorch's names and axes, safetensors, hostile files."""

from __future__ import annotations

import json
import struct
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tests.weights.damage import damaged

from visiongarden.errors import UserError
from visiongarden.weights import transfer

torch = pytest.importorskip("torch")


class Net(torch.nn.Module):
    """One of each layer that has weights; sides that differ, so that swapped axes show."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, (3, 5), bias=True)
        self.bn = torch.nn.BatchNorm2d(8)
        self.depthwise = torch.nn.Conv2d(8, 16, 3, groups=8, bias=False)
        self.grouped = torch.nn.Conv2d(16, 6, 1, groups=2, bias=False)
        self.up = torch.nn.ConvTranspose2d(6, 5, 2, stride=2)
        self.fc = torch.nn.Linear(5, 5)

    def forward(self, x):
        x = self.depthwise(torch.relu(self.bn(self.stem(x))))
        return self.fc(self.up(self.grouped(x)).mean((2, 3)))


def keras_net():
    layers = keras.layers
    x = inputs = keras.Input((16, 20, 3))
    x = layers.Conv2D(8, (3, 5), name="stem")(x)
    x = layers.BatchNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(
        layers.ReLU()(x)
    )
    x = layers.Conv2D(6, 1, groups=2, use_bias=False, name="grouped")(x)
    x = layers.Conv2DTranspose(5, 2, strides=2, name="up")(x)
    return keras.Model(inputs, layers.Dense(5, name="fc")(layers.GlobalAveragePooling2D()(x)))


def numbers(model):
    return {w.path: keras.ops.convert_to_numpy(w.value).copy() for w in model.weights}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value))
    return net


def written(net, folder, kind):
    state = net.state_dict()
    if kind == "mapping":
        return state
    path = folder / ("m.safetensors" if kind == "safetensors" else "m.pt")
    if kind == "plain pickle":
        torch.save(state, path, _use_new_zipfile_serialization=False)
        return path
    if kind == "safetensors":
        save_file({name: value.numpy() for name, value in state.items()}, path)
    else:
        torch.save({"model": state, "epoch": 3} if kind == "checkpoint" else state, path)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "mapping",
        "safetensors",
        pytest.param("state dict", marks=pytest.mark.backends),
        "checkpoint",
        "plain pickle",
    ],
)
def test_a_pytorch_net_has_the_same_outputs(net, tmp_path, kind):
    model = keras_net()
    report = transfer(written(net, tmp_path, kind), model, rename={"bn": "norm"}, min_coverage=1.0)
    assert report.ignored == ("bn.num_batches_tracked",)
    assert "ignored, not weights: 1 × num_batches_tracked" in str(report)
    assert report.only_in_source == report.differs == ()
    assert {moved.path for moved in report.renamed} == {
        f"norm/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    x = np.random.default_rng(0).random((2, 16, 20, 3), dtype=np.float32)
    expected = net(torch.from_numpy(x.transpose(0, 3, 1, 2))).detach().numpy()
    found = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_other_floats(net, tmp_path, dtype, kind):
    from safetensors.torch import save_file as save_torch

    state = {n: v.to(dtype) for n, v in net.state_dict().items() if v.is_floating_point()}
    path = tmp_path / f"m.{kind}"
    torch.save(state, path) if kind == "pt" else save_torch(state, path)
    model = keras_net()
    report = transfer(path, model, rename={"bn": "norm"}, min_coverage=1.0)
    name = str(dtype).removeprefix("torch.")
    assert {moved.conversion for moved in report.copied} == {f"{name} → float32"}
    want = state["fc.weight"].float().numpy().T
    assert np.array_equal(numbers(model)["fc/kernel"], want)


@pytest.mark.parametrize(
    ("name", "array", "difference"),
    [
        ("fc.weight", np.ones((5, 4)), "4 × 5 float64, wanted 5 × 5 float32"),
        ("stem.weight", np.ones((3, 5, 3, 8)), "3 × 8 × 5 × 3 float64"),
        # Already in Keras's shape: the name decides, so the shape does not match.
        ("depthwise.weight", np.ones((3, 3, 8, 2)), "wanted 3 × 3 × 8 × 2"),
        ("fc.weight", np.ones((5, 5, 1, 1)), "wanted 5 × 5 float32"),
    ],
)
def test_a_shape_that_does_not_match_is_listed(name, array, difference):
    report = transfer({name: array, "fc.bias": np.ones(5)}, keras_net(), min_coverage=0)
    assert difference in f"{report.differs[0].received}, wanted {report.differs[0].wanted}"
    assert report.paths == ("fc/bias",)


def test_a_layer_of_unknown_axis_order_takes_no_kernel():
    inputs = keras.Input((4, 3))
    layer = keras.layers.EinsumDense("abc,cd->abd", (4, 3), name="proj", bias_axes="d")
    arrays = {"proj.weight": np.ones((3, 3)), "proj.bias": np.ones(3)}
    report = transfer(arrays, keras.Model(inputs, layer(inputs)), min_coverage=0)
    assert report.paths == ("proj/bias",)
    assert "PyTorch's axis order, which is not known for EinsumDense" in report.differs[0].received


def test_the_layout_can_be_specified():
    kernel = np.arange(25.0, dtype="float32").reshape(5, 5)
    for layout, expected in (("torch", kernel.T), ("keras", kernel)):
        model, name = keras_net(), "fc.weight" if layout == "torch" else "fc/kernel"
        transfer({name: kernel}, model, min_coverage=0, layout=layout)
        assert np.array_equal(numbers(model)["fc/kernel"], expected)


class Malicious:
    def __reduce__(self):
        return print, ("code of the file was run",)


def _expanded(path):
    torch.save({"fc.bias": torch.zeros(1).expand(10**12)}, path)


def _large_pickle(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b" " * 10**6)


FILES = {
    "code": (lambda path: torch.save({"fc.bias": Malicious()}, path), "contains pickled code"),
    "a module": (lambda path: torch.save(Net(), path), "contains pickled code"),
    "plain pickle": (
        lambda path: torch.save(
            {"fc.bias": Malicious()}, path, _use_new_zipfile_serialization=False
        ),
        "contains pickled code",
    ),
    "text": (lambda path: path.write_text("weights"), "not a complete PyTorch file"),
    "empty": (lambda path: path.touch(), "not a complete PyTorch file"),
    "compressed": (_large_pickle, "is not a PyTorch state dict"),
    "expanded": (_expanded, "not a plain tensor"),
    "sparse": (
        lambda path: torch.save({"fc.bias": torch.ones(5).to_sparse()}, path),
        "not a plain tensor",
    ),
    "a tensor": (lambda path: torch.save(torch.ones(5), path), "contains no state dict"),
    "two": (
        lambda path: torch.save(
            {"model": {"fc.bias": torch.ones(5)}, "ema": {"fc.bias": torch.ones(5)}}, path
        ),
        "contains several state dicts",
    ),
}


@pytest.mark.filterwarnings("ignore:.*[Ss]parse:UserWarning")
@pytest.mark.parametrize("kind", FILES)
def test_pytorch_files_that_are_rejected(tmp_path, capsys, kind):
    write, message = FILES[kind]
    write(tmp_path / "m.pt")
    with pytest.raises(UserError, match=message) as error:
        transfer(tmp_path / "m.pt", keras_net(), min_coverage=0)
    assert capsys.readouterr().out == ""
    assert str(error.value).count("\n") < 5


def checkpoint_of(value):
    return {"fc.weight": torch.full((5, 5), value), "fc.bias": torch.full((5,), value)}


NESTED = {
    "one at the second level": ({"state": {"model": checkpoint_of(1.0)}, "epoch": 3}, None, 1.0),
    "beside an optimizer": (
        {
            "model": checkpoint_of(1.0),
            "optimizer": {"state": {"moments": {"fc.bias": torch.zeros(5)}}},
        },
        None,
        1.0,
    ),
    "an average": ({"model": checkpoint_of(1.0), "ema": checkpoint_of(2.0)}, "ema", 2.0),
    "an average that is nested": (
        {"model": checkpoint_of(1.0), "ema": {"module": checkpoint_of(2.0)}},
        "ema.module",
        2.0,
    ),
    "tensors above others": (
        checkpoint_of(1.0) | {"extra": {"deeper": {"mean": torch.zeros(3)}}},
        None,
        1.0,
    ),
}


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".ckpt", ".bin", None])
@pytest.mark.parametrize("kind", NESTED)
def test_a_state_dict_in_a_checkpoint(tmp_path, kind, suffix):
    loaded, name, expected = NESTED[kind]
    source = loaded
    if suffix is not None:
        source = tmp_path / f"m{suffix}"
        torch.save(loaded, source)
    net = keras_net()
    before = {weight.path: keras.ops.convert_to_numpy(weight) for weight in net.weights}
    report = transfer(source, net, state_dict=name, only="fc", min_coverage=0)
    assert len(report.copied) == 2
    for weight in net.weights:
        value = keras.ops.convert_to_numpy(weight)
        wanted = np.full_like(value, expected) if "fc/" in weight.path else before[weight.path]
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize("as_file", [True, False])
def test_the_name_of_a_state_dict_is_checked(tmp_path, as_file):
    source = NESTED["an average"][0]
    if as_file:
        torch.save(source, tmp_path / "m.pth")
        source = tmp_path / "m.pth"
    with pytest.raises(UserError, match="several state dicts") as error:
        transfer(source, keras_net(), only="fc", min_coverage=0)
    assert error.value.fix == "state_dict='model'"
    with pytest.raises(UserError, match="no state dict 'ema2'") as error:
        transfer(source, keras_net(), state_dict="ema2", min_coverage=0)
    assert error.value.received == "model, ema"
    with pytest.raises(UserError, match="no state dicts with names"):
        transfer(keras_net(), keras_net(), state_dict="ema")


def plain_pickle(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("plain", [False, True])
def test_tensors_of_other_strides(tmp_path, plain):
    """Converted checkpoints store tensors as transposed views of the original memory."""
    values = torch.arange(20.0)
    state = {
        "fc.weight": values.reshape(5, 4).t(),  # strides (1, 4)
        "fc.bias": torch.nn.Parameter(values[3:11:2]),  # offset 3, stride 2
    }
    torch.save(state, tmp_path / "m.pt", _use_new_zipfile_serialization=not plain)
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(4, name="fc")(inputs))
    transfer(tmp_path / "m.pt", model, min_coverage=1.0)
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel, np.arange(20.0).reshape(5, 4))
    np.testing.assert_array_equal(bias, [3, 5, 7, 9])


@pytest.mark.parametrize("cut", [1, 30, 100, 200])
def test_a_truncated_plain_pickle_changes_nothing(net, tmp_path, cut):
    path = plain_pickle(net.state_dict(), tmp_path / "m.pt")
    raw = path.read_bytes()
    path.write_bytes(raw[:-cut])
    model = keras_net()
    before = numbers(model)
    with pytest.raises(UserError, match="not a complete PyTorch file"):
        transfer(path, model, rename={"bn": "norm"}, min_coverage=0)
    assert all(np.array_equal(before[name], value) for name, value in numbers(model).items())


def test_a_plain_pickle_cannot_claim_memory(tmp_path):
    """A storage of 8 TB in a file of 1 kB."""
    path = plain_pickle({"fc.bias": torch.zeros(5)}, tmp_path / "m.pt")
    raw = path.read_bytes()
    start = len(raw) - 5 * 4 - 8
    path.write_bytes(raw[:start] + struct.pack("<q", 2**40) + raw[start + 8 :])
    with pytest.raises(UserError, match="extends beyond the end"):
        transfer(path, keras_net(), min_coverage=0)


def header(entries, data=b"", length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, offsets, dtype="F32"):
    return {"fc.bias": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"short",
        header({}, length=2**62),
        header({}, length=90 * 2**20),
        header(b"[" * 100_000),
        header(b"[]"),
        header(entry([10**12], [0, 4 * 10**12])),
        header(entry([5], [0, 20]), b"\0" * 19),
        header(entry([5], [0, 8]), b"\0" * 8),
        header(entry([-5], [0, 20]), b"\0" * 20),
        header(entry([2**40, 2**40], [0, 20]), b"\0" * 20),
        header(entry([5], [8, 28]), b"\0" * 28),
        header(entry([5], [0, 20], "F99"), b"\0" * 20),
    ],
)
def test_safetensors_with_an_invalid_header(tmp_path, raw):
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw)
    with pytest.raises(UserError, match="not a complete safetensors file"):
        transfer(path, keras_net(), min_coverage=0)


def test_an_unsupported_dtype(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(header(entry([5], [0, 5], "F8_E4M3"), b"\0" * 5))
    with pytest.raises(UserError, match="has the unsupported dtype F8_E4M3"):
        transfer(path, keras_net(), min_coverage=0)


@pytest.fixture(scope="module")
def small_files(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    state = {name: value for name, value in net.state_dict().items() if "fc" in name}
    torch.save(state, folder / "m.pt")
    plain_pickle(state, folder / "m.pth")
    save_file({name: value.numpy() for name, value in state.items()}, folder / "m.safetensors")
    return [folder / "m.pt", folder / "m.pth", folder / "m.safetensors"], keras_net()


@given(st.data())
def test_damage_is_rejected_or_harmless(small_files, tmp_path_factory, data):
    """A byte changed or an end cut off; safetensors and plain pickles have no checksum,
    so their numbers may differ."""
    files, model = small_files
    path = data.draw(st.sampled_from(files))
    copy = damaged(data, path, tmp_path_factory.mktemp("damaged"))
    before = numbers(model)
    try:
        transfer(copy, model, min_coverage=0)
    except UserError:
        after = numbers(model)
        assert all(np.array_equal(before[name], after[name]) for name in before)
        return
    if path.suffix == ".pt":
        fc = torch.load(path, weights_only=True)["fc.weight"].numpy()
        assert np.array_equal(numbers(model)["fc/kernel"], fc.T)


@given(st.binary(max_size=300), st.sampled_from(["m.pt", "m.safetensors", "m.keras", "m.h5"]))
def test_any_bytes_are_rejected(tmp_path_factory, raw, name):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(raw)
    with pytest.raises(UserError):
        transfer(path, _DENSE, min_coverage=0)


_DENSE = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])


@pytest.mark.parametrize("best", [{}, {"best_acc1": 71.5}, {"best_acc1": None, "step": None}])
def test_a_tensor_beside_the_state_dict_is_no_state_dict(tmp_path, best):
    """What PyTorch's ImageNet example saves: the best accuracy is a tensor there."""
    net = torch.nn.Sequential()
    net.add_module("fc", torch.nn.Linear(4, 3))
    beside = {name: torch.tensor(1.0 if value is None else value) for name, value in best.items()}
    state = {f"module.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"epoch": 3, "arch": "net", "state_dict": state, **beside}, tmp_path / "m.pth")
    inputs = keras.Input((4,))
    target = keras.Model(inputs, keras.layers.Dense(3, name="fc")(inputs))
    report = transfer(tmp_path / "m.pth", target, rename={"module": ""}, min_coverage=1.0)
    assert len(report.renamed) == 2
    kernel = keras.ops.convert_to_numpy(target.weights[0].value)
    np.testing.assert_array_equal(kernel, net.fc.weight.detach().numpy().T)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_a_keras_file_is_not_read_in_pytorchs_layout(tmp_path, ending):
    model = keras_net()
    path = tmp_path / f"m{ending}"
    model.save(path) if ending == ".keras" else model.save_weights(path)
    with pytest.raises(UserError, match="layout is not that of PyTorch"):
        transfer(path, keras_net(), min_coverage=0, layout="torch")
    transfer(path, keras_net(), min_coverage=1.0, layout="keras")
