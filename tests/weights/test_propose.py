"""Renames are proposed only if names and shapes leave one possibility."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from visiongarden.errors import UserError
from visiongarden.weights import transfer


def model():
    x = inputs = keras.Input((4,))
    for name, units in (("a", 5), ("b", 6), ("c", 6), ("d", 6)):
        x = keras.layers.Dense(units, name=name)(x)
    return keras.Model(inputs, x)


def arrays(*pairs, torch=False):
    """Name of a dense layer -> shape of its kernel."""
    found = {}
    for name, shape in pairs:
        kernel, bias = np.ones(shape, "float32"), np.ones(shape[-1], "float32")
        dot = "." if torch else "/"
        found[f"{name}{dot}{'weight' if torch else 'kernel'}"] = kernel.T if torch else kernel
        found[f"{name}{dot}bias"] = bias
    return found


WHOLE = (("a", (4, 5)), ("b", (5, 6)), ("c", (6, 6)), ("d", (6, 6)))


@pytest.mark.parametrize(
    ("source", "proposal"),
    [
        (arrays(*((f"net/{n}", s) for n, s in WHOLE)), {"net": ""}),
        (arrays(*((f"module.net.{n}", s) for n, s in WHOLE), torch=True), {"module.net": ""}),
        # Two layers of one shape could each be either; the other two are unambiguous.
        (
            arrays(("p", (4, 5)), ("q", (5, 6)), ("r", (6, 6)), ("s", (6, 6))),
            {"p": "a", "q": "b"},
        ),
        (arrays(("r", (6, 6)), ("s", (6, 6))), {}),
        (arrays(("p", (4, 7))), {}),
    ],
)
def test_proposals(source, proposal):
    with pytest.raises(UserError) as error:
        transfer(source, model(), rules=None, min_coverage=1.0)
    assert (error.value.fix == f"rename={proposal}") == bool(proposal)
    if proposal:
        target = model()
        report = transfer(source, target, rename=proposal, min_coverage=0.1)
        assert len(report.renamed) == (8 if "" in proposal.values() else 4)
