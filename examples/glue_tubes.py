"""Read the glue tubes of keypoint_rcnn_training_pytorch: boxes with two keypoints each."""

import json

import numpy as np

import visiongarden as vg
from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Sample


@vg.register
class GlueTubes(vg.data.Reader):
    """Reader of `train/` and `test/`, each with `images/*.jpg` and `annotations/*.json`."""

    files = "train/annotations/*.json beside train/images/*.jpg"

    def matches(self, source):
        return 0.8 if any(source.root.glob("*/annotations/*.json")) else 0.0

    def splits(self, source):
        return tuple(sorted(file.parent.name for file in source.root.glob("*/annotations")))

    def read(self, source, split):
        samples = []
        for index, image in enumerate(sorted((source.root / split / "images").iterdir())):
            file = source.root / split / "annotations" / f"{image.stem}.json"
            rows, size = json.loads(file.read_text()), vg.data.image_size(image)
            points = np.array(rows["keypoints"], float).reshape(-1, 2, 3)
            points[..., 2] *= 2  # 1 is a visible point here, and 2 is one in COCO
            objects = Instances(
                size,
                Boxes(rows["bboxes"]),
                classes=[0] * len(points),
                keypoints=Keypoints(points, ("head", "tail"), pairs=(), skeleton=[(0, 1)]),
            )
            samples.append(Sample(ImageInfo(index, image, size), instances=objects))
        return vg.data.Dataset(vg.ClassMap(("glue tube",)), samples, split)
