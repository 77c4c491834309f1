"""Warning that TensorFlow runs without oneDNN because it was imported before visiongarden."""

import warnings

import numpy as np
import pytest

import visiongarden as vg
from visiongarden.backends import onednn, training_state
from visiongarden.backends.onednn import VARIABLE, warn_without_onednn


@pytest.fixture(autouse=True)
def keras_first(monkeypatch):
    """Simulate a process on an AVX2 processor that imported TensorFlow before visiongarden."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(onednn, "processor_flags", lambda: frozenset({"avx2"}))
    warn_without_onednn.cache_clear()
    yield
    warn_without_onednn.cache_clear()


def classifier():
    return vg.Classifier(
        backbone=vg.backbones.CSPDarknet(levels=("p5",), depth=0.33, width=0.0625),
        head=vg.heads.Classification(num_classes=2),
        image_size=32,
    )


def trained():
    model = classifier()
    model.compile("sgd", jit_compile=False)
    targets = {"labels": np.eye(2, dtype=np.float32)}
    model.fit(np.zeros((2, 32, 32, 3), np.uint8), targets, verbose=0)


@pytest.mark.parametrize(
    "use", [trained, lambda: vg.predict(classifier(), [np.zeros((32, 32, 3), np.uint8)])]
)
def test_training_and_prediction_warn_once(use):
    with pytest.warns(UserWarning, match="Import visiongarden before keras") as caught:
        use()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_without_onednn()


@pytest.mark.parametrize("flag", ["avx512_vnni", "avx_vnni", "amx_tile"])
def test_no_warning_where_tensorflow_chooses_onednn(monkeypatch, flag):
    monkeypatch.setattr(onednn, "processor_flags", lambda: frozenset({"avx2", flag}))
    warn_without_onednn()


@pytest.mark.parametrize(
    ("variable", "value"),
    [(VARIABLE, "1"), (VARIABLE, "0"), ("VISIONGARDEN_DISABLE", "onednn")],
)
def test_no_warning_where_the_user_decided(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    warn_without_onednn()


def test_no_warning_on_other_processors_and_on_a_gpu(monkeypatch):
    monkeypatch.setattr(onednn, "processor_flags", frozenset)
    warn_without_onednn()
    monkeypatch.setattr(onednn, "processor_flags", lambda: frozenset({"avx2"}))
    monkeypatch.setattr(training_state, "is_on_accelerator", lambda: True)
    warn_without_onednn.cache_clear()
    warn_without_onednn()


@pytest.mark.backends
def test_no_warning_on_other_backends():
    import keras

    if keras.backend.backend() == "tensorflow":
        pytest.skip("the warning is about TensorFlow")
    warn_without_onednn()
