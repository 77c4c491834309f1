"""The example in the docstring of each public name runs and returns what it shows."""

import doctest
import inspect
import tempfile

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import registry


def named(package):
    for name in package.__all__:
        found = getattr(package, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            yield pytest.param(found, id=f"{package.__name__.rpartition('.')[2]}.{name}")


PUBLIC = [
    entry
    for package in (vg, vg.layers, vg.blocks, vg.backbones, vg.decoders, vg.heads)
    for entry in named(package)
]
PUBLIC += [
    pytest.param(entry, id=entry.__name__)
    for entry in (
        vg.data.Channels,
        vg.data.Layout,
        vg.data.channels_of,
        vg.data.check_channels,
        vg.data.decode_stored,
        vg.drawing.to_display,
    )
]
PUBLIC += [*named(vg.losses), *named(vg.assigners)]


@pytest.mark.parametrize("public", PUBLIC)
def test_the_example_runs(public, monkeypatch, capsys, tmp_path):
    # Files that an example writes go to the test's own folder.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    # Classes that an example registers are forgotten afterwards.
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    names = {"keras": keras, "np": np, "vg": vg, "__name__": "__main__"}
    # A class must not pass with the example that it inherits, as `inspect.getdoc` would let it.
    text = inspect.cleandoc(public.__doc__ or "")
    example = doctest.DocTestParser().get_doctest(text, names, public.__qualname__, None, None)
    assert example.examples, f"the docstring of {public.__qualname__} has no example"
    runner = doctest.DocTestRunner(verbose=False)
    failed = runner.run(example).failed
    assert not failed, capsys.readouterr().out
