"""Contender: the same architecture as a plain PyTorch module, channels last.

It is written from the same table as the parts: stem, four stages of a convolution of stride 2 and
C2f, SPPF, path aggregation, two branches per level.
"""

import numpy as np

from benchmarks.contenders.ours import batch
from benchmarks.contenders.worker import each, serve


def build(depth, width, classes, max_channels=1024, bins=16):
    """Build the module; it returns (boxes, classes) of each level."""
    import torch
    from torch import nn

    def conv(inputs, outputs, kernel=1, stride=1):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True),
        )

    class Unit(nn.Module):
        def __init__(self, channels, shortcut):
            super().__init__()
            self.body = nn.Sequential(conv(channels, channels, 3), conv(channels, channels, 3))
            self.shortcut = shortcut

        def forward(self, x):
            return x + self.body(x) if self.shortcut else self.body(x)

    class Split(nn.Module):
        def __init__(self, inputs, outputs, repeats, shortcut=True):
            super().__init__()
            half = outputs // 2
            self.split = conv(inputs, 2 * half)
            self.units = nn.ModuleList(Unit(half, shortcut) for _ in range(repeats))
            self.out = conv((2 + repeats) * half, outputs)

        def forward(self, x):
            parts = list(self.split(x).chunk(2, 1))
            for unit in self.units:
                parts.append(unit(parts[-1]))
            return self.out(torch.cat(parts, 1))

    class Pool(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.into, self.out = conv(channels, channels // 2), conv(2 * channels, channels)
            self.pool = nn.MaxPool2d(5, 1, 2)

        def forward(self, x):
            views = [self.into(x)]
            for _ in range(3):
                views.append(self.pool(views[-1]))
            return self.out(torch.cat(views, 1))

    def branch(inputs, hidden, outputs):
        return nn.Sequential(
            conv(inputs, hidden, 3), conv(hidden, hidden, 3), nn.Conv2d(hidden, outputs, 1)
        )

    def scaled(channels):
        return max(8, -(-int(min(channels, max_channels) * width) // 8) * 8)

    def repeats(number):
        return max(round(number * depth), 1)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            c1, c2, c3, c4, c5 = (scaled(c) for c in (64, 128, 256, 512, 1024))
            self.stem = conv(3, c1, 3, 2)
            self.stages = nn.ModuleList(
                nn.Sequential(conv(a, b, 3, 2), Split(b, b, repeats(n)))
                for a, b, n in ((c1, c2, 3), (c2, c3, 6), (c3, c4, 6), (c4, c5, 3))
            )
            self.pool = Pool(c5)
            units = repeats(3)
            self.down4 = Split(c5 + c4, c4, units, shortcut=False)
            self.down3 = Split(c4 + c3, c3, units, shortcut=False)
            self.shrink3, self.shrink4 = conv(c3, c3, 3, 2), conv(c4, c4, 3, 2)
            self.up4 = Split(c3 + c4, c4, units, shortcut=False)
            self.up5 = Split(c4 + c5, c5, units, shortcut=False)
            box, cls = max(16, c3 // 4, 4 * bins), max(c3, min(classes, 100))
            self.boxes = nn.ModuleList(branch(c, box, 4 * bins) for c in (c3, c4, c5))
            self.classes = nn.ModuleList(branch(c, cls, classes) for c in (c3, c4, c5))
            self.up = nn.Upsample(scale_factor=2)

        def forward(self, x):
            return self.predictions(self.pyramid(x))

        def pyramid(self, x):
            x, maps = self.stem(x), []
            for stage in self.stages:
                x = stage(x)
                maps.append(x)
            _, p3, p4, _ = maps
            p5 = self.pool(x)
            d4 = self.down4(torch.cat([self.up(p5), p4], 1))
            d3 = self.down3(torch.cat([self.up(d4), p3], 1))
            u4 = self.up4(torch.cat([self.shrink3(d3), d4], 1))
            u5 = self.up5(torch.cat([self.shrink4(u4), p5], 1))
            return d3, u4, u5

        def predictions(self, maps):
            return [(b(m), c(m)) for b, c, m in zip(self.boxes, self.classes, maps, strict=True)]

    return Network()


def detection_loss(raw, targets, size):
    """Return the anchor-free loss: task-aligned assignment, CIoU, DFL and binary cross-entropy."""
    return detection_terms(raw, targets["boxes"], targets["classes"], size)[0]


def detection_terms(raw, boxes, classes, size, bins=16):
    """Return the anchor-free loss, and the box and the quality of each cell.

    Only the rows of the positives are used for the box terms, as shapes may vary in PyTorch.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    strides, centers = [], []
    for level, _ in raw:
        height, width = level.shape[-2:]
        y, x = torch.meshgrid(
            torch.arange(height, device=boxes.device) + 0.5,
            torch.arange(width, device=boxes.device) + 0.5,
            indexing="ij",
        )
        stride = size / height
        centers.append(torch.stack([x, y], -1).reshape(-1, 2) * stride)
        strides.append(torch.full((height * width, 1), stride, device=boxes.device))
    centers, strides = torch.cat(centers), torch.cat(strides)
    sides = torch.cat([b.flatten(2) for b, _ in raw], 2).transpose(1, 2).float()
    logits = torch.cat([c.flatten(2) for _, c in raw], 2).transpose(1, 2).float()
    sides = sides.unflatten(-1, (4, bins))
    steps = torch.arange(bins, device=boxes.device, dtype=torch.float32)
    distances = sides.softmax(-1) @ steps * strides
    predicted = torch.cat([centers - distances[..., :2], centers + distances[..., 2:]], -1)
    with torch.no_grad():
        owner, quality = assigned(logits.sigmoid(), predicted, centers, strides, boxes, classes)
        total = quality.sum().clamp(min=1)
        mine = boxes.gather(1, owner[..., None].expand(-1, -1, 4))
        kinds = classes.long().gather(1, owner).clamp(0)
        hot = torch.zeros_like(logits)
        hot.scatter_(2, kinds[..., None], quality[..., None])
    entropy = F.binary_cross_entropy_with_logits(logits, hot, reduction="sum")
    taken = quality > 0
    weight, wanted = quality[taken], mine[taken]
    spot, stride = centers.expand_as(mine[..., :2])[taken], strides.expand(*taken.shape, 1)[taken]
    overlap = 1 - complete_iou(predicted[taken], wanted)
    ends = torch.cat([spot - wanted[:, :2], wanted[:, 2:] - spot], -1) / stride
    ends = ends.clamp(0, bins - 1 - 0.01)
    low = ends.long()
    spread = sides[taken].flatten(0, 1)
    near = F.cross_entropy(spread, low.flatten(), reduction="none")
    far = F.cross_entropy(spread, low.flatten() + 1, reduction="none")
    share = (ends - low).flatten()
    focal = (near * (1 - share) + far * share).unflatten(0, (-1, 4)).mean(-1)
    terms = 7.5 * (overlap * weight).sum(), 0.5 * entropy, 1.5 * (focal * weight).sum()
    return sum(terms) / total, owner, quality


def assigned(scores, predicted, centers, strides, boxes, classes, top=10):
    """Assign boxes to cells (task-aligned); return the box and the quality of each cell."""
    import torch

    a, b = boxes[:, :, None], predicted[:, None]
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    both = sides.prod(-1)
    areas = [(x[..., 2:] - x[..., :2]).clamp(0).prod(-1) for x in (a, b)]
    overlap = both / (areas[0] + areas[1] - both).clamp(1e-9)
    kinds = classes.clamp(0).long()[:, None].expand(-1, scores.shape[1], -1)
    likely = scores.gather(2, kinds).transpose(1, 2)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp(min=float(strides[0, 0]) / 2)
    inside = ((centers - middle[:, :, None]).abs() <= half[:, :, None]).all(-1)
    inside &= (classes >= 0)[..., None]
    aligned = likely.sqrt() * overlap.clamp(1e-3) ** 6 * inside
    lowest = aligned.topk(min(top, aligned.shape[-1]), -1)[0][..., -1:]
    chosen = (aligned >= lowest) & (aligned > 0)
    owner = ((overlap + 1e-6) * chosen).argmax(1)
    kept = chosen & (owner[:, None] == torch.arange(boxes.shape[1], device=boxes.device)[:, None])
    aligned, overlap = aligned * kept, overlap * kept
    best, share = aligned.amax(-1, keepdim=True), overlap.amax(-1, keepdim=True)
    return owner, (aligned / best.clamp(1e-30) * share).amax(1)


def complete_iou(a, b):
    """Return the CIoU of pairs of boxes (n, 4)."""
    import torch

    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(0)
    (wa, ha), (wb, hb) = ((x[:, 2:] - x[:, :2]).clamp(1e-7).unbind(-1) for x in (a, b))
    both = sides.prod(-1)
    iou = both / (wa * ha + wb * hb - both)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    apart = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) ** 2).sum(-1) / 4
    v = (torch.atan(wb / hb) - torch.atan(wa / ha)) ** 2 * 4 / torch.pi**2
    with torch.no_grad():
        alpha = v / (1 - iou + v).clamp(1e-7)
    return iou - apart / (hull**2).sum(-1).clamp(1e-7) - alpha * v


def detector(options):
    """Build the module for the options of a contender."""
    return build(
        options.get("depth", 0.33),
        options.get("width", 0.25),
        options.get("classes", 80),
        options.get("max_channels", 1024),
    )


def prepare(options, make=detector, loss_of=detection_loss):
    """Runs of `mode`: "infer", "train", or "graph" (a loss that costs nothing)."""
    import torch

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = make(options)
    model = model.to(device, memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in model.parameters())
    if options.get("compile"):
        model = torch.compile(model)
    images, arrays = batch(options)
    half = options.get("dtype") == "mixed_bfloat16"

    def forward():
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)
        x = x.to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(device, torch.bfloat16, enabled=half):
            return model(x)

    facts = {"parameters": parameters, "backend": f"torch {torch.__version__}"}
    if options["mode"] == "infer":
        model.eval()

        def infer():
            with torch.inference_mode():
                return [t.float().cpu().numpy() for pair in forward() for t in pair]

        return each(infer), facts
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.937, nesterov=True)

    def train():
        optimizer.zero_grad()
        raw = forward()
        if options["mode"] == "train":
            targets = {name: torch.from_numpy(x).to(device) for name, x in arrays.items()}
            loss = loss_of(raw, targets, options["size"])
        else:
            loss = sum(t.float().square().mean() for pair in raw for t in pair)
        loss.backward()
        optimizer.step()
        return loss.item()

    return each(train), facts


if __name__ == "__main__":
    serve(prepare)
