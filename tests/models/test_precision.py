"""Evaluation and prediction in another precision than that of training."""

import keras
import numpy as np
import pytest
from tests.training.tiny import TinyBackbone, classifier

import visiongarden as vg
from visiongarden.backends import half_precision
from visiongarden.cli.completion import precisions
from visiongarden.errors import UserError
from visiongarden.layers import BatchNorm
from visiongarden.models.precision import POLICIES, model_in_precision, with_precision


@pytest.fixture
def mixed(tmp_path):
    path = tmp_path / "mixed.keras"
    classifier(dtype="mixed_bfloat16").save(path)
    return path


def images():
    return np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3)).astype(np.uint8)


def scores(model, **options):
    return np.array([found.scores for found in vg.predict(model, images(), **options)])


@pytest.mark.backends
def test_a_file_is_computed_in_float32_unless_another_precision_is_given(mixed):
    model = vg.load(mixed)
    plain = type(model).from_config(model.get_config() | {"dtype": "float32"})
    plain.set_weights(model.get_weights())
    expected, rounded = scores(plain), scores(model)
    np.testing.assert_array_equal(scores(mixed), expected)
    np.testing.assert_array_equal(scores(mixed, precision="mixed_bfloat16"), rounded)
    np.testing.assert_array_equal(scores(model, precision="float32"), expected)
    assert not np.array_equal(expected, rounded)


def test_a_precision_that_is_slower_than_float32_is_a_warning(mixed, monkeypatch, caplog):
    monkeypatch.setattr(half_precision, "processor_flags", frozenset)
    scores(mixed)
    assert "float32" not in caplog.text
    scores(mixed, precision="mixed_bfloat16")
    reason = "the processor has neither amx_bf16 nor avx512_bf16"
    assert f"precision=mixed_bfloat16 is slower here than float32: {reason}" in caplog.messages


def test_a_model_that_has_the_precision_is_not_built_again():
    model = classifier()
    assert with_precision(model, "float32") is model
    assert model_in_precision(model, None) is model


@pytest.mark.parametrize("precision", ["bfloat16", "float23", "int8", 16])
def test_an_unknown_precision_is_refused(mixed, precision):
    with pytest.raises(UserError, match="is not valid") as error:
        vg.predict(mixed, images(), precision=precision)
    assert error.value.rule == f"one of {', '.join(POLICIES)}"


def test_an_exported_file_has_one_precision(mixed, tmp_path):
    vg.export(mixed, tmp_path / "m.onnx")
    np.testing.assert_allclose(scores(tmp_path / "m.onnx"), scores(mixed), atol=1e-5)
    with pytest.raises(UserError, match="in the precision that it was exported in"):
        vg.predict(tmp_path / "m.onnx", images(), precision="mixed_bfloat16")


def test_completion_lists_the_policies():
    assert tuple(precisions("")) == POLICIES
    assert precisions("mixed_b") == ["mixed_bfloat16"]


@vg.register(package="test_precision")
class OneMoreInHalf(TinyBackbone):
    """A backbone with a layer that exists in half precision only."""

    def wire(self, image):
        (features,) = super().wire(image).values()
        if keras.config.dtype_policy().compute_dtype != "float32":
            features = BatchNorm()(features)
        return dict.fromkeys(self.levels, features)


def test_other_weights_in_another_precision_are_an_error():
    model = classifier()
    changed = type(model).from_config(model.get_config() | {"dtype": "mixed_bfloat16"})
    assert [w.path for w in changed.weights] == [w.path for w in model.weights]
    backbone = OneMoreInHalf()
    odd = vg.Classifier(
        backbone=backbone, head=vg.heads.Classification(num_classes=2), image_size=32
    )
    with pytest.raises(UserError, match="different weights with the dtype policy mixed_bfloat16"):
        with_precision(odd, "mixed_bfloat16")
