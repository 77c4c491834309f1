"""Valid layers written in unusual ways pass; their limitations are warnings."""

import keras
import numpy as np
import pytest
from keras import ops
from tests import zoo_of_unusual_layers as zoo

import visiongarden as vg
from visiongarden.linting import lint
from visiongarden.testing import check, check_many

FAST = (
    zoo.WeightStandardizedConv,
    zoo.NormedConv,
    zoo.ResidualWrapper,
    zoo.Branches,
    zoo.Experts,
    zoo.MadeInBuild,
    zoo.CountsWithAMetric,
    zoo.NoisyInTraining,
    zoo.SpectralConv,
    zoo.Codebook,
    zoo.LowRankAdapter,
    zoo.ZeroInitGamma,
    zoo.EvenSidesOnly,
    zoo.Normalizes,
    zoo.Gathers,
    zoo.ArrayForAComposite,
)


def items(classes):
    return [{"source": cls} | zoo.ZOO[cls] for cls in classes]


@pytest.mark.slow
def test_unusual_layers_pass():
    for report in check_many(items(FAST), backends=()):
        assert report.ok, report


@pytest.mark.slow
def test_all_unusual_layers_pass_and_reopen():
    for report in check_many(items(zoo.ZOO), skip=("jit",)):
        assert report.ok, report


@pytest.mark.parametrize("cls", [zoo.OverFrames, zoo.BothDirections], ids=lambda cls: cls.__name__)
def test_seed_states_may_change_in_inference(cls):
    others = [name for name in vg.testing.CHECKS if name not in ("repeatable", "variables_tracked")]
    report = check(cls, backends=(), skip=others, **zoo.ZOO[cls])
    assert report.ok, report
    assert report["repeatable"].status == "passed"


def test_lint_is_silent_on_unusual_layers():
    assert {finding.code for finding in lint(zoo.__file__)} <= {"VG203"}


def test_a_fixed_size_is_a_warning_with_advice():
    report = check(zoo.Patches, backends=(), **zoo.ZOO[zoo.Patches])
    assert report.ok
    assert [finding.check for finding in report.warnings] == ["open_sides"]
    assert "image_size" in report.warnings[0].advice
    assert "1 warning" in str(report)


@keras.saving.register_keras_serializable(package="garden")
class ModelGardenLayer(keras.layers.Layer):
    """As TensorFlow Model Garden writes layers: the config is kept in a dict."""

    def __init__(self, filters, kernel_size=3, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self._config_dict = {
            "filters": filters,
            "kernel_size": kernel_size,
            "use_bias": use_bias,
        }
        self._conv = keras.layers.Conv2D(filters, kernel_size, padding="same", use_bias=use_bias)

    def build(self, input_shape):
        self._conv.build(input_shape)

    def call(self, inputs):
        return ops.relu(self._conv(inputs))

    def get_config(self):
        return self._config_dict

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def test_a_config_in_a_dict_omits_only_name_dtype_and_trainable():
    found = [finding.code for finding in lint(__file__)]
    assert found == ["VG103"]
    report = check(ModelGardenLayer, backends=())
    assert [finding.check for finding in report.failures] == ["config_complete", "round_trip"]
    for finding in report.failures:
        assert all(word in finding.evidence for word in ("name", "dtype", "trainable"))
        assert "super().get_config()" in finding.advice


def test_an_array_sets_the_batch_of_all_inputs():
    report = check(zoo.Gathers, [(7, 12, 8), np.array([[0, 3], [1, 11]])], backends=())
    assert report["runs"].evidence == "(2, 12, 8), (2, 2) -> (2, 2, 8)"
