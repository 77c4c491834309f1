"""`VISIONGARDEN_DISABLE` switches fast paths off by name; the documentation lists all names."""

import importlib
import re
import warnings
from pathlib import Path

import pytest

import visiongarden as vg
from visiongarden import UserError
from visiongarden.backends import switches, versions
from visiongarden.backends.switches import FAST_PATHS, is_on

ROOT = Path(vg.__file__).parents[2]


pytestmark = pytest.mark.usefixtures("forget")


@pytest.mark.parametrize(
    ("value", "off"),
    [
        ("", set()),
        ("seeds", {"seeds"}),
        (" seeds, weightless,", {"seeds", "weightless"}),
        ("all", set(FAST_PATHS)),
    ],
)
def test_the_variable_lists_names(monkeypatch, value, off):
    monkeypatch.setenv("VISIONGARDEN_DISABLE", value)
    monkeypatch.setattr(versions, "is_tested", lambda library: True)
    assert {name for name in FAST_PATHS if not is_on(name)} == off
    assert {name for name in FAST_PATHS if switches.is_named(name)} == off


def test_an_unknown_name_is_an_error_that_names_the_nearest(monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_DISABLE", "seeds,captured_step")
    with pytest.raises(UserError, match="lists 'captured_step', which is not a fast path") as error:
        is_on("seeds")
    assert "did you mean captured_steps" in error.value.fix
    assert not switches.is_named("keras_hook")  # `import visiongarden` works, to show the error


def test_untested_versions_warn_once_and_switch_off_what_uses_private_names(monkeypatch):
    monkeypatch.setattr(versions, "version_of", lambda library: "99.1.0")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        states = {name: is_on(name) for name in FAST_PATHS}
    assert states == {name: not path.libraries for name, path in FAST_PATHS.items()}
    (warning,) = found
    assert warning.category is versions.UntestedVersionWarning
    assert re.match(r"visiongarden has not been tested with .*keras 99\.1\.0", str(warning.message))
    assert f'"keras=={versions.TESTED["keras"][-1]}.*"' in str(warning.message)


def test_each_path_has_a_file_that_documents_it():
    for name, path in FAST_PATHS.items():
        text = importlib.import_module(f"visiongarden.backends.{path.module}").__doc__
        assert f"`{name}`" in text, name
        assert all(word in text for word in ("**Why.**", "**Gain:**", "**Switch:**")), path.module


def test_the_documentation_lists_all_paths():
    text = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.*?) ?\|$", text, re.MULTILINE)
    assert rows == [
        (name, path.gain, path.ordinary, f"off: {', '.join(path.libraries)}" * bool(path.libraries))
        for name, path in FAST_PATHS.items()
    ]
