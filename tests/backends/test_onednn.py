"""TensorFlow uses oneDNN on every x86-64 processor, unless the user decides otherwise."""

import os
import platform
import sys

import pytest

from visiongarden.backends.onednn import VARIABLE, use_onednn


@pytest.fixture(autouse=True)
def before_tensorflow(monkeypatch):
    """A process of an x86-64 processor that has not imported TensorFlow."""
    monkeypatch.delenv(VARIABLE, raising=False)
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
