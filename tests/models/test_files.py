"""Model files: reopened bit-exactly in fresh processes; hostile and damaged ones are rejected."""

import json
import random
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import visiongarden as vg
from visiongarden.backends.switches import is_on
from visiongarden.errors import ModelFileError, UserError


def small(**kwargs):
    return vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        vg.decoders.FPN(channels=16),
        vg.heads.AnchorFree(num_classes=2, bins=4),
        image_size=64,
        class_map=("cat", "dog"),
        **kwargs,
    )


def outputs(model):
    x = np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32)
    raw = model(x)
    return {
        f"{level}/{name}": keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
        for level, tensors in raw.items()
        for name, tensor in tensors.items()
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.keras"
    model = small()
    rng = np.random.default_rng(0)
    model.set_weights(
        [w + 0.1 * rng.random(w.shape, dtype=np.float32) for w in model.get_weights()]
    )
    model.save(path)
    return path, outputs(model)


def rewritten(path, target, changes):
    """A copy of the archive with members replaced, or left out where None."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = changes.get(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


@pytest.mark.backends
def test_reopens_bit_identical(saved):
    path, before = saved
    model = vg.load(path)
    after = outputs(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert model.class_map.names == ("cat", "dog")
    assert model.parts.decoder == vg.decoders.FPN(channels=16)


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param("mixed_bfloat16", marks=[pytest.mark.backends, pytest.mark.slow]),
        "mixed_float16",
    ],
)
def test_keeps_its_dtype_policy(tmp_path, dtype):
    model = small(dtype=dtype)
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    assert again.dtype_policy.name == dtype
    before, after = outputs(model), outputs(again)
    assert all(np.array_equal(before[name], after[name]) for name in before)


USER_MODULE = """
import visiongarden as vg

@vg.register(package="my_project")
class Stem(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = vg.layers.ConvNormAct(filters, 3)

    def call(self, x):
        return self.conv(x)

@vg.register(package="my_project")
class SumNeck(vg.Decoder):
    channels: int = 16

    def wire(self, features):
        return {lv: Stem(self.channels, name=f"{lv}_stem")(x) for lv, x in features.items()}
"""

WRITE = """
import numpy as np, keras, visiongarden as vg, necks
keras.utils.set_random_seed(3)
model = vg.Detector(vg.backbones.CSPDarknet(depth=0.33, width=0.0625), necks.SumNeck(channels=8),
                    vg.heads.AnchorFree(num_classes=2, bins=4), image_size=64)
model.save("m.keras")
x = np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32)
np.save("before.npy", keras.ops.convert_to_numpy(model(x)["p3"]["boxes"]))
"""

READ = """
import sys
import numpy as np, keras, visiongarden as vg
{import_line}
model = vg.load("m.keras")
x = np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32)
assert np.array_equal(np.load("before.npy"), keras.ops.convert_to_numpy(model(x)["p3"]["boxes"]))
"""


def run(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_custom_part_loads_only_if_its_module_was_imported(tmp_path):
    (tmp_path / "necks.py").write_text(USER_MODULE)
    assert run(WRITE, tmp_path).returncode == 0
    assert run(READ.format(import_line="import necks"), tmp_path).returncode == 0
    rejected = run(READ.format(import_line=""), tmp_path)
    assert "'my_project>SumNeck', which is not registered" in rejected.stderr
    assert "fix: import necks" in rejected.stderr


def test_an_unregistered_part_is_rejected_before_anything_is_written(tmp_path):
    class Neck(vg.decoders.FPN):
        pass

    model = vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        Neck(channels=16),
        vg.heads.AnchorFree(num_classes=2, bins=4),
    )
    with pytest.raises(UserError, match="Neck is not registered"):
        model.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(saved, tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    path.write_bytes(saved[0].read_bytes())
    model = small()

    def full(self):
        raise OSError("no space left")

    monkeypatch.setattr(vg.Detector, "_manifest", full)
    with pytest.raises(OSError, match="no space"):
        model.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]
    assert path.read_bytes() == saved[0].read_bytes()


@pytest.mark.parametrize(
    ("options", "message"), [({}, "ends in .keras"), ({"overwrite": False}, "already exists")]
)
def test_save_rejects(tmp_path, options, message):
    path = tmp_path / ("m.h5" if not options else "m.keras")
    path.touch()
    with pytest.raises(UserError, match=message):
        small().save(path, **options)


def hostile(saved, tmp_path, kind):
    path = saved[0]
    target = tmp_path / "bad.keras"
    config = config_of(path)
    if kind == "missing":
        return target
    if kind == "no zip":
        target.write_bytes(b"not a model" * 100)
    elif kind == "empty":
        target.touch()
    elif kind == "truncated":
        target.write_bytes(path.read_bytes()[:-2000])
    elif kind == "no manifest":
        rewritten(path, target, {"visiongarden.json": None})
    elif kind == "no weights":
        rewritten(path, target, {"model.weights.h5": None})
    elif kind == "config no json":
        rewritten(path, target, {"config.json": "{'a': "})
    elif kind == "config deep":
        rewritten(path, target, {"config.json": "[" * 100_000})
    elif kind == "config a list":
        rewritten(path, target, {"config.json": "[]"})
    elif kind == "unknown class":
        config["registered_name"] = "os>system"
        config["module"] = "os"
        rewritten(path, target, {"config.json": json.dumps(config)})
    elif kind == "lambda":
        config["config"]["decoder"] = {
            "module": "keras.layers",
            "class_name": "Lambda",
            "registered_name": None,
            "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}},
        }
        rewritten(path, target, {"config.json": json.dumps(config)})
    elif kind == "huge model":
        config["config"]["backbone"]["config"]["width"] = 20
        rewritten(path, target, {"config.json": json.dumps(config)})
    elif kind == "endless depth":
        config["config"]["backbone"]["config"]["depth"] = 1e9
        rewritten(path, target, {"config.json": json.dumps(config)})
    elif kind == "huge json":
        rewritten(path, target, {"visiongarden.json": " " * (17 * 2**20)})
    elif kind == "plain keras":
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(target)
        with zipfile.ZipFile(target, "a") as archive:
            archive.writestr("visiongarden.json", "{}")
    else:
        weights = tmp_path / "w.h5"
        with zipfile.ZipFile(path) as archive:
            weights.write_bytes(archive.read("model.weights.h5"))
        with h5py.File(weights, "a") as file:
            names = []
            file.visititems(
                lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
            )
            name = next(n for n in names if file[n].size > 8)
            if kind == "other numbers":
                file[name][...] = file[name][...] + 1
            elif kind == "external link":
                del file[name]
                file[name] = h5py.ExternalLink("/etc/passwd", "/")
            elif kind == "huge array":
                del file[name]
                file.create_dataset(name, shape=(10**9,), dtype="f4", chunks=True)
            elif kind == "array gone":
                del file[name]
        rewritten(path, target, {"model.weights.h5": weights.read_bytes()})
    return target


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no model file"),
        ("no zip", "not a complete model file"),
        ("empty", "not a complete model file"),
        ("truncated", "not a complete model file"),
        ("no manifest", "contains visiongarden.json"),
        ("no weights", "not a complete model file"),
        ("config no json", "invalid JSON"),
        ("config deep", "the JSON cannot be parsed"),
        ("config a list", "contains no model"),
        ("unknown class", "'os>system', which is not registered"),
        ("lambda", "not registered"),
        ("huge model", "does not contain the weights"),
        ("endless depth", "does not describe a valid model"),
        ("huge json", "is too large"),
        ("plain keras", "plain Keras model"),
        ("other numbers", "weights differ from the saved ones"),
        ("external link", "is a link"),
        ("huge array", "is not a weight of this model"),
        ("array gone", "bad.keras"),
    ],
)
def test_bad_files(saved, tmp_path, kind, message):
    path = hostile(saved, tmp_path, kind)
    with pytest.raises(ModelFileError) as error:
        vg.load(path)
    assert message in str(error.value)
    assert str(error.value).count("\n") < 6


@pytest.mark.parametrize(
    "name", ["none.keras", "folder", "bset.keras", "exported.onnx", "other.pth"]
)
def test_other_paths_than_those_of_model_files(saved, tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    best = Path(shutil.copy(saved[0], folder / "best.keras"))
    for other in ("exported.onnx", "other.pth"):
        (folder / other).write_bytes(b"")
    path, fix = {
        "none.keras": (tmp_path / name, "check the path"),
        "folder": (folder, str(best)),
        "bset.keras": (folder / name, f"did you mean {best}?"),
        "exported.onnx": (folder / name, "vg.exporters.load"),
        "other.pth": (folder / name, f"visiongarden transfer {folder / name} model.keras"),
    }[name]
    with pytest.raises(ModelFileError) as error:
        vg.load(path)
    assert error.value.fix.startswith(fix)
    assert vg.load(best).count_params() > 0


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_damage_is_rejected_or_harmless(saved, tmp_path, data):
    """A byte changed anywhere: rejected, or the outputs are the same."""
    path, before = saved
    raw = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(bytes(raw))
    try:
        after = outputs(vg.load(damaged))
    except ModelFileError:
        return
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_checksums_are_of_the_weights(saved):
    with zipfile.ZipFile(saved[0]) as archive:
        prints = json.loads(archive.read("visiongarden.json"))["weights"]
    weights = {w.path: keras.ops.convert_to_numpy(w.value) for w in vg.load(saved[0]).weights}
    assert {path: entry[2] for path, entry in prints.items()} == {
        path: zlib.crc32(array.tobytes()) for path, array in weights.items()
    }


INITIALIZERS = ("GlorotUniform", "RandomNormal", "HeNormal", "TruncatedNormal", "RandomUniform")


@pytest.mark.backends
def test_loading_samples_no_random_weight_and_leaves_no_trace(saved, monkeypatch):
    path, before = saved
    # Without it, a model is built with initial values, which the file then replaces.
    for name in INITIALIZERS if is_on("weightless") else ():
        monkeypatch.setattr(getattr(keras.initializers, name), "__call__", None)
    random.seed(3)
    expected = random.random()
    random.seed(3)
    after = outputs(vg.load(path))
    assert random.random() == expected
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


@pytest.mark.slow
@pytest.mark.backends
def test_variables_that_are_not_weights_have_values_after_loading(tmp_path):
    model = vg.Classifier(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p5",)),
        vg.heads.Classification(num_classes=2, dropout=0.5),
        image_size=64,
        dtype="mixed_bfloat16",
    )
    model.save(tmp_path / "model.keras")
    again = vg.load(tmp_path / "model.keras")
    assert len(again.variables) == len(model.variables) > len(model.weights)
    assert all(variable.value is not None for variable in again.variables)
    x = np.zeros((2, 64, 64, 3), np.float32)
    again(x, training=True)  # dropout samples from its seed
    if keras.backend.backend() == "torch":
        assert len(list(again.parameters())) == len(list(model.parameters()))


@pytest.mark.slow
@pytest.mark.backends
def test_equal_weights_stay_apart(tmp_path):
    model = small()  # its betas are all 0
    model.save(tmp_path / "model.keras")
    again = vg.load(tmp_path / "model.keras")
    for number, weight in enumerate(again.weights):
        weight.assign(keras.ops.full(weight.shape, number))
    for number, weight in enumerate(again.weights):
        assert np.all(keras.ops.convert_to_numpy(weight.value) == number)


@pytest.mark.slow
def test_keras_reads_the_weights_if_arrays_cannot_be_distinguished(saved, tmp_path, monkeypatch):
    path, before = saved
    monkeypatch.setattr("visiongarden.models.files.zlib.crc32", lambda *_: 0)
    same = tmp_path / "same.keras"
    vg.load(rewritten(path, same, {"visiongarden.json": zero_checksums(path)}))
    read = []
    monkeypatch.setattr(
        keras.Model, "load_weights", lambda self, *given, _own=keras.Model.load_weights:
        (read.append(given), _own(self, *given)),
    )  # fmt: skip
    after = outputs(vg.load(same))
    assert len(read) == 1
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


@pytest.mark.slow
def test_more_arrays_than_weights_take_no_memory(saved, tmp_path):
    """Zeros that are packed small: 200 of the largest weight, which the model does not use."""
    weights = tmp_path / "w.h5"
    with zipfile.ZipFile(saved[0]) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    largest = max((w.shape for w in vg.load(saved[0]).weights), key=np.prod)
    with h5py.File(weights, "a") as file:
        for number in range(200):
            value = np.full(largest, number, np.float32)
            file.create_dataset(f"more/{number}", data=value, compression="gzip")
    bad = rewritten(saved[0], tmp_path / "bad.keras", {"model.weights.h5": weights.read_bytes()})
    usual, _ = peak_of_opening(saved[0])
    peak, after = peak_of_opening(bad)
    assert peak - usual < 30 * 4 * np.prod(largest)
    for name, array in saved[1].items():
        np.testing.assert_array_equal(array, after[name])


def peak_of_opening(path):
    """Bytes that Python held at most while a model was opened and run, and its outputs."""
    tracemalloc.start()
    found = outputs(vg.load(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, found


def zero_checksums(path):
    """The manifest as it would be if every checksum were 0."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("visiongarden.json"))
    for entry in manifest["weights"].values():
        entry[2] = 0
    return json.dumps(manifest)


