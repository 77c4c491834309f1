"""Keras's own tools on visiongarden's models: loading, copies, optimizers, graphs, features."""

import copy
import importlib
import importlib.util
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ModelFileError, UserError
from visiongarden.models.files import SavedAsParts
from visiongarden.models.serializable import key_of
from visiongarden.training import VectorAdamW, WarmupCosine

HERE = Path(__file__).parent


def user_module():
    """Import the user's module under its own name, as a user would."""
    if "user_models" not in sys.modules:
        spec = importlib.util.spec_from_file_location("user_models", HERE / "user_models.py")
        sys.modules["user_models"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["user_models"])
    return sys.modules["user_models"]


user = user_module()
IMAGES = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
LABELS = {"p3": {"classes": np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]}}


def arrays(outputs):
    leaves = keras.tree.flatten(outputs)
    return [keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in leaves]


def assert_equal_models(model, again):
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def models():
    made = {name: make() for name, make in user.MODELS.items()}
    rng = np.random.default_rng(0)
    for model in made.values():
        model.set_weights(
            [w + 0.1 * rng.random(w.shape).astype(w.dtype) for w in model.get_weights()]
        )
    return made


SLOW = ("segmenter", "frozen", "mixed", "classifier")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in user.MODELS]
)
def test_keras_opens_the_file(models, tmp_path, name):
    model = models[name]
    model.save(tmp_path / "m.keras")
    with warnings.catch_warnings():
        # Keras finds no state of an optimizer that has not run a step.
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        by_keras = keras.saving.load_model(tmp_path / "m.keras")
    assert_equal_models(model, by_keras)
    by_us = vg.load(tmp_path / "m.keras")
    assert_equal_models(model, by_us)
    assert by_us.compiled == by_keras.compiled == model.compiled
    if name in ("detector", "subclass"):
        for a, b in zip(arrays(model(IMAGES)), arrays(by_keras(IMAGES)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", user.MODELS)
def test_copies_are_of_the_same_class_with_the_same_weights(models, name):
    model = models[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
            assert_equal_models(model, again)
            assert again.compiled == model.compiled
            assert getattr(again, "parts", None) == getattr(model, "parts", None)
            again.set_weights([w + 1 for w in again.get_weights()])  # The copy has its own.
            assert not np.array_equal(again.get_weights()[0], model.get_weights()[0])
    new = type(model).from_config(model.get_config())
    assert type(new) is type(model)
    assert new.get_config() == model.get_config()


def test_an_unregistered_class_can_be_copied():
    class Mine(vg.Detector):
        pass

    model = user.detector(Mine)
    assert_equal_models(model, copy.deepcopy(model))


def test_clone_model_returns_a_plain_graph_of_the_same_weights(models):
    clone = keras.models.clone_model(models["detector"])
    clone.set_weights(models["detector"].get_weights())
    for a, b in zip(arrays(models["detector"](IMAGES)), arrays(clone(IMAGES)), strict=True):
        np.testing.assert_array_equal(a, b)


def one_step(model):
    model.fit(IMAGES, LABELS, batch_size=4, epochs=1, shuffle=False, verbose=0)


@pytest.mark.slow_backends
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: VectorAdamW(
            learning_rate=WarmupCosine(0.01, epochs=1, steps_per_epoch=10),
            weight_decay=0.1,
            global_clipnorm=1.0,
        ),
        pytest.param(lambda: keras.optimizers.Adam(0.01, amsgrad=True), marks=pytest.mark.slow),
    ],
    ids=["vector", "Keras"],
)
def test_training_continues_identically(tmp_path, optimizer):
    # Without dropout, whose seed Keras does not store in files.
    model = user.classifier(dropout=0)
    user.compile_it(model, optimizer())
    one_step(model)
    model.save(tmp_path / "m.keras")
    again = [vg.load(tmp_path / "m.keras"), keras.saving.load_model(tmp_path / "m.keras")]
    again.append(copy.deepcopy(model))
    for other in again:
        assert int(other.optimizer.iterations) == 1
        assert_equal_optimizers(model, other)
    one_step(model)
    for other in again:
        one_step(other)
        assert int(other.optimizer.iterations) == 2
        assert_equal_optimizers(model, other)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def assert_equal_optimizers(model, other):
    assert type(other.optimizer) is type(model.optimizer)
    for a, b in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value)
        )


def test_a_model_saved_before_its_first_step_is_compiled_again(tmp_path):
    model = user.detector()
    model.compile(keras.optimizers.Adam(0.25))
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")  # Warnings are errors.
    assert float(again.optimizer.learning_rate) == 0.25
    assert int(again.optimizer.iterations) == 0


