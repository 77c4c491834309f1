"""Contender: the model and loss of the peer.

`benchmarks.speed` runs it in the environment of the peer.
"""

import numpy as np
from benchmarks.contenders.ours import batch
from benchmarks.contenders.worker import each, serve


def prepare(options):
    """Prepare a `mode`: "infer" (decoded boxes, before NMS) or "train" (the whole step)."""
    import torch
    import ultralytics
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    half = options.get("dtype") == "mixed_bfloat16"
    file = f"yolov8{options['letter']}.yaml"
    model = DetectionModel(file, nc=options.get("classes", 80), verbose=False)
    model.args = get_cfg()
    model = model.to(device)
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "backend": f"ultralytics {ultralytics.__version__}, torch {torch.__version__}",
    }
    images, targets = batch(options)
    boxes, classes = targets["boxes"], targets["classes"]

    def pixels():
        chosen = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        return chosen.to(device).float() / 255

    if options["mode"] == "infer":
        model.eval()

        def infer():
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
                return model(pixels())[0].float().cpu().numpy()

        return each(infer), facts
    count, objects = boxes.shape[:2]
    centers, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    targets = {
        "bboxes": np.concatenate([centers, sides], -1).reshape(-1, 4) / options["size"],
        "cls": classes.reshape(-1, 1).astype(np.float32),
        "batch_idx": np.repeat(np.arange(count), objects).astype(np.float32),
    }
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.937, nesterov=True)
    model.train()

    def train():
        optimizer.zero_grad()
        fed = {name: torch.from_numpy(value).to(device) for name, value in targets.items()}
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss, _ = model(fed | {"img": pixels()})
        loss.sum().backward()
        optimizer.step()
        return float(loss.sum().detach())

    return each(train), facts


if __name__ == "__main__":
    serve(prepare)
