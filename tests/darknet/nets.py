"""The official cfgs and their reference outputs."""

import json

from tests.shared import shared

from visiongarden.darknet import import_darknet

ZOO = "yolo-fastest-1.1_coco"


def cfg_of(name):
    """An official cfg by its name, AlexeyAB's first."""
    folders = [shared("reference", "darknet", who, "cfg") for who in ("AlexeyAB", "pjreddie")]
    return next(f / f"{name}.cfg" for f in folders if (f / f"{name}.cfg").exists())


def fastest(name, **kwargs):
    """A real net with its COCO-trained weights."""
    folder = shared("reference", "yolo_fastest", "ModelZoo", ZOO)
    return import_darknet(folder / f"{name}.cfg", folder / f"{name}.weights", **kwargs)


def rows_of(path):
    """Per-layer statistics of Darknet's own run."""
    return json.loads(path.read_text())["layers"]


def names():
    text = shared("reference", "yolo_fastest", "ModelZoo", ZOO, "coco.names").read_text()
    return text.split("\n")[:80]
