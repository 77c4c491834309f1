"""Contender: the plain PyTorch module of `torch_native` with masks from prototypes."""

from benchmarks.contenders import torch_native
from benchmarks.contenders.worker import serve

STRIDE = 4
"""Pixels per cell of the prototypes."""


def detector(options, prototypes=32):
    """Build the module; it returns the predictions of `torch_native` and those of masks."""
    import torch
    from torch import nn
    from torch.nn import functional

    def conv(inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True),
        )

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = torch_native.detector(options)
            inputs = [branch[0][0].in_channels for branch in self.base.boxes]
            finest = inputs[0]
            hidden = max(finest // 4, prototypes)
            self.coefficients = nn.ModuleList(
                nn.Sequential(
                    conv(c, hidden), conv(hidden, hidden), nn.Conv2d(hidden, prototypes, 1)
                )
                for c in inputs
            )
            self.before = nn.Sequential(*(conv(finest, finest) for _ in range(3)))
            self.after = nn.Sequential(conv(finest, finest), nn.Conv2d(finest, prototypes, 1))

        def forward(self, x):
            maps = self.base.pyramid(x)
            found = [c(m) for c, m in zip(self.coefficients, maps, strict=True)]
            coefficients = torch.cat([c.flatten(2) for c in found], 2).transpose(1, 2).tanh()
            x = functional.interpolate(self.before(maps[0]), scale_factor=2, mode="bilinear")
            return *self.base.predictions(maps), (coefficients, self.after(x).relu())

    return Network()


def loss(raw, targets, size, most=100):
    """Return the loss of the detector, and that of the masks of at most 100 cells of an image."""
    import torch
    from torch.nn import functional

    *raw, (coefficients, prototypes) = raw
    boxes, masks = targets["boxes"], targets["masks"]
    found, owner, quality = torch_native.detection_terms(raw, boxes, targets["classes"], size)
    best, rows = quality.topk(min(most, quality.shape[1]), 1)
    centers = (torch.arange(masks.shape[2], device=boxes.device) + 0.5) * STRIDE
    total, count = 0.0, 0
    for image in range(len(boxes)):
        # Only the rows of the positives, as shapes may vary in PyTorch.
        row = rows[image][best[image] > 0]
        own = owner[image, row]
        logits = torch.einsum(
            "kp,phw->khw", coefficients[image, row].float(), prototypes[image].float()
        )
        low, high = boxes[image, own, None, :2], boxes[image, own, None, 2:]
        near = (centers[:, None] - (low + high) / 2).abs() <= ((high - low) / 2).clamp(
            min=STRIDE / 2
        )
        inside = near[:, :, None, 1] & near[:, None, :, 0]
        apart = functional.binary_cross_entropy_with_logits(
            logits, masks[image, own].float(), reduction="none"
        )
        total = total + ((apart * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)).sum()
        count += len(row)
    return found + 6.125 * total / max(count, 1)


if __name__ == "__main__":
    serve(lambda options: torch_native.prepare(options, detector, loss))
