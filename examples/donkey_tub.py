"""Read a tub of donkeycar: camera images with the driver's steering and throttle."""

import json

import numpy as np

import visiongarden as vg
from visiongarden.samples import ImageInfo, Sample

PARTS = {"train": (0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1)}
"""Fractions of the drive. Neighboring images are nearly equal, so no hash may divide them."""

LABELS = vg.types.LabelMap(("angle", "throttle"))


@vg.register
class DonkeyTub(vg.data.Reader):
    """Reader of `tub/catalog_0.catalog`, one JSON object per line, beside `tub/images/*.jpg`."""

    files = "tub/catalog_0.catalog beside tub/images/*.jpg"

    def matches(self, source):
        return 0.9 if (source.root / "tub" / "catalog_0.catalog").is_file() else 0.0

    def splits(self, source):
        return tuple(PARTS)

    def read(self, source, split):
        tub = source.root / "tub"
        rows = (tub / "catalog_0.catalog").read_text().splitlines()
        first, last = (round(len(rows) * share) for share in PARTS[split])
        samples = []
        for index, row in enumerate(map(json.loads, rows[first:last])):
            image = tub / "images" / row["cam/image_array"]
            info = ImageInfo(index, image, vg.data.image_size(image))
            labels = np.array([row["user/angle"], row["user/throttle"]], np.float32)
            samples.append(Sample(info, labels=labels))
        return vg.data.Dataset(vg.ClassMap(LABELS.names), samples, split, label_map=LABELS)
