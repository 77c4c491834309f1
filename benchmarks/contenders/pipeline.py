"""Contender: training images without a model, from the loader or from plain OpenCV."""

import time

import cv2
import numpy as np

from benchmarks.contenders.worker import each, serve

GRAY = 114


def prepare(options):
    """Return a step that makes one image; its seconds are processor time."""
    cv2.setNumThreads(1)
    step = (ours if options["which"] == "ours" else plain)(options)
    return each(step), {}


def ours(options):
    """Return a step that makes the next image of an epoch as the loader does."""
    from visiongarden.data import Loader, decoded, read
    from visiongarden.tasks import find

    if not options["cached"]:
        decoded.CACHE_BYTES = 0
    size = (options["size"],) * 2
    transforms = find("detection").transforms()
    one = Loader(read(options["data"], reader="YOLO"), size, 16, transforms, shuffle=True)
    place = 0

    def step():
        nonlocal place
        epoch, row = divmod(place, len(one.dataset))
        one.sample(row, epoch)
        place += 1

    return step


def plain(options):
    """Return a step with the same augmentation as in the papers: a mosaic, then one warp."""
    from visiongarden.data import read

    dataset, size = read(options["data"], reader="YOLO"), options["size"]
    random = np.random.default_rng(0)
    cache = {}

    def load(index):
        if index in cache:
            return cache[index]
        image = cv2.imread(str(dataset.image_path(index)))
        ratio = size / max(image.shape[:2])
        sides = round(image.shape[1] * ratio), round(image.shape[0] * ratio)
        boxes = dataset.row(index).boxes * ratio
        found = cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR), boxes
        if options["cached"]:
            cache[index] = found
        return found

    def step():
        canvas = np.full((2 * size, 2 * size, 3), GRAY, np.uint8)
        x, y = random.integers(size // 2, 3 * size // 2, 2)
        boxes = []
        for cell, index in enumerate(random.integers(0, len(dataset), 4)):
            image, own = load(int(index))
            height, width = image.shape[:2]
            left, top = (x - width if cell % 2 == 0 else x), (y - height if cell < 2 else y)
            x1, y1 = max(left, 0), max(top, 0)
            x2, y2 = min(left + width, 2 * size), min(top + height, 2 * size)
            canvas[y1:y2, x1:x2] = image[y1 - top : y2 - top, x1 - left : x2 - left]
            boxes.append(own + np.array([left, top, left, top]))
        scale = random.uniform(0.5, 1.5)
        shift = size / 2 + size * random.uniform(-0.1, 0.1, 2)
        matrix = np.array(
            [[scale, 0, shift[0] - scale * size], [0, scale, shift[1] - scale * size]]
        )
        picture = cv2.warpAffine(canvas, matrix, (size, size), borderValue=(GRAY,) * 3)
        found = np.concatenate(boxes) * scale + np.tile(matrix[:, 2], 2)
        np.clip(found, 0, size)
        picture = colors(picture, random)
        return np.ascontiguousarray(picture[:, ::-1] if random.random() < 0.5 else picture)

    return step


def colors(picture, random):
    """Change hue, saturation and value with lookup tables."""
    gains = random.uniform(-1, 1, 3) * (0.015, 0.7, 0.4) + 1
    h, s, v = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV))
    ramp = np.arange(256)
    tables = [
        (ramp * gains[0]) % 180,
        np.clip(ramp * gains[1], 0, 255),
        np.clip(ramp * gains[2], 0, 255),
    ]
    channels = [cv2.LUT(c, t.astype(np.uint8)) for c, t in zip((h, s, v), tables, strict=True)]
    return cv2.cvtColor(cv2.merge(channels), cv2.COLOR_HSV2BGR)


if __name__ == "__main__":
    serve(prepare, clock=time.process_time)
