"""What a file's model was built of: changed arguments, code and classes are named when it opens."""

import importlib
import importlib.util
import json
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import registry
from visiongarden.errors import ModelFileError, UserError
from visiongarden.models.definition import ChangedCodeWarning

PARTS = """
import keras
from keras import ops
import visiongarden as vg

SLOPE = 0.1

def bent(x):
    return ops.maximum(x, SLOPE * x)

@vg.register(package="{package}")
class Block(vg.layers.Composite):
    def __init__(self, filters=4, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, 2, padding="same")
        self.act = keras.layers.Activation(activation)

    def call(self, x):
        return bent(self.act(self.conv(x)))

@vg.register(package="{package}")
class Scale(keras.layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

@vg.register(package="{package}")
class Tiny(vg.Backbone):
    width: int = 4

    def wire(self, images):
        x, maps = images, {{}}
        for i in range(1, 6):
            x = Block(self.width, name=f"block{{i}}")(x)
            maps[f"p{{i}}"] = x
        maps["p5"] = ops.relu(Scale(name="scale")(maps["p5"]))
        return {{level: maps[level] for level in self.levels}}
"""


def module(folder, name, text):
    """Imports the text as a module, as a new process would after an edit."""
    file = folder / f"{name}.py"
    file.write_text(text)
    # Python would reuse the bytecode of a text that has the same length and was written within the
    # same second.
    Path(importlib.util.cache_from_source(file)).unlink(missing_ok=True)
    for key in [key for key in registry._known if key.startswith("kept>")]:
        del registry._known[key]
    from visiongarden.models.source_digest import _module, source_digest

    _module.cache_clear()
    source_digest.cache_clear()
    spec = importlib.util.spec_from_file_location(name, file)
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def classifier(parts):
    return vg.Classifier(
        parts.Tiny(levels=("p5",)), vg.heads.Classification(num_classes=2), image_size=64
    )


@pytest.fixture
def saved(tmp_path):
    text = PARTS.format(package="kept")
    parts = module(tmp_path, "kept_parts", text)
    classifier(parts).save(tmp_path / "m.keras")
    return tmp_path, text


def reopened(folder, text, name="kept_parts"):
    module(folder, name, text)
    return vg.load(folder / "m.keras")


def test_unchanged_code_loads_without_warning(saved):
    reopened(*saved)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (
            'activation="relu"',
            'activation="tanh"',
            "block1: activation was 'relu', is now 'tanh'",
        ),
        ("factor=2.0", "factor=3.0", r"backbone/scale: factor was 2\.0, is now 3\.0"),
        (
            'padding="same")',
            'padding="same", activation="elu")',
            "was 'linear', is now 'elu'",
        ),
        (
            "ops.relu(Scale",
            "ops.tanh(Scale",
            r"the operations in backbone were .*Relu.*are now .*Tanh",
        ),
        (
            "self.act = keras.layers.Activation(activation)",
            "self.act = keras.layers.ReLU(6.0)",
            r"block1/activation \(Activation\) was removed",
        ),
    ],
)
def test_changed_layers_are_named(saved, old, new, named):
    folder, text = saved
    assert old in text
    with pytest.raises(ModelFileError, match=named):
        reopened(folder, text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return bent(self.act(self.conv(x)))", "return 2 * bent(self.act(self.conv(x)))"),
        ("SLOPE = 0.1", "SLOPE = 0.2"),
        ("ops.maximum(x, SLOPE * x)", "ops.minimum(x, SLOPE * x)"),
    ],
)
def test_changed_code_is_a_warning_that_names_the_class(saved, old, new):
    folder, text = saved
    with pytest.warns(ChangedCodeWarning, match=r"the code of kept>Block \(kept_parts\.Block\)"):
        reopened(folder, text.replace(old, new))


def test_comments_docstrings_and_layout_are_no_change(saved):
    folder, text = saved
    text = text.replace("def call(self, x):", "def call(\n        self, x  # the input\n    ):")
    text = text.replace(
        "class Block(vg.layers.Composite):", 'class Block(vg.layers.Composite):\n    """Text."""\n'
    )
    text += "\n\ndef unused(x):\n    return x\n"
    reopened(folder, text)


def test_another_module_that_registers_the_same_key_is_named(saved):
    folder, text = saved
    with pytest.warns(ChangedCodeWarning, match="kept_parts.Block when .* is other_parts.Block"):
        reopened(folder, text.replace("SLOPE * x", "SLOPE + x"), "other_parts")
    reopened(folder, text, "moved_parts")  # the same code in another module is the same class


def test_a_file_without_definition_loads(saved):
    copy = saved[0] / "o.keras"
    with zipfile.ZipFile(saved[0] / "m.keras") as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "visiongarden.json":
                data = json.dumps({"format": 1, "weights": json.loads(data)["weights"]})
            new.writestr(name, data)
    vg.load(copy)


def flags(model):
    return {
        chain: each.trainable
        for chain, each in importlib.import_module("visiongarden.layers.nested")
        .by_chain(model)
        .items()
    }


@pytest.mark.backends
def test_frozen_layers_stay_frozen(saved):
    folder, _ = saved
    model = vg.load(folder / "m.keras")
    model.backbone.trainable = False
    model.backbone.get_layer("block5").trainable = True
    model.backbone.get_layer("block5").act.trainable = False
    model.backbone.get_layer("block4").conv.trainable = True
    model.save(folder / "f.keras")
    again = vg.load(folder / "f.keras")
    assert flags(again) == flags(model)
    paths = [[w.path for w in m.trainable_weights] for m in (model, again)]
    assert sorted(paths[0]) == sorted(paths[1])
    assert {path.partition("/")[0] for path in paths[1]} == {"backbone", "head"}
    by_keras = keras.saving.load_model(folder / "f.keras")
    assert flags(by_keras) == flags(model)
    model.trainable = False
    model.save(folder / "f.keras")
    assert vg.load(folder / "f.keras").trainable_weights == []


