"""Contender: a small RetinaNet as a plain PyTorch module, channels last.

ResNet-18 at half width, a feature pyramid of 64 channels with p6 and p7, and two towers of four
convolutions, shared by all levels.
"""

from benchmarks.contenders import torch_native
from benchmarks.contenders.worker import serve

SCALES, RATIOS = (1.0, 2 ** (1 / 3), 2 ** (2 / 3)), (0.5, 1.0, 2.0)


def detector(options, width=32, channels=64):
    """Build the module; it returns (boxes, classes) of each level."""
    from torch import nn
    from torch.nn import functional

    classes, anchors = options.get("classes", 80), len(SCALES) * len(RATIOS)

    def conv(inputs, outputs, kernel=3, stride=1):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )

    class Unit(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.first, self.second = conv(inputs, outputs, 3, stride), conv(outputs, outputs)
            changes = stride > 1 or inputs != outputs
            self.shortcut = conv(inputs, outputs, 1, stride) if changes else nn.Identity()

        def forward(self, x):
            found = self.second(functional.relu(self.first(x), inplace=True))
            return functional.relu(found + self.shortcut(x), inplace=True)

    def stage(inputs, outputs, stride):
        return nn.Sequential(Unit(inputs, outputs, stride), Unit(outputs, outputs, 1))

    def tower(outputs):
        layers = []
        for _ in range(4):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers, nn.Conv2d(channels, anchors * outputs, 3, padding=1))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            sides = [width * 2**k for k in range(4)]
            self.stem = nn.Sequential(
                conv(3, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
            )
            self.stages = nn.ModuleList(
                stage(sides[max(k - 1, 0)], sides[k], 1 if k == 0 else 2) for k in range(4)
            )
            self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in sides[1:])
            self.out = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
            self.p6, self.p7 = (nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(2))
            self.boxes, self.classes = tower(4), tower(classes)
            for layer in (*self.boxes, *self.classes):
                if isinstance(layer, nn.Conv2d):
                    nn.init.normal_(layer.weight, std=0.01)
                    nn.init.zeros_(layer.bias)
            nn.init.constant_(self.classes[-1].bias, -4.595)  # a prior of 0.01

        def forward(self, x):
            x, maps = self.stem(x), []
            for number, each in enumerate(self.stages):
                x = each(x)
                if number:
                    maps.append(x)
            p3, p4, p5 = (lateral(m) for lateral, m in zip(self.lateral, maps, strict=True))
            p4 = p4 + functional.interpolate(p5, scale_factor=2)
            p3 = p3 + functional.interpolate(p4, scale_factor=2)
            levels = [out(m) for out, m in zip(self.out, (p3, p4, p5), strict=True)]
            levels.append(self.p6(levels[-1]))
            levels.append(self.p7(functional.relu(levels[-1])))
            return [(self.boxes(m), self.classes(m)) for m in levels]

    return Network()


def loss(raw, targets, size, beta=0.1):
    """Return the sum of the focal loss and the smooth L1 loss; the IoU assigns anchors."""
    import torch
    from torch.nn import functional

    boxes, classes = targets["boxes"], targets["classes"].long()
    parts = []
    for level in (0, 1):
        outputs = [pair[level] for pair in raw]
        last = outputs[0].shape[1] // (len(SCALES) * len(RATIOS))
        parts.append(
            torch.cat([x.permute(0, 2, 3, 1).reshape(len(boxes), -1, last) for x in outputs], 1)
        )
    deltas, logits = (x.float() for x in parts)
    centers, sides = anchors_of([x.shape[-2:] for x, _ in raw], boxes.device)
    with torch.no_grad():
        owner, positive, counted = assigned(boxes, classes, centers, sides)
        hot = torch.zeros_like(logits)
        image, row = positive.nonzero(as_tuple=True)
        own = owner[image, row]
        hot[image, row, classes[image, own]] = 1.0
        low, high = boxes[image, own, :2], boxes[image, own, 2:]
        moved = ((low + high) / 2 - centers[row]) / sides[row]
        wanted = torch.cat([moved, ((high - low) / sides[row]).log()], 1)
    probability = logits.sigmoid()
    right = hot * probability + (1 - hot) * (1 - probability)
    weight = hot * 0.25 + (1 - hot) * 0.75
    entropy = functional.binary_cross_entropy_with_logits(logits, hot, reduction="none")
    focal = (weight * (1 - right) ** 2 * entropy * counted[..., None]).sum()
    near = functional.smooth_l1_loss(deltas[image, row], wanted, reduction="sum", beta=beta)
    return (focal + near) / max(len(row), 1)


def anchors_of(shapes, device):
    """Return centers and sizes of the anchors of all levels, each (n, 2)."""
    import torch

    scales = torch.tensor(SCALES, device=device)
    ratios = torch.tensor(RATIOS, device=device).sqrt()[:, None]
    shape = torch.stack([(scales / ratios).flatten(), (scales * ratios).flatten()], 1)
    centers, sides = [], []
    for number, (height, width) in enumerate(shapes):
        stride = 8 * 2**number
        y, x = (
            torch.arange(side, device=device, dtype=torch.float32) + 0.5 for side in (height, width)
        )
        cells = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 1, 2) * stride
        centers.append(cells.expand(-1, len(shape), -1).reshape(-1, 2))
        sides.append((4 * stride * shape).repeat(height * width, 1))
    return torch.cat(centers), torch.cat(sides)


def assigned(boxes, classes, centers, sides):
    """Return the box of each anchor, and which are positives and which are not ignored."""
    import torch

    anchors = torch.cat([centers - sides / 2, centers + sides / 2], 1)
    one, other = boxes[:, :, None], anchors[None, None]
    both = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])
    both = both.clamp(0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)[..., None] + sides.prod(-1)
    overlap = both / (area - both) * (classes >= 0)[..., None]
    highest, owner = overlap.max(1)
    best = overlap.amax(-1, keepdim=True)
    positive = (highest >= 0.5) | ((overlap >= best - 1e-6) & (best > 0)).any(1)
    return owner, positive, positive | (highest < 0.4)


if __name__ == "__main__":
    serve(lambda options: torch_native.prepare(options, detector, loss))
