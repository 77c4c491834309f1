"""With an untested version of Keras or a backend, everything works without the fast paths."""

import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.backends import sublayers
from visiongarden.backends.versions import UntestedVersionWarning
from visiongarden.backends.weightless import is_weightless, weightless

ROOT = Path(vg.__file__).parents[2]
IMAGES = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3)).astype(np.uint8)
TARGETS = {"labels": np.eye(2, dtype=np.float32)[[0, 1] * 4]}


def trained():
    """Return a classifier after two epochs."""
    keras.utils.set_random_seed(0)
    model = vg.Classifier(
        backbone=vg.backbones.CSPDarknet(levels=("p5",), depth=0.33, width=0.0625),
        head=vg.heads.Classification(num_classes=2),
        image_size=32,
    )
    model.compile(keras.optimizers.SGD(0.01), jit_compile=keras.backend.backend() == "jax")
    model.fit(IMAGES, TARGETS, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return model


@pytest.mark.slow
@pytest.mark.slow_backends
def test_a_model_is_trained_saved_checked_and_shown(tmp_path, request):
    fast = trained()
    expected = fast.evaluate(IMAGES, TARGETS, batch_size=4, verbose=0, return_dict=True)
    request.getfixturevalue("untested")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = trained()
        model.save(tmp_path / "m.keras")
        again = vg.load(tmp_path / "m.keras")
        (found,) = again.classify(IMAGES[0])
        report = vg.check(vg.blocks.Residual, (2, 16, 24, 8), filters=8, backends=())
        text = str(vg.show(again))
        difference = vg.diff(fast, again)
    assert len([w for w in caught if w.category is UntestedVersionWarning]) == 1
    # On JAX the compiler has other options, and on PyTorch kernels another layout: sums are added
    # in another order, over four steps.
    for one, other in zip(fast.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(other, one)
    again.compile(keras.optimizers.SGD(0.01))
    actual = again.evaluate(IMAGES, TARGETS, batch_size=4, verbose=0, return_dict=True)
    assert actual == pytest.approx(expected, rel=1e-4)
    (ranking,) = fast.classify(IMAGES[0])
    assert found.scores.tolist() == pytest.approx(ranking.scores.tolist(), rel=1e-3)
    assert report.ok, str(report)
    assert text == str(vg.show(fast))
    assert "fields, layers and shapes are equal" in str(difference)


@pytest.mark.slow_backends
def test_sublayers_are_found_in_attributes(request):
    models = [
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625).as_model(),
        keras.Sequential([keras.Input((4, 4)), keras.layers.Bidirectional(keras.layers.LSTM(2))]),
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dropout(0.1)]),
    ]
    expected = [{id(x) for x in sublayers.with_sublayers(model) if x.weights} for model in models]
    request.getfixturevalue("untested")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [{id(x) for x in sublayers.with_sublayers(model) if x.weights} for model in models]
    assert found == expected


def build(width):
    layer = keras.layers.Dense(10)
    layer.build((None, width))
    return layer


@pytest.mark.filterwarnings("ignore::visiongarden.backends.versions.UntestedVersionWarning")
def test_a_model_built_only_to_be_read_is_limited(untested):
    with weightless(max_weights=120) as variables:
        assert is_weightless()
        assert len(build(11).weights) == 2
    assert variables == []
    assert not is_weightless()
    with weightless(max_weights=119), pytest.raises(vg.UserError, match="too large"):
        build(11)
    assert len(build(100).weights) == 2  # the limit has ended


@pytest.mark.slow
def test_the_contract_holds_without_fast_paths():
    files = ["tests/layers", "tests/models/test_family.py", "tests/models/test_fit_and_evaluate.py"]
    files += ["tests/training/test_optimizers.py", "tests/weights/test_transfer.py"]
    command = [sys.executable, "-m", "pytest", "-p", "tests.untested_versions", "-q", "-x", *files]
    done = subprocess.run(
        [*command, "-m", "backends and not slow"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