@pytest.mark.backends
def test_features(models):
    model = models["detector"]
    found = model.features(IMAGES)
    assert {part: {k: tuple(x.shape) for k, x in found[part].items()} for part in found} == {
        "backbone": {"p3": (4, 4, 4, 8)},
        "decoder": {"p3": (4, 4, 4, 8)},
    }
    expected = model.backbone(model.get_layer("preprocessing")(IMAGES))["p3"]
    np.testing.assert_array_equal(
        *map(keras.ops.convert_to_numpy, (found["backbone"]["p3"], expected))
    )
    images = keras.Input((32, 32, 3))
    extractor = keras.Model(images, model.features(images))
    np.testing.assert_array_equal(
        arrays(extractor(IMAGES)["decoder"])[0], arrays(found["decoder"])[0]
    )
    raw = keras.Model(model.input, model.output)(IMAGES)
    for a, b in zip(arrays(model(IMAGES)), arrays(raw), strict=True):
        np.testing.assert_array_equal(a, b)


def test_features_of_a_decoder_that_reads_fewer_levels():
    model = vg.Segmenter(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p2", "p3", "p4", "p5")),
        vg.decoders.SemanticFPN(channels=16),
        vg.heads.Segmentation(num_classes=3),
    )
    found = model.features(keras.Input((64, 96, 3)))
    shapes = {part: {k: x.shape for k, x in levels.items()} for part, levels in found.items()}
    assert shapes["backbone"]["p2"][1:3] == (16, 24)
    assert shapes["backbone"]["p5"][1:3] == (2, 3)
    assert shapes["decoder"] == {"p2": (None, 16, 24, 16)}


def test_summary_and_layers(models):
    lines = []
    models["detector"].summary(expand_nested=True, print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert "Detector" in text or "detector" in text
    assert "SqueezeExcitation" in text
    total = re.search(r"Total params: ([\d,]+)", text).group(1)
    expected = sum(w.size for w in models["detector"].get_weights())
    assert int(total.replace(",", "")) == expected
    names = [layer.name for layer in models["detector"].layers]
    assert names == ["images", "preprocessing", "backbone", "decoder", "head"]
    assert models["detector"].get_layer("head") is models["detector"].head


@pytest.mark.skipif(
    not shutil.which("dot") or not importlib.util.find_spec("pydot"), reason="needs graphviz, pydot"
)
def test_plot_model(models, tmp_path):
    keras.utils.plot_model(models["detector"], tmp_path / "m.png", expand_nested=True)
    assert (tmp_path / "m.png").stat().st_size > 0


def unregistered_model():
    class Mine(vg.Detector):
        pass

    return user.detector(Mine), "Mine"


def unregistered_part():
    class Thin(user.Tiny):
        pass

    return vg.Classifier(Thin(), vg.heads.Classification(num_classes=2)), "Thin"


class Free(keras.layers.Layer):
    pass


def free_function(x):
    return x


def unregistered_layer():
    return user.Watcher(8, layers=[Free()]), "Free"


def unregistered_function():
    return user.Watcher(8, layers=[free_function]), "free_function"


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (unregistered_model, '@vg.register(package="'),
        (unregistered_part, '@vg.register(package="'),
        (unregistered_layer, '@vg.register(package="'),
        (unregistered_function, '@keras.saving.register_keras_serializable(package="'),
    ],
)
def test_save_refuses_what_could_not_be_loaded(tmp_path, make, line):
    model, name = make()
    with pytest.raises(UserError, match=f"{name} is not registered") as error:
        model.save(tmp_path / "m.keras")
    assert line in error.value.fix
    assert name in error.value.fix
    assert list(tmp_path.iterdir()) == []


def test_saving_by_keras_refuses_an_unregistered_model(tmp_path):
    model, _ = unregistered_model()
    images = keras.Input((32, 32, 3))
    around = keras.Model(images, model(images))
    for each in (model, around):
        with pytest.raises(UserError, match="Mine is not registered"):
            keras.saving.save_model(each, tmp_path / "m.keras")


def test_the_decorator_in_the_fix_works(tmp_path):
    model, _ = unregistered_model()
    with pytest.raises(UserError) as error:
        model.save(tmp_path / "m.keras")
    decorator = re.search(r"@(vg\.register\(.*\)) above", error.value.fix).group(1)
    eval(decorator, {"vg": vg})(type(model))  # noqa: S307
    model.save(tmp_path / "m.keras")
    assert type(vg.load(tmp_path / "m.keras")) is type(model)
    assert type(keras.saving.load_model(tmp_path / "m.keras")) is type(model)


def test_save_refuses_a_class_that_was_replaced(tmp_path):
    def define():
        @vg.register(package="notebook")
        class Cell(vg.Detector):
            pass

        return Cell

    old = user.detector(define())
    new = user.detector(define())
    assert key_of(type(old)) is None
    with pytest.raises(UserError, match=r"replaced by a later definition of 'notebook>Cell'"):
        old.save(tmp_path / "m.keras")
    new.save(tmp_path / "m.keras")


