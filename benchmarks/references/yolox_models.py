"""Write names, shapes and outputs of YOLOX-Darknet53, for the test of its rules.

    python -m benchmarks.references.yolox_models tests/weights/references

Run it in a separate environment: torch, and `pip install --no-deps pixeltable-yolox==0.4.3`, which
packages the modules of Megvii-BaseDetection/YOLOX (Apache-2.0), with what they import. Its classes
have other names (`YoloFpn` for `YOLOFPN`), its parameters the same ones. A module named with
`--before` is imported first.
"""

from __future__ import annotations

import numpy as np

from benchmarks.references.numbers import images, sample, weights
from benchmarks.references.options import script_options

SIZE = (64, 96)


def main() -> None:
    folder = script_options(__doc__).folder
    import torch
    from yolox.models.yolo_fpn import YoloFpn
    from yolox.models.yolo_head import YoloxHead

    # As in the repository's experiment exps/default/yolov3.py.
    head = YoloxHead(80, 1.0, in_channels=[128, 256, 512], act="lrelu")
    model = torch.nn.ModuleDict({"backbone": YoloFpn(), "head": head}).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    numbers = weights({n: s for n, s in shapes.items() if not n.endswith("num_batches_tracked")})
    model.load_state_dict({n: torch.from_numpy(a) for n, a in numbers.items()}, strict=False)
    bgr = np.float32(images(*SIZE)[..., ::-1]).transpose(0, 3, 1, 2).copy()
    outputs: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for i, x in enumerate(model["backbone"](torch.from_numpy(bgr))):
            stem = head.stems[i](x)
            boxes = head.reg_convs[i](stem)
            for name, each in {
                "features": x,
                "boxes": head.reg_preds[i](boxes),
                "objectness": head.obj_preds[i](boxes),
                "classes": head.cls_preds[i](head.cls_convs[i](stem)),
            }.items():
                outputs[f"p{i + 3} {name}"] = each.numpy().transpose(0, 2, 3, 1)
    np.savez_compressed(
        folder / "yolox-darknet53.npz",
        names=np.array(list(shapes)),
        shapes=np.array([",".join(map(str, shape)) for shape in shapes.values()]),
        outputs=np.array(list(outputs)),
        deviation=np.float32([array.std() for array in outputs.values()]),
        **{name: sample(array, 256) for name, array in outputs.items()},
    )


if __name__ == "__main__":
    main()