@pytest.mark.backends
def test_the_optimizer_comes_back(saved):
    folder, _ = saved
    model = vg.load(folder / "m.keras")
    assert not model.compiled
    model.compile(optimizer=keras.optimizers.Adam(0.25), loss=None)
    model.optimizer.build(model.trainable_variables)
    for index, variable in enumerate(model.optimizer.variables):
        variable.assign(keras.ops.full(variable.shape, index + 1, variable.dtype))
    model.save(folder / "c.keras")
    again = vg.load(folder / "c.keras")
    assert isinstance(again.optimizer, keras.optimizers.Adam)
    for index, variable in enumerate(again.optimizer.variables):
        assert np.all(keras.ops.convert_to_numpy(variable) == index + 1)


def test_an_unregistered_optimizer_is_reported(saved):
    folder, _ = saved
    model = vg.load(folder / "m.keras")

    class Mine(keras.optimizers.SGD):
        pass

    model.compile(optimizer=Mine(0.1))
    model.save(folder / "c.keras")
    with pytest.warns(
        UserWarning, match="could not be compiled as it was saved.*Mine is not registered"
    ):
        again = vg.load(folder / "c.keras")
    assert not again.compiled


@vg.register(package="tests")
class Weighted(vg.Classifier):
    """A subclass with another argument."""

    def __init__(self, *args, gain=1.0, names=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.gain, self.names = gain, names


@vg.register(package="tests")
class Whole(vg.Classifier):
    """A subclass that makes its own parts."""

    def __init__(self, backbone_class, classes=2, **kwargs):
        tiny = registry.registered()[backbone_class].cls
        super().__init__(
            tiny(levels=("p5",)), vg.heads.Classification(num_classes=classes), **kwargs
        )


def test_arguments_of_subclasses_survive(saved):
    folder, _ = saved
    tiny = registry.registered()["kept>Tiny"].cls
    head = vg.heads.Classification(num_classes=2)
    model = Weighted(tiny(levels=("p5",)), head, image_size=64, gain=2.5, names={"a": [1, 2]})
    model.class_map = vg.ClassMap(("cat", "dog"))
    model.save(folder / "w.keras")
    again = vg.load(folder / "w.keras")
    assert (again.gain, again.names) == (2.5, {"a": [1, 2]})
    assert again.class_map.names == ("cat", "dog")
    assert again.resized((128, 128)).gain == 2.5

    whole = Whole("kept>Tiny", classes=3, image_size=64, class_map=("a", "b", "c"))
    whole.save(folder / "w.keras")
    again = vg.load(folder / "w.keras")
    assert again.parts.head.num_classes == 3
    assert again.class_map.names == ("a", "b", "c")

    broken = Weighted(tiny(levels=("p5",)), head, image_size=64, gain=object())
    with pytest.raises(UserError, match="argument gain of Weighted cannot be saved"):
        broken.save(folder / "b.keras")
    assert not (folder / "b.keras").exists()


COUNT = [0]


@vg.register(package="tests")
class Counting(vg.Backbone):
    """Names its layers by a counter that never starts again."""

    def wire(self, images):
        x, maps = images, {}
        for i in range(1, 6):
            COUNT[0] += 1
            x = keras.layers.Conv2D(4, 3, 2, "same", name=f"conv{COUNT[0]}")(x)
            maps[f"p{i}"] = x
        return {level: maps[level] for level in self.levels}


@vg.register(package="tests")
class Closed(keras.layers.Layer):
    """Keeps its sublayer under a name of Keras's, which no file holds."""

    def build(self, input_shape):
        self._layers.append(keras.layers.Dense(4))
        self._layers[0].build(input_shape)

    def call(self, x):
        return self._layers[0](x)


@vg.register(package="tests")
class Losing(vg.Backbone):
    """Has a layer whose weights Keras does not save."""

    def wire(self, images):
        x, maps = images, {}
        for i in range(1, 6):
            x = keras.layers.Conv2D(4, 3, 2, "same", name=f"conv{i}")(x)
            maps[f"p{i}"] = x
        maps["p5"] = Closed(name="closed")(maps["p5"])
        return {level: maps[level] for level in self.levels}


@pytest.mark.parametrize("backbone", [Counting, Losing])
def test_nothing_is_written_that_could_not_be_loaded(tmp_path, backbone):
    head = vg.heads.Classification(num_classes=2)
    model = vg.Classifier(backbone(levels=("p5",)), head, image_size=64)
    with pytest.raises(ModelFileError, match=r"m\.keras was not written"):
        model.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []


def test_saving_again_reads_the_weights_back(saved, monkeypatch):
    folder, _ = saved
    model = vg.load(folder / "m.keras")
    model.save(folder / "a.keras")
    real = keras.Model.save

    def truncated(self, path, **kwargs):
        before = self.get_weights()
        self.set_weights([w * 0 for w in before])
        real(self, path, **kwargs)
        self.set_weights(before)

    monkeypatch.setattr(keras.Model, "save", truncated)
    with pytest.raises(ModelFileError, match="weights are not in the file"):
        model.save(folder / "b.keras")
    assert not (folder / "b.keras").exists()
