"""Write names, shapes and outputs of keras-hub's ResNet, for the tests of the rules.

    python -m benchmarks.references.keras_hub_models tests/weights/references

Run it in a separate environment with `pip install keras-hub`. The forms are those of the presets
`resnet_18_imagenet` and `resnet_50_imagenet`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.references.numbers import images, sample, weights

SIZE = (64, 96)
MEAN, STD = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))
FORMS = {18: ("basic_block", [2, 2, 2, 2]), 50: ("bottleneck_block", [3, 4, 6, 3])}


def network(depth: int) -> Any:
    """Return a backbone of keras-hub."""
    import keras_hub

    kind, blocks = FORMS[depth]
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=blocks,
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=kind,
        image_shape=(*SIZE, 3),
    )


def write(path: Path, model: Any) -> None:
    """Write one file: names, shapes and a sample of the last feature map."""
    # The random numbers are those of a shape in PyTorch's order, (out, in, height, width).
    shapes = {weight.path: tuple(weight.shape)[::-1] for weight in model.weights}
    numbers = weights(shapes)
    for weight in model.weights:
        weight.assign(numbers[weight.path].T)
    x = (np.float32(images(*SIZE)) / 255 - MEAN) / STD
    features = np.asarray(model(x, training=False))
    np.savez_compressed(
        path,
        names=np.array(list(shapes)),
        shapes=np.array([",".join(map(str, shape)) for shape in shapes.values()]),
        features=sample(features),
        deviation=np.float32(features.std()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for depth in FORMS:
        write(folder / f"keras-hub-resnet{depth}.npz", network(depth))


if __name__ == "__main__":
    main()
