"""Stand-in for albumentations 2.0.8 with the same interface, for tests without the package.

Boxes are normalized, clipped and filtered as there, and coordinates of keypoints are those of
centers of pixels.
"""

import os
import random

import numpy as np

UPDATES_WERE_OFF = os.environ.get("NO_ALBUMENTATIONS_UPDATE") == "1"


class BboxParams:
    def __init__(self, format, label_fields=None, min_area=0.0, min_visibility=0.0, min_width=0.0,
                 min_height=0.0, check_each_transform=True, clip=False):  # fmt: skip
        assert format == "pascal_voc"
        assert not check_each_transform
        assert not clip
        self.label_fields, self.limits = label_fields, (min_area, min_visibility)
        self.sides = (min_width, min_height)


class KeypointParams:
    def __init__(self, format, label_fields=None, remove_invisible=True, check_each_transform=True):
        assert format == "xy"
        assert label_fields == ["points"]
        assert not remove_invisible


class _Transform:
    def __init__(self, p=0.5):
        self.p = p
        self.set_random_state(np.random.default_rng(), random.Random())

    def set_random_state(self, generator, py_random):
        self.random_generator, self.py_random = generator, py_random

    def __call__(self, **data):
        return self.change(data) if self.py_random.random() < self.p else data

    def to_dict(self):
        return {"__version__": "2.0.8", "transform": self.to_dict_private()}

    def to_dict_private(self):
        fields = {name: value for name, value in vars(self).items() if "random" not in name}
        return {"__class_fullname__": type(self).__name__, **fields}


class HorizontalFlip(_Transform):
    def change(self, data):
        width = data["image"].shape[1]
        boxes, points = data["bboxes"].copy(), data["keypoints"].copy()
        boxes[:, [0, 2]] = 1 - data["bboxes"][:, [2, 0]]
        points[:, 0] = width - 1 - points[:, 0]
        flipped = {"masks": data["masks"][:, :, ::-1], "image": data["image"][:, ::-1].copy()}
        if "mask" in data:
            flipped["mask"] = data["mask"][:, ::-1]
        return {**data, **flipped, "bboxes": boxes, "keypoints": points}


class Crop(_Transform):
    def __init__(self, x_min=0, y_min=0, x_max=1024, y_max=1024, p=1.0):
        super().__init__(p)
        self.x_min, self.y_min, self.x_max, self.y_max = x_min, y_min, x_max, y_max

    def change(self, data):
        height, width = data["image"].shape[:2]
        rows, columns = slice(self.y_min, self.y_max), slice(self.x_min, self.x_max)
        sides = np.array([width, height] * 2, float)
        shift = np.array([self.x_min, self.y_min])
        new = np.array([self.x_max - self.x_min, self.y_max - self.y_min] * 2, float)
        boxes = data["bboxes"].copy()
        boxes[:, :4] = (boxes[:, :4] * sides - np.tile(shift, 2)) / new
        cropped = {"masks": data["masks"][:, rows, columns], "image": data["image"][rows, columns]}
        if "mask" in data:
            cropped["mask"] = data["mask"][rows, columns]
        points = data["keypoints"].copy()
        points[:, :2] -= shift
        return {**data, **cropped, "bboxes": boxes, "keypoints": points}


class GaussNoise(_Transform):
    def change(self, data):
        noise = self.random_generator.normal(0, 20, data["image"].shape)
        return {**data, "image": np.clip(data["image"] + noise, 0, 255).astype(np.uint8)}


class ToFloat(_Transform):
    def change(self, data):
        return {**data, "image": np.float32(data["image"]) / 255}


class Fails(_Transform):
    def change(self, data):
        raise RuntimeError("no such mode")


class Sequential(_Transform):
    def __init__(self, transforms, p=0.5):
        self.transforms = list(transforms)
        super().__init__(p)

    def set_random_state(self, generator, py_random):
        super().set_random_state(generator, py_random)
        for transform in self.transforms:
            transform.set_random_state(generator, py_random)

    def change(self, data):
        for transform in self.transforms:
            data = transform(**data)
        return data

    def to_dict_private(self):
        inner = [each.to_dict_private() for each in self.transforms]
        return {"__class_fullname__": type(self).__name__, "p": self.p, "transforms": inner}


class Compose(Sequential):
    def __init__(self, transforms, bbox_params=None, keypoint_params=None, p=1.0):
        self.bbox_params = bbox_params
        super().__init__(transforms, p)

    def __call__(self, **data):
        if self.bbox_params is None:
            return super().__call__(**data)
        assert self.bbox_params.label_fields == ["rows"]
        sides = np.array([data["image"].shape[1], data["image"].shape[0]] * 2, float)
        boxes = data["bboxes"].astype(float) / sides
        if (boxes < 0).any() or (boxes > 1).any() or (boxes[:, 2:] <= boxes[:, :2]).any():
            raise ValueError("a box is not valid")
        boxes = np.column_stack([boxes, data.pop("rows")])
        data = {**data, "bboxes": boxes, "masks": np.stack(data["masks"])}
        data = super().__call__(**data)
        sides = np.array([data["image"].shape[1], data["image"].shape[0]] * 2, float)
        boxes = np.clip(data["bboxes"][:, :4], 0, 1) * sides
        width, height = (boxes[:, 2:] - boxes[:, :2]).T
        min_width, min_height = self.bbox_params.sides
        kept = (width >= min_width) & (height >= min_height) & (width * height > 0)
        return {**data, "bboxes": boxes[kept], "rows": data["bboxes"][kept, 4].tolist()}


def from_dict(config):
    fields = dict(config["transform"])
    cls = globals()[fields.pop("__class_fullname__")]
    if "transforms" in fields:
        fields["transforms"] = [from_dict({"transform": each}) for each in fields["transforms"]]
    known = ("p", "transforms", "x_min", "y_min", "x_max", "y_max")
    return cls(**{name: value for name, value in fields.items() if name in known})
