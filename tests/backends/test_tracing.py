"""Traced functions: one trace each, without TensorFlow's warning of frequent traces."""

import logging

import keras
import numpy as np
import pytest
from keras import ops

import visiongarden as vg
from visiongarden.backends.forward import compiled_function
from visiongarden.backends.gradients import value_and_gradients
from visiongarden.backends.tracing import traced_once

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow counts traces"
)

MANY = 6
"""More functions than the traces of one function after which TensorFlow warns."""


@pytest.fixture
def warnings_of_tensorflow(monkeypatch):
    """The warnings that TensorFlow logs during the test."""
    found = []

    class Collect(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    handler, logger = Collect(logging.WARNING), logging.getLogger("tensorflow")
    logger.addHandler(handler)
    # The command line, which other tests run in this process, sets the level to ERROR.
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    yield found
    logger.removeHandler(handler)


def test_many_models_that_predict_once(warnings_of_tensorflow):
    image = np.zeros((32, 32, 3), np.uint8)
    for _ in range(MANY):
        model = vg.Classifier(
            vg.backbones.DarknetTiny(width=0.0625, levels=("p5",)),
            vg.heads.Classification(num_classes=2),
            image_size=32,
        )
        next(iter(vg.predict(model, [image])))
    assert warnings_of_tensorflow == []


@pytest.mark.parametrize(
    "run",
    [
        lambda: traced_once(lambda x: x + 1)(ops.ones(2)),
        lambda: compiled_function(lambda x, y: x + y)(ops.ones(2), ops.ones(2)),
        lambda: value_and_gradients(lambda xs: ops.sum(xs[0]))([np.ones(2)]),
    ],
)
def test_many_functions_of_one_definition(run, warnings_of_tensorflow):
    for _ in range(MANY):
        run()
    assert warnings_of_tensorflow == []


def test_a_function_that_is_traced_often_is_still_reported(warnings_of_tensorflow):
    run = traced_once(lambda x: x + 1)
    for size in range(MANY):
        run(ops.ones(size + 1))
    assert "triggered tf.function retracing" in "".join(warnings_of_tensorflow)
