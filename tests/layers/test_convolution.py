"""`Convolution` equals PyTorch's, and keeps its config."""

import keras
import numpy as np
import pytest

from visiongarden.layers import Convolution

torch = pytest.importorskip("torch")


@pytest.mark.backends
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "strides", "pad", "groups", "dilation"),
    [
        (1, 1, None, 1, 1), (3, 1, None, 1, 1), (3, 2, None, 1, 1), (6, 2, 2, 1, 1),
        (3, 1, 0, 1, 1), (3, 2, 1, 2, 1), (3, 1, None, 1, 3), (3, 1, 1, 1, 2), (5, 1, None, 2, 2),
        (1, 1, None, 1, 2),
    ],
)  # fmt: skip
def test_equals_torch(kernel, strides, pad, groups, dilation, use_bias):
    rng = np.random.default_rng(0)
    layer = Convolution(4, kernel, strides, pad, groups, use_bias, dilation)
    layer.build((None, 10, 13, 2))
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    x = rng.normal(size=(2, 10, 13, 2)).astype(np.float32)
    weights = [torch.tensor(keras.ops.convert_to_numpy(w.value)) for w in layer.weights]
    wanted = torch.nn.functional.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        weights[0].permute(3, 2, 0, 1),
        weights[1] if use_bias else None,
        stride=strides,
        padding=dilation * (kernel // 2) if pad is None else pad,
        dilation=dilation,
        groups=groups,
    )
    found = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, wanted.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape((2, 10, 13, 2)) == found.shape
    assert layer.compute_output_shape((None, None, None, 2)) == (None, None, None, 4)


@pytest.mark.backends
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's memory")
def test_pytorch_reads_kernels_without_a_copy():
    layer = Convolution(4, 3)
    layer.build((None, 10, 13, 2))
    for _ in range(2):
        kernel = layer.kernel.value.permute(3, 2, 0, 1)
        assert kernel.is_contiguous(memory_format=torch.channels_last)
        layer.set_weights([np.ones(w.shape) for w in layer.weights])


def test_config_is_complete():
    layer = Convolution(4, 3, 2, 0, 2, False, name="a", dtype="mixed_bfloat16", activation="relu")
    again = Convolution.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.pad, again.groups, again.kernel_size, again.strides) == (0, 2, (3, 3), (2, 2))
    again = Convolution.from_config(Convolution(4, 3, dilation=2).get_config())
    assert (again.pad, again.dilation_rate) == (2, (2, 2))
    assert keras.saving.get_registered_name(Convolution) == "visiongarden>Convolution"
