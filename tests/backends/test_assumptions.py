"""Assumptions about private names hold with the installed versions, and cover every such name."""

import importlib.util
import random
import sys
from pathlib import Path

import keras
import pytest
from tests.private_names import own_names, parsed, private_uses

import visiongarden as vg
from visiongarden import UserError
from visiongarden.backends import assumptions, graph, reserved_names, versions
from visiongarden.backends.assumptions import ASSUMPTIONS, require

ROOT = Path(vg.__file__).parent
INSTALLED = {name for name in ASSUMPTIONS if importlib.util.find_spec(ASSUMPTIONS[name].library)}


pytestmark = pytest.mark.usefixtures("forget")


@pytest.mark.backends
@pytest.mark.parametrize("name", sorted(INSTALLED))
def test_an_assumption_holds(name):
    assert ASSUMPTIONS[name].holds()


def test_a_check_leaves_no_trace():
    keras.utils.set_random_seed(3)
    expected = keras.ops.convert_to_numpy(keras.random.uniform((4,))).tolist()
    keras.utils.set_random_seed(3)
    state = random.getstate()
    assert all(assumptions.holds(name) for name in sorted(INSTALLED))
    assert random.getstate() == state
    assert keras.ops.convert_to_numpy(keras.random.uniform((4,))).tolist() == expected


@pytest.mark.xdist_group("syntax trees")
def test_every_private_name_has_an_assumption():
    trees = parsed(ROOT / "backends")
    own = {name for tree in parsed(ROOT).values() for name in own_names(tree)}
    named = {name for each in ASSUMPTIONS.values() for name in each.names}
    missing = [
        f"{file.name}:{line}: {name}"
        for file, tree in trees.items()
        for line, name in private_uses(tree, own)
        if not any(f"{known}.".startswith(f"{name}.") or known in name for known in named)
    ]
    assert missing == []


def test_the_listed_names_of_layers_are_those_of_keras():
    """`lint` knows them without importing Keras."""
    layer = keras.layers.Layer(name="plain")
    assert set(dir(layer)) >= reserved_names.PRIVATE


def test_an_assumption_that_does_not_hold_is_an_error_under_an_untested_version(monkeypatch):
    monkeypatch.setattr(versions, "version_of", lambda library: "99.1.0")
    changed = assumptions.Assumption("keras", ("_new",), "it is so", "show fails", lambda: 1 / 0)
    monkeypatch.setitem(ASSUMPTIONS, "graph", changed)
    versions.is_tested.cache_clear()
    require.cache_clear()
    with pytest.raises(
        UserError, match=r"keras 99\.1\.0 works in another way.*show fails"
    ) as error:
        graph.node_of(keras.KerasTensor((1,)))
    assert error.value.fix == f'pip install "keras=={versions.TESTED["keras"][-1]}.*"'
    require("autocast")  # holds, under any version


def test_the_tested_versions_are_those_of_the_constraints():
    text = (ROOT.parents[1] / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(line.split("==") for line in text.splitlines() if "==" in line)
    pinned = {name.removesuffix("-cpu"): version for name, version in pinned.items()}
    for library, tested in versions.TESTED.items():
        assert ".".join(pinned[library].split(".")[:2]) == tested[-1]


def test_tested_versions_are_compared_by_minor_release(monkeypatch):
    versions_of_torch = [
        ("2.13.7+cpu", True),
        ("2.14.0", True),
        ("2.15.0", False),
        ("2.1.3", False),
    ]
    for version, tested in versions_of_torch:
        monkeypatch.setitem(sys.modules, "torch", type("torch", (), {"__version__": version}))
        versions.is_tested.cache_clear()
        assert versions.is_tested("torch") is tested
