"""Write names, shapes, raw outputs and gradients of torchvision's detectors, for the tests.

    python -m benchmarks.references.torchvision_detectors tests/weights/references

The environment is that of `torch_models.py`. Outputs are those of backbone, feature pyramid and
head for normalized images, before anchors, and for fixed regions; gradients are those of the sum of
their squares, with normalization as in inference, as a norm and projections of each tensor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.references.numbers import images, projections, regions, sample, weights
from benchmarks.references.options import script_options

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


def mask_rcnns() -> dict[str, Any]:
    """Return the published model, and a small one of the same form for quick tests."""
    import torchvision
    from torchvision.models.detection import faster_rcnn, mask_rcnn
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    layers = {f"layer{n + 1}": str(n) for n in range(4)}
    small = BackboneWithFPN(
        torchvision.models.resnet18(weights=None),
        layers,
        [64, 128, 256, 512],
        32,
        LastLevelMaxPool(),
    )
    return {
        "torchvision-maskrcnn_resnet18_fpn": mask_rcnn.MaskRCNN(
            small,
            box_head=faster_rcnn.TwoMLPHead(32 * 7 * 7, 48),
            box_predictor=faster_rcnn.FastRCNNPredictor(48, 4),
            mask_head=mask_rcnn.MaskRCNNHeads(32, (32,) * 4, 1),
            mask_predictor=mask_rcnn.MaskRCNNPredictor(32, 32, 4),
        ),
        "torchvision-maskrcnn_resnet50_fpn": mask_rcnn.maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None
        ),
    }


def mask_rcnn_outputs(model: Any, x: Any) -> dict[str, Any]:
    """Return the outputs of anchors by level, and of fixed regions as those of p2."""
    import torch

    features = model.backbone(x)
    outputs = {}
    for level, logits, boxes in zip(
        range(2, 7), *model.rpn.head(list(features.values())), strict=True
    ):
        n, a, h, w = logits.shape
        outputs[f"p{level}/objectness"] = logits.permute(0, 2, 3, 1).reshape(n, h * w, a)
        boxes = boxes.view(n, a, 4, h, w).permute(0, 3, 4, 1, 2)
        outputs[f"p{level}/boxes"] = boxes.reshape(n, -1, 4)
    given, sizes = [torch.from_numpy(each) for each in regions(*SIZE)], [SIZE] * 2
    heads = model.roi_heads
    classes, boxes = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, given, sizes)))
    masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, given, sizes)))
    return outputs | {
        "p2/region_classes": classes.reshape(2, -1, classes.shape[-1]),
        "p2/region_boxes": boxes.reshape(2, -1, 4),
        "p2/masks": masks.permute(0, 2, 3, 1).reshape(2, -1, masks.shape[1]),
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


def write(path: Path, model: Any, run: Any) -> None:
    """Write one file."""
    import torch

    state = model.eval().state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    numbers = weights({n: s for n, s in shapes.items() if not n.endswith("num_batches_tracked")})
    model.load_state_dict({n: torch.from_numpy(a) for n, a in numbers.items()}, strict=False)
    x = (np.float32(images(*SIZE)) / 255 - MEAN) / STD
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    outputs = run(model, torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
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
    arguments = script_options(__doc__, only="part of the names of the models to write")
    kinds = (retinanets, raw_outputs), (mask_rcnns, mask_rcnn_outputs)
    for made, run in kinds:
        for name, model in made().items():
            if arguments.only is None or arguments.only in name:
                write(arguments.folder / f"{name}.npz", model, run)


if __name__ == "__main__":
    main()
