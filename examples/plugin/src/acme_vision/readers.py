"""Reader of JSON lines with boxes."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import visiongarden as vg
from visiongarden.errors import DataError
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample


@vg.register
class BoxLines(vg.data.Reader):
    """Reader of `<split>.boxes.jsonl`: one line with the image and its boxes, for each image.

    `{"image": "a.png", "boxes": [{"name": "rose", "at": [4, 6, 20, 26]}]}`

    Attributes:
        class_names: Names of the classes in the order of the model's outputs.
    """

    class_names: tuple[str, ...] = ("rose", "tulip")

    files: ClassVar[str] = "train.boxes.jsonl beside the images"
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})
    # A small dataset, with which `check` reads.
    examples: ClassVar[dict[str, Any]] = {
        "files": {
            "train.boxes.jsonl": """
{"image": "a.png", "boxes": [{"name": "rose", "at": [1, 2, 9, 8]}]}
{"image": "b.png", "boxes": []}
""".lstrip(),
            "val.boxes.jsonl": '{"image": "c.png", "boxes": []}\n',
            "a.png": (16, 24),  # height and width of an image
            "b.png": (16, 24),
            "c.png": (16, 24),
        }
    }

    def matches(self, source: Any) -> float:
        """Return 0.9 for a folder with such files; nothing is parsed."""
        return 0.9 if any(source.root.glob("*.boxes.jsonl")) else 0.0

    def splits(self, source: Any) -> tuple[str, ...]:
        """Return the names of the files without their suffix."""
        suffix = ".boxes.jsonl"
        return tuple(sorted(f.name.removesuffix(suffix) for f in source.root.glob(f"*{suffix}")))

    def read(self, source: Any, split: str) -> Any:
        """Return the images of one file; wrong lines are collected with their number."""
        class_map = vg.ClassMap(source.class_names or self.class_names)
        file = source.root / f"{split}.boxes.jsonl"
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not UTF-8", received=str(error)) from error
        samples: list[Sample] = []
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                image = source.root / entry["image"]
                size = vg.data.image_size(image)
                info = ImageInfo(len(samples), image, size)
                boxes = Boxes([box["at"] for box in entry["boxes"]])
                classes = [class_map.by_name[box["name"]] for box in entry["boxes"]]
                samples.append(Sample(info, instances=Instances(size, boxes, classes)))
            except (KeyError, TypeError, ValueError) as error:
                what = f"not an image with boxes: {type(error).__name__} {error}"
                source.errors.add(f"{file}:{number}", what)
        return vg.data.Dataset(class_map, samples, split)
