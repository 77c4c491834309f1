"""Stubs: Keras finds visiongarden's classes in files, without an import that costs seconds."""

import runpy
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import visiongarden as vg
from visiongarden.backends import keras_stubs

SCRIPT = Path(__file__).parents[2] / "scripts" / "keras-classes"

FAKE_KERAS = """
import os
if os.path.exists("fail"):
    os.remove("fail")
    raise RuntimeError("no backend")
from keras import saving
"""
FAKE_SAVING = """
OBJECTS = {}
def get_custom_objects():
    return OBJECTS
def register_keras_serializable(package, name):
    def decorate(each):
        OBJECTS[f"{package}>{name}"] = each
        return each
    return decorate
"""
FOUND = """
assert "visiongarden>Detector" in keras.saving.get_custom_objects()
assert "visiongarden>mish" in keras.saving.get_custom_objects()
"""
HEAVY = """
assert not [name for name in sys.modules if name.startswith("visiongarden.models")]
assert not any(type(finder).__module__.startswith("visiongarden") for finder in sys.meta_path)
"""
THREADS = """
import threading, visiongarden
found = []
def work():
    import keras
    found.append("visiongarden>Detector" in keras.saving.get_custom_objects())
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
assert found == [True] * 4, found
"""
FAILS_ONCE = """
import visiongarden
open("fail", "w").close()
try:
    import keras
except RuntimeError:
    pass
else:
    raise AssertionError
import keras
"""


def run(folder, code, **environment):
    """Run code in a process whose `keras` is a few lines, which cost no seconds to import."""
    package = folder / "keras"
    package.mkdir()
    (package / "__init__.py").write_text(FAKE_KERAS)
    (package / "saving.py").write_text(FAKE_SAVING)
    source = Path(vg.__file__).parents[1]
    start = f"import sys\nsys.path[:0] = [{str(folder)!r}, {str(source)!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code], cwd=folder, capture_output=True, text=True,
        check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import keras, visiongarden\n" + FOUND + HEAVY,
        "import visiongarden, keras\n" + FOUND + HEAVY,
        "import visiongarden\nfrom keras import saving\nimport keras\n" + FOUND + HEAVY,
        FAILS_ONCE + FOUND + HEAVY,
        THREADS,
        "import visiongarden\nassert 'keras' not in sys.modules and 'h5py' not in sys.modules",
    ],
    ids=["keras first", "visiongarden first", "a part of keras", "fails once", "threads", "alone"],
)
def test_stubs_exist_once_both_are_imported(tmp_path, code):
    run(tmp_path, code)


def test_the_hook_can_be_disabled(tmp_path):
    absent = "assert 'visiongarden>Detector' not in keras.saving.get_custom_objects()"
    run(tmp_path, f"import visiongarden, keras\n{absent}{HEAVY}", VISIONGARDEN_DISABLE="keras_hook")


def test_the_table_equals_the_registry():
    """After a class was added, moved or renamed: run scripts/keras-classes."""
    script = runpy.run_path(str(SCRIPT))
    assert script["registered"]() == (keras_stubs.CLASSES, keras_stubs.FUNCTIONS)
    assert script["TABLE"].read_text(encoding="utf-8") == script["text"]()


def test_a_stub_continues_with_the_class_that_its_module_registers(monkeypatch):
    """Also if a scope contains a copy of the custom objects, as inside `load_model`."""
    objects, key = keras.saving.get_custom_objects(), "visiongarden>ConvNormAct"
    cls = vg.layers.ConvNormAct
    config = keras.saving.serialize_keras_object(cls(4, 3, name="stem"))
    monkeypatch.setitem(objects, key, keras_stubs._stub_class(key))
    imported = []

    def imports(module):
        imported.append(module)
        objects[key] = cls

    monkeypatch.setattr(keras_stubs.importlib, "import_module", imports)
    with keras.saving.custom_object_scope(dict(objects)):
        layer = keras.saving.deserialize_keras_object(config)
    assert type(layer) is cls
    assert layer.name == "stem"
    assert imported == ["visiongarden.layers.conv_norm_act"]


def test_a_stub_of_a_function_calls_the_function():
    stub = keras_stubs._stub_function("visiongarden>mish")
    x = keras.ops.convert_to_tensor([-1.0, 0.5])
    assert keras.ops.convert_to_numpy(stub(x)).tolist() == pytest.approx(
        keras.ops.convert_to_numpy(keras.activations.mish(x)).tolist()
    )
    keras_stubs.add_stubs()  # What is registered stays.
    assert keras.saving.get_registered_object("visiongarden>mish") is vg.layers.activations.mish
