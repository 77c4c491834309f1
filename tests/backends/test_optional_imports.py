"""Commands import Keras without the libraries that are optional for it."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from visiongarden.backends import keras_stubs, optional_imports

NAMES = ("json.tool", "no_such_library")


@pytest.fixture
def skipping(monkeypatch):
    """Let an import of Keras skip a module that exists, and one that does not."""
    monkeypatch.setattr(optional_imports, "OPTIONAL", NAMES)
    monkeypatch.setattr(optional_imports, "_skips", False)
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    optional_imports.skip_optional_imports()


@pytest.mark.usefixtures("skipping")
def test_a_library_is_missing_while_keras_is_imported_and_not_after():
    with optional_imports.optional_imports_skipped(), pytest.raises(ModuleNotFoundError):
        importlib.import_module("json.tool")
    assert importlib.import_module("json.tool")
    assert "no_such_library" not in sys.modules


@pytest.mark.usefixtures("skipping")
def test_a_library_that_is_imported_already_stays():
    tool = importlib.import_module("json.tool")
    with optional_imports.optional_imports_skipped():
        assert importlib.import_module("json.tool") is tool
    assert sys.modules["json.tool"] is tool


@pytest.mark.usefixtures("skipping")
def test_the_libraries_are_back_after_an_import_that_fails():
    with pytest.raises(KeyError), optional_imports.optional_imports_skipped():
        raise KeyError
    assert not set(NAMES) & sys.modules.keys()


def test_nothing_is_skipped_in_other_programs_or_with_the_switch(monkeypatch):
    monkeypatch.setattr(optional_imports, "_skips", False)
    monkeypatch.setattr(optional_imports, "OPTIONAL", ("json.tool",))
    with optional_imports.optional_imports_skipped():
        importlib.import_module("json.tool")
    monkeypatch.delitem(sys.modules, "json.tool")
    monkeypatch.setenv("VISIONGARDEN_DISABLE", "optional_imports")
    optional_imports.skip_optional_imports()
    with optional_imports.optional_imports_skipped():
        importlib.import_module("json.tool")


def test_the_import_of_keras_skips_them(monkeypatch):
    """The hook for the name `keras` runs it within `optional_imports_skipped`."""
    seen = []

    class Loader:
        def exec_module(self, module):
            seen.append("pandas" in sys.modules and sys.modules["pandas"] is None)

    loader = Loader()
    monkeypatch.setattr(optional_imports, "_skips", True)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    keras_stubs._Finder()._wrap(loader)
    loader.exec_module(None)
    assert seen == [True]
    assert "pandas" not in sys.modules


PROGRAM = """
import json, sys
import keras
print(json.dumps([name for name in {names} if name in sys.modules]))
"""


@pytest.mark.slow
def test_a_program_of_visiongarden_imports_none_of_them(tmp_path):
    """The worker of the checks, the exporter and the other processes of a run start in this way."""
    (tmp_path / "shows_modules.py").write_text(PROGRAM.format(names=optional_imports.OPTIONAL))
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    result = subprocess.run(
        optional_imports.command_of("shows_modules"), env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(result.stdout) == []
