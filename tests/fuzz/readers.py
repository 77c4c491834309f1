"""The readers of untrusted files, each with small valid files to mutate."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
from tests.fuzz.labeling_tools import sets_of_tools

import visiongarden as vg
from visiongarden.cards import library
from visiongarden.config import load_yaml
from visiongarden.darknet import import_darknet
from visiongarden.data.channels import Channels
from visiongarden.data.decoding import decode
from visiongarden.data.readers import opened, read, splits_of
from visiongarden.data.semantic_samples import read_pixels
from visiongarden.doctor import convert_dataset
from visiongarden.inspect.read_graph import read_graph
from visiongarden.recipes import Recipe, resolve
from visiongarden.storage.header import image_size
from visiongarden.training import Training
from visiongarden.training.building import make_optimizer
from visiongarden.training.checkpoints import newest_checkpoint, write_checkpoint
from visiongarden.training.state import Progress, load_state, take_state
from visiongarden.weights.sources import open_source

CFG = """[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky
[maxpool]
size=3
stride=1
[route]
layers=-1,-2
[upsample]
stride=2
[convolutional]
filters=14
size=1
stride=1
activation=linear
[yolo]
mask=0,1
anchors=2,2, 8,8, 16,16
classes=2
num=3
"""


@dataclass(frozen=True)
class Reader:
    """A reader, and the files that it reads.

    Attributes:
        files: name -> bytes, all below one folder.
        targets: the files that are changed.
        read: takes the folder.
    """

    files: dict[str, bytes]
    targets: tuple[str, ...]
    read: Callable[[Path], object]


def all_readers(folder: Path, torch: bool = False) -> dict[str, Reader]:
    """Name -> reader; `folder` is for making the files."""
    found = _data_sets(folder) | _images() | _models(folder) | _weights(folder) | _settings()
    if torch:
        found["pth"] = _pth()
    return found


def _png(value: int = 90, size: tuple[int, int] = (40, 48)) -> bytes:
    image = np.random.default_rng(value).integers(0, 255, (*size, 3)).astype(np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


def _mask() -> bytes:
    mask = np.zeros((40, 48), np.uint8)
    mask[5:20, 5:20] = 1
    return cv2.imencode(".png", mask)[1].tobytes()


_READERS = {
    "coco": "COCO",
    "yolo": "YOLO",
    "yolo_pose": "YOLO",
    "yolo_rotated": "YOLO",
    "voc": "VOC",
    "csv": "CSV",
    "folders": "ClassFolders",
    "masks": "MaskFolders",
}
"""Reader of each generated dataset."""


def _data_sets(folder: Path) -> dict[str, Reader]:
    coco = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": 40, "width": 48} for i in range(2)
        ],
        "categories": [
            {"id": 3, "name": "a", "keypoints": ["left", "right"], "skeleton": [[1, 2]]},
            {"id": 7, "name": "b"},
        ],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 3, "bbox": [1, 2, 9, 9], "area": 81.0,
             "iscrowd": 0, "segmentation": [[1, 2, 10, 2, 10, 11]],
             "keypoints": [2, 3, 2, 0, 0, 0], "num_keypoints": 1},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 48, 40], "iscrowd": 1,
             "segmentation": {"size": [40, 48], "counts": [0, 1920]}},
            {"id": 3, "image_id": 1, "category_id": 7, "bbox": [0, 0, 48, 40], "iscrowd": 0,
             "segmentation": {"size": [40, 48], "counts": "0Pl1"}},
        ],
    }  # fmt: skip
    pictures = {"0.png": _png(0), "1.png": _png(1)}
    sets: dict[str, dict[str, bytes]] = {
        "coco": {"train.json": json.dumps(coco).encode()} | pictures,
        "yolo": {
            "data.yaml": b"path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames: [a, b]\n",
            "images/train/0.png": _png(0),
            "labels/train/0.txt": b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.4 0.1 0.4 0.4\n",
            "images/val/1.png": _png(1),
            "labels/val/1.txt": b"1 0.5 0.5 1 1\n",
        },
        "yolo_pose": {
            "data.yaml": b"train: images\nnames: [a]\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\n",
            "images/0.png": _png(0),
            "labels/0.txt": b"0 0.5 0.5 0.2 0.2 0.4 0.5 2 0 0 0\n",
        },
        "yolo_rotated": {
            "data.yaml": b"train: images\nnames: [a]\n",
            "images/0.png": _png(0),
            "labels/0.txt": b"0 0.5 0.2 0.75 0.5 0.5 0.8 0.25 0.5\n",
        },
        "voc": {
            "Annotations/0.xml": b"<annotation><filename>0.png</filename><size><width>48</width>"
            b"<height>40</height></size><object><name>a</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
            b"<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>\n",
            "ImageSets/Main/train.txt": b"0\n",
            "classes.txt": b"a\nb\n",
            "JPEGImages/0.png": _png(0),
        },
        "csv": {
            "annotations.csv": b"path,x1,y1,x2,y2,class,split,width\n0.png,1,2,9,9,a,train,48\n"
            b'"1.png",1,2,9.5,9,b,val,48\n1.png,,,,,,val,48\n',
        }
        | pictures,
        "folders": {
            f"{split}/{name}/{i}.png": _png(i)
            for split in ("train", "val")
            for i, name in enumerate("ab")
        }
        | {"classes.txt": b"a\nb\n"},
        "masks": {"classes.yaml": b"classes: {a: 0, b: 1}\nignore: [255]\n"}
        | {f"images/{s}/0.png": _png(0) for s in ("train", "val")}
        | {f"masks/{s}/0.png": _mask() for s in ("train", "val")},
    }  # fmt: skip
    tools = sets_of_tools(_png, _mask())
    found = {}
    for name, files in (sets | tools).items():
        labels = [n for n in files if not n.endswith(".png")]
        targets = (*labels * 3, *[n for n in files if n.startswith("masks/")])
        found[name] = Reader(files, targets, _set_reader(_READERS.get(name, name)))
    _write(folder / "coco", sets["coco"])
    convert_dataset(folder / "coco", folder / "records", format="arrayrecord")
    shards = {p.name: p.read_bytes() for p in (folder / "records").iterdir()}
    found["arrayrecord"] = Reader(shards, tuple(shards), _set_reader("ArrayRecord"))
    packed, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, raw in sets["coco"].items():
            archive.writestr(name, raw)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name, raw in sets["yolo"].items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    for name, file, raw in (("zip", "d.zip", packed), ("tar", "d.tar", tarred)):
        found[name] = Reader({file: raw.getvalue()}, (file,), _set_reader("auto", file))
    return found


def _set_reader(reader: str, file: str = "") -> Callable[[Path], object]:
    def read_all(folder: Path) -> None:
        path = folder / file
        root, known = opened(path, reader)
        for split in splits_of(root, known)[:3]:
            dataset = read(path, reader=known, split=split)
            for index in range(min(len(dataset), 2)):
                dataset.load(index)

    return read_all


def _images() -> dict[str, Reader]:
    image = np.random.default_rng(0).integers(0, 255, (40, 48, 3)).astype(np.uint8)
    found = {}
    for suffix in ("jpg", "png", "bmp", "webp", "tiff"):
        raw = cv2.imencode(f".{suffix}", image)[1].tobytes()
        file = f"x.{suffix}"
        found[suffix] = Reader({file: raw}, (file,), _image_reader(file, decode, image_size))
    array = io.BytesIO()
    np.save(array, np.dstack([image, image]).astype(np.uint16))
    found["npy"] = Reader({"x.npy": array.getvalue()}, ("x.npy",), _channels_reader("x.npy"))
    with contextlib.suppress(ImportError):
        found["tiff_many"] = _tiff_of_many_channels(np.dstack([image, image]))
    found["mask_png"] = Reader({"x.png": _mask()}, ("x.png",), _image_reader("x.png", read_pixels))
    gray = cv2.imencode(".tiff", image[..., 0])[1].tobytes()
    found["mask_tiff"] = Reader({"x.tiff": gray}, ("x.tiff",), _image_reader("x.tiff", read_pixels))
    return found


def _tiff_of_many_channels(image: np.ndarray) -> Reader:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(
        stream, image, photometric="minisblack", planarconfig="contig", compression="zlib",
        tile=(16, 16), predictor=2,
    )  # fmt: skip
    return Reader({"x.tif": stream.getvalue()}, ("x.tif",), _channels_reader("x.tif"))


def _channels_reader(file: str) -> Callable[[Path], object]:
    return _image_reader(file, Channels().decode, Channels().layout, image_size)


def _image_reader(file: str, *reads: Callable[[Path], object]) -> Callable[[Path], object]:
    def read_all(folder: Path) -> None:
        for each in reads:
            each(folder / file)

    return read_all


def _detector() -> keras.Model:
    return vg.Detector(
        backbone=vg.backbones.CSPDarknet(width=0.125, depth=0.33),
        decoder=vg.decoders.FPN(channels=8),
        head=vg.heads.AnchorFree(num_classes=2),
        image_size=(64, 64),
        class_map=vg.ClassMap(("a", "b")),
    )


def _models(folder: Path) -> dict[str, Reader]:
    model = _detector()
    model.save(folder / "m.keras")
    plain = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.ReLU()]
    )
    plain.save(folder / "plain.keras")
    raw, other = (folder / "m.keras").read_bytes(), (folder / "plain.keras").read_bytes()
    optimizer = make_optimizer(Training(epochs=2), 3)
    optimizer.build(model.trainable_variables)
    progress = Progress(epoch=1, history=[{"epoch": 1, "loss": 0.5}])
    write_checkpoint(folder, take_state(progress, model, optimizer))
    state = (folder / "resume.npz").read_bytes()
    return {
        "keras": Reader({"m.keras": raw}, ("m.keras",), lambda f: vg.load(f / "m.keras")),
        "keras_weights": Reader({"m.keras": raw}, ("m.keras",), _weights_reader("m.keras")),
        "keras_plain": Reader(
            {"m.keras": other}, ("m.keras",), lambda f: read_graph(f / "m.keras")
        ),
        "resume": Reader(
            {"resume.npz": state},
            ("resume.npz",),
            lambda f: load_state(newest_checkpoint(f), {}, model, optimizer),
        ),
    }


def _weights_reader(file: str) -> Callable[[Path], object]:
    def read_all(folder: Path) -> None:
        with open_source(folder / file) as source:
            source.verify()
            for stored in source.weights:
                np.asarray(stored.read()).sum()

    return read_all


def _weights(folder: Path) -> dict[str, Reader]:
    from safetensors.numpy import save_file

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    model.save_weights(folder / "x.weights.h5")
    save_file({"a.weight": np.ones((3, 4), np.float32), "b": np.ones(2)}, folder / "x.safetensors")
    darknet = struct.pack("<iiiq", 0, 2, 5, 0) + bytes(4 * (4 * 4 + 4 * 27 + 14 + 14 * 8))
    found = {
        "darknet": Reader(
            {"x.cfg": CFG.encode(), "x.weights": darknet},
            ("x.cfg", "x.cfg", "x.cfg", "x.weights"),
            lambda f: import_darknet(f / "x.cfg", f / "x.weights"),
        )
    }
    for file in ("x.weights.h5", "x.safetensors"):
        raw = (folder / file).read_bytes()
        found[file[2:]] = Reader({file: raw}, (file,), _weights_reader(file))
    with contextlib.suppress(ImportError):
        found["onnx"] = _onnx()
    return found


def _onnx() -> Reader:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node(
            "Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=1
        ),
        helper.make_node("LeakyRelu", ["c"], ["r"], alpha=0.1),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Split", ["p"], ["s", "t"], axis=1),
        helper.make_node("Concat", ["s", "t"], ["y"], axis=1),
        helper.make_node("Resize", ["y", "", "k"], ["z"], mode="nearest"),
    ]
    values = [("w", np.ones((4, 3, 3, 3), np.float32)), ("k", np.array([1, 1, 2, 2], np.float32))]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in values],
    )  # fmt: skip
    raw = helper.make_model(graph).SerializeToString()
    return Reader({"x.onnx": raw}, ("x.onnx",), lambda f: read_graph(f / "x.onnx"))


def _pth() -> Reader:
    import torch

    stream = io.BytesIO()
    torch.save({"a.weight": torch.ones(3, 4), "b": torch.ones(2, dtype=torch.bfloat16)}, stream)
    return Reader({"x.pth": stream.getvalue()}, ("x.pth",), _weights_reader("x.pth"))


def _settings() -> dict[str, Reader]:
    recipe = b"""model:
  backbone: {type: CSPDarknet, width: 0.25, depth: 0.33}
  decoder: {type: FPN, channels: 16}
  head: {type: AnchorFree, num_classes: 2}
  image_size: [64, 64]
data: {path: set, reader: COCO}
transforms: [{type: Mosaic, probability: 0.5}, HorizontalFlip]
training: {epochs: 2, batch_size: 4, optimizer: {learning_rate: 0.001}}
"""
    card = next(p for p in sorted(library.FOLDER.glob("*.yaml")) if "sizes" in p.read_text())

    def resolved(folder: Path) -> None:
        fields = load_yaml(folder / "recipe.yaml")
        Recipe.from_dict(fields)
        resolve(folder / "recipe.yaml")

    return {
        "recipe": Reader({"recipe.yaml": recipe}, ("recipe.yaml",), resolved),
        "card": Reader(
            {"card.yaml": card.read_bytes()},
            ("card.yaml",),
            lambda f: library.read(f / "card.yaml"),
        ),
    }


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, raw in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)


__all__ = ["Reader", "all_readers", "read"]