@pytest.mark.parametrize("module", [None, "__main__", "builtins", 3, "a.b-c", "none.such"])
@pytest.mark.parametrize("place", ["model", "part"])
def test_no_fix_imports_none(models, tmp_path, module, place):
    models["detector"].save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    entry = config if place == "model" else config["config"]["decoder"]
    entry |= {"module": module, "class_name": "Gone", "registered_name": "mine>Gone"}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ModelFileError, match="'mine>Gone', which is not registered") as error:
        vg.load(tmp_path / "bad.keras")
    if module == "none.such":
        assert error.value.fix.startswith("import none.such ")
    else:
        assert '@vg.register(package="mine") above class Gone' in error.value.fix
    assert "import None" not in error.value.fix


@pytest.mark.parametrize("name", ["detector", "classifier", "darknet"])
def test_quantize_is_refused_and_its_fix_works(models, tmp_path, name):
    model = models[name]
    before = model.get_weights()
    with pytest.raises(UserError, match="cannot be quantized") as error:
        model.quantize("int8")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    names = {"vg": vg, "model": model}
    exec(error.value.fix.partition(": ")[2], names)  # noqa: S102
    small = names["small"]
    assert type(small) is type(model)
    small.save(tmp_path / "small.keras")
    for load in (vg.load, keras.saving.load_model):
        again = load(tmp_path / "small.keras")
        for a, b in zip(arrays(small(IMAGES)), arrays(again(IMAGES)), strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(arrays(model(IMAGES)), arrays(small(IMAGES)), strict=True):
        np.testing.assert_allclose(a, b, atol=0.05 * max(1, np.abs(a).max()))
    assert sum(w.nbytes for w in small.get_weights()) * 2 == sum(w.nbytes for w in before)


def test_save_refuses_quantized_layers(tmp_path):
    model = user.classifier()
    model.head.get_layer("out").quantize("int8")
    with pytest.raises(UserError, match="is quantized"):
        model.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []


READ = """
import os, sys, threading
sys.path.insert(0, "user")
{imports}
import numpy as np
def arrays(outputs):
    leaves = keras.tree.flatten(outputs)
    return [keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in leaves]
def check(name):
    model = keras.saving.load_model(name)
    expected = np.load(name + ".npz")
    for a, key in zip(arrays(model(np.load("images.npy"))), expected.files, strict=True):
        np.testing.assert_array_equal(a, expected[key])
    return type(model).__name__
assert "visiongarden.models" not in sys.modules and "visiongarden.layers" not in sys.modules
found = []
threads = [threading.Thread(target=lambda: found.append(check("mish.keras"))) for _ in range(4)]
threads += [threading.Thread(target=lambda: found.append(check("darknet.keras"))) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
assert sorted(found) == ["DarknetModel"] * 4 + ["Sequential"] * 4, found
assert check("plain.keras") == "Functional"
try:
    check("detector.keras")
except ValueError as error:
    assert "import user_models" in str(error), error
else:
    raise AssertionError("a class of the user was found")
import user_models
names = dict(detector="Detector", classifier="Classifier", segmenter="Segmenter",
    subclass="Watcher", frozen="Detector", fused="Detector",
    compiled="Classifier", mixed="Detector")
for name, cls in names.items():
    assert check(name + ".keras") == cls
model = vg.load("compiled.keras")
assert int(model.optimizer.iterations) == 1 and type(model.optimizer).__name__ == "VectorAdamW"
"""


@pytest.fixture(scope="module")
def files(models, tmp_path_factory):
    """The files of all models with their outputs, and the user's module in a folder."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "user").mkdir()
    shutil.copy(HERE / "user_models.py", folder / "user")
    np.save(folder / "images.npy", IMAGES)
    trained = user.classifier()
    rate = WarmupCosine(0.01, epochs=1, steps_per_epoch=10)
    user.compile_it(trained, VectorAdamW(learning_rate=rate))
    one_step(trained)
    made = models | {name: make() for name, make in user.PLAIN.items()} | {"compiled": trained}
    for name, model in made.items():
        model.save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.keras.npz", *arrays(model(IMAGES)))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("keras, visiongarden as vg", marks=pytest.mark.backends),
        "visiongarden as vg, keras",
    ],
)
def test_keras_opens_every_file_in_a_fresh_process(files, imports):
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    code = READ.format(imports=f"import {imports}")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=files, capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_threads_do_not_prepare_a_class_at_the_same_time(monkeypatch):
    """For the first object of a class, Keras changes its bases, which fails in two threads."""
    keras_model = importlib.import_module("keras.src.models.model")
    inject, calls = keras_model.inject_functional_model_class, []

    def slow(cls):
        calls.append(cls)
        time.sleep(0.02)
        return inject(cls)

    monkeypatch.setattr(keras_model, "inject_functional_model_class", slow)

    class Fresh(SavedAsParts, keras.Model):
        def __init__(self):
            images = keras.Input((4,))
            super().__init__(images, keras.layers.Dense(2)(images))

    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: Fresh(), range(4)))
    assert all(len(model.weights) == 2 for model in models)
    assert calls.count(Fresh) == 1
