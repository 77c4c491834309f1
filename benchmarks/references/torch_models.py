"""Write names, shapes and outputs of torchvision's and timm's models, for the tests of the rules.

    python -m benchmarks.references.torch_models tests/weights/references

Run it in a separate environment: `pip install torch==2.13.0`, then `pip install --no-deps
torchvision==0.28.0 timm`, and what they import. Where torchvision's operators do not suit the build
of torch, name a module to import first with `--before`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.references.numbers import images, sample, weights
from benchmarks.references.options import script_options

SIZE = (64, 96)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)


def models() -> dict[str, tuple[Any, Any]]:
    """Return name -> (model, (mean, standard deviation))."""
    import timm
    import torchvision

    found = {
        f"torchvision-{name}": (getattr(torchvision.models, name)(weights=None), IMAGENET)
        for name in ("resnet18", "resnet50", "mobilenet_v2")
    }
    for name, values in {
        "resnet34": IMAGENET,
        "mobilenetv2_100": IMAGENET,
        "mobilenetv2_140": IMAGENET,
        "efficientnet_lite0": IMAGENET,
        "tf_efficientnet_lite0": HALF,
    }.items():
        found[f"timm-{name}"] = (timm.create_model(name, pretrained=False), values)
    return found


def write(path: Path, model: Any, values: Any) -> None:
    """Write one file: names, shapes and a sample of the logits and of the last feature map."""
    import torch

    state = model.eval().state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    numbers = weights({n: s for n, s in shapes.items() if not n.endswith("num_batches_tracked")})
    model.load_state_dict({n: torch.from_numpy(a) for n, a in numbers.items()}, strict=False)
    mean, std = (np.float32(each) for each in values)
    x = (np.float32(images(*SIZE)) / 255 - mean) / std
    with torch.no_grad():
        logits = model(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    arrays = {"logits": logits}
    np.savez_compressed(
        path,
        names=np.array(list(shapes)),
        shapes=np.array([",".join(map(str, shape)) for shape in shapes.values()]),
        **{name: sample(array) for name, array in arrays.items()},
        deviation=np.float32([array.std() for array in arrays.values()]),
    )


def main() -> None:
    folder = script_options(__doc__).folder
    for name, (model, values) in models().items():
        write(folder / f"{name}.npz", model, values)


if __name__ == "__main__":
    main()
