"""Write names, shapes, raw outputs and gradients of torchvision's detectors, for the tests.

    python -m benchmarks.references.torchvision_detectors tests/weights/references

The environment is that of `torch_models.py`. Outputs are those of backbone, feature pyramid and
head for normalized images, before anchors; gradients are those of the sum of their squares, with
normalization as in inference, as a norm and projections of each tensor.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.references.numbers import images, projections, sample, weights

SIZE = (128, 192)
MEAN, STD = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))


def retinanets() -> dict[str, Any]:
    """Return the published models, and a small one of the same form for quick tests."""
    import torchvision
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.retinanet import RetinaNet
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    detection = torchvision.models.detection
    none = {"weights": None, "weights_backbone": None}
    layers = {"layer2": "0", "layer3": "1", "layer4": "2"}
    small = BackboneWithFPN(
        torchvision.models.resnet18(weights=None),
        layers,
        [128, 256, 512],
        32,
        LastLevelP6P7(32, 32),
    )
    return {
        "torchvision-retinanet_resnet18_fpn": RetinaNet(small, num_classes=5),
        "torchvision-retinanet_resnet50_fpn": detection.retinanet_resnet50_fpn(**none),
        "torchvision-retinanet_resnet50_fpn_v2": detection.retinanet_resnet50_fpn_v2(**none),
    }


def raw_outputs(model: Any, x: Any) -> dict[str, Any]:
    """Return "p3/classes" -> (batch, anchors, classes) and "p3/boxes" -> (batch, anchors, 4)."""
    features = list(model.backbone(x).values())
    found = model.head(features)
    ends = np.cumsum([9 * f.shape[2] * f.shape[3] for f in features])
    outputs = {}
    for name, key in (("classes", "cls_logits"), ("boxes", "bbox_regression")):
        for level, end, f in zip(range(3, 8), ends, features, strict=True):
            count = 9 * f.shape[2] * f.shape[3]
            outputs[f"p{level}/{name}"] = found[key][:, end - count : end]
    return outputs


def write(path: Path, model: Any) -> None:
    """Write one file."""
    import torch

    state = model.eval().state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    numbers = weights({n: s for n, s in shapes.items() if not n.endswith("num_batches_tracked")})
    model.load_state_dict({n: torch.from_numpy(a) for n, a in numbers.items()}, strict=False)
    x = (np.float32(images(*SIZE)) / 255 - MEAN) / STD
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    outputs = raw_outputs(model, torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    sum((each**2).sum() for each in outputs.values()).backward()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    arrays = {name: each.detach().numpy() for name, each in outputs.items()}
    np.savez_compressed(
        path,
        names=np.array(list(shapes)),
        shapes=np.array([",".join(map(str, shape)) for shape in shapes.values()]),
        outputs=np.array(list(arrays)),
        samples=np.concatenate([sample(array, 64) for array in arrays.values()]),
        deviations=np.float32([array.std() for array in arrays.values()]),
        parameters=np.array(list(gradients)),
        norms=np.float64([np.linalg.norm(np.float64(g)) for g in gradients.values()]),
        projections=np.stack([projections(name, g) for name, g in gradients.items()]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", help="module to import first")
    arguments = parser.parse_args()
    if arguments.before:
        importlib.import_module(arguments.before)
    for name, model in retinanets().items():
        write(arguments.folder / f"{name}.npz", model)


if __name__ == "__main__":
    main()
