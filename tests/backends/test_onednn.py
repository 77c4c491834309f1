"""TensorFlow uses oneDNN on every x86-64 processor, unless the user decides otherwise."""

import os
import platform
import subprocess
import sys
from contextlib import suppress

import pytest

from visiongarden.backends import onednn
from visiongarden.backends.onednn import VARIABLE, use_onednn, without_notes


@pytest.fixture(autouse=True)
def before_tensorflow(monkeypatch):
    """A process of an x86-64 processor that has not imported TensorFlow."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_it_is_used():
    use_onednn()
    assert os.environ[VARIABLE] == "1"


def test_the_variable_of_tensorflow_is_kept(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    use_onednn()
    assert os.environ[VARIABLE] == "0"


def test_the_switch(monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_DISABLE", "onednn")
    use_onednn()
    assert VARIABLE not in os.environ


def test_nothing_is_set_where_it_has_no_effect(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    use_onednn()
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setitem(sys.modules, "tensorflow", os)
    use_onednn()
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_nothing_is_set_for_other_backends(monkeypatch, backend):
    """JAX prints a note if the variable is set."""
    monkeypatch.setenv("KERAS_BACKEND", backend)
    use_onednn()
    assert VARIABLE not in os.environ


NOTES = "I0 port.cc:1] oneDNN custom operations are on. You may see slightly different results.\n"


@pytest.mark.parametrize(("level", "shown"), [("3", "an error\n"), ("0", f"{NOTES}an error\n")])
def test_the_notes_of_tensorflow_are_dropped(monkeypatch, capfd, level, shown):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    monkeypatch.setattr(onednn, "processor_flags", lambda: frozenset({"avx2"}))
    with suppress(ImportError), without_notes():
        os.write(2, f"{NOTES}an error\n".encode())
        raise ImportError
    assert capfd.readouterr().err == shown


@pytest.mark.slow
def test_the_import_prints_nothing():
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    code = "import visiongarden, keras; keras.ops.ones(3)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