@pytest.mark.parametrize(
    "entry",
    [None, [[1], "float32"], [[], [], {}]]
    + [pytest.param(entry, marks=pytest.mark.slow) for entry in ([], "x", {"a": 1})],
)
def test_an_invalid_manifest_entry_is_rejected(saved, tmp_path, entry):
    with zipfile.ZipFile(saved[0]) as archive:
        manifest = json.loads(archive.read("visiongarden.json"))
    manifest["weights"][next(iter(manifest["weights"]))] = entry
    bad = rewritten(saved[0], tmp_path / "bad.keras", {"visiongarden.json": json.dumps(manifest)})
    with pytest.raises(ModelFileError, match="weights differ from the saved ones"):
        vg.load(bad)


def test_a_checksum_identifies_the_array_of_a_path(saved, tmp_path):
    """A checksum belongs to a path: the array it names is the one that the path gets."""
    with zipfile.ZipFile(saved[0]) as archive:
        manifest = json.loads(archive.read("visiongarden.json"))
    stored = manifest["weights"]
    one, other = [p for p, e in stored.items() if e[0] == [16] and p.endswith("gamma")][:2]
    stored[one], stored[other] = stored[other], stored[one]
    bad = rewritten(saved[0], tmp_path / "bad.keras", {"visiongarden.json": json.dumps(manifest)})
    weights = {w.path: w for w in vg.load(bad).weights}
    for path in (one, other):
        array = keras.ops.convert_to_numpy(weights[path].value)
        assert zlib.crc32(array.tobytes()) == stored[path][2]
