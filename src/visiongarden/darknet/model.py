"""`DarknetModel`: a network that a cfg describes, as a plain Keras graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import keras
import numpy as np

from visiongarden.backends.keras_internals import dtype_policy
from visiongarden.darknet.cfg import Cfg, parse_cfg
from visiongarden.darknet.decode import DarknetDecode
from visiongarden.darknet.draw import EPSILON, draw, name_of, vector
from visiongarden.darknet.geometry import HEADS, Step, geometry, image_shape, values_of
from visiongarden.darknet.nms import DarknetNms
from visiongarden.darknet.place import Manner, centred, letterboxed, stretched
from visiongarden.darknet.weights import Header
from visiongarden.data import ValueRange, to_pixels
from visiongarden.errors import ModelFileError, UserError
from visiongarden.models.files import SavedAsParts
from visiongarden.registry import register
from visiongarden.types import ClassMap, Detections, ImageSize, Placement


@register
class DarknetModel(SavedAsParts, keras.Model):
    """Image -> what Darknet's prediction layers give, drawn layer by layer from a cfg.

    Takes (batch, height, width, channels) images, float RGB from 0 to 1. A detector returns a dict,
    name of the [yolo] or [region] layer -> (batch, rows, columns, anchors * n), as Darknet's own
    layer has it, channels last; another network returns the vector (batch, n) or the map of its
    last layer. Weights have paths such as `layer036_conv/kernel`.

    Args:
        cfg: a parsed cfg, or its path or text.
        image_size: (height, width) instead of the cfg's own.
        class_map: names of the classes; written into the file.
        dtype: Keras dtype policy of every layer; None takes the one in force.
        epsilon: what batch normalisation adds to the variance; 1e-6 gives OpenCV's numbers.
        empty: kernels of 0, for weights that follow at once.
        name: of the model.

    Raises:
        ModelFileError: the cfg is not sound, or asks for what is not supported.
    """

    task: ClassVar[str] = "detection"

    def __init__(
        self,
        cfg: Cfg | str | Path,
        image_size: ImageSize | None = None,
        class_map: ClassMap | Sequence[str] | None = None,
        dtype: str | None = None,
        epsilon: float = EPSILON,
        empty: bool = False,
        name: str | None = None,
    ) -> None:
        cfg = cfg if isinstance(cfg, Cfg) else parse_cfg(cfg)
        size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        steps = geometry(cfg, size)
        values_of(steps)
        heads = tuple(step for step in steps if step.kind in HEADS)
        classes = _class_map(class_map, heads)
        with dtype_policy(dtype):
            image = keras.Input(image_shape(cfg, size), name="images")
            drawing = draw(steps, image, empty, epsilon)
            super().__init__(image, _outputs(steps, heads, drawing.outputs), name=name)
        self.cfg, self.steps, self.heads = cfg, steps, heads
        self.image_size: ImageSize = image_shape(cfg, size)[:2]
        self.class_map = classes
        self.layer_outputs = tuple(drawing.outputs)
        self.slots = tuple(drawing.slots)
        self.header = Header()
        self._given_size, self._epsilon = size, epsilon

    @property
    def every_layer(self) -> keras.Model:
        """The same network, giving the output of each layer of the cfg, to compare or to reuse."""
        return keras.Model(self.inputs, list(self.layer_outputs), name="every_layer")

    def decode(self) -> DarknetDecode:
        """What turns the outputs into boxes and scores: `decode(raw, image_size)`."""
        if not self.heads:
            raise UserError(f"{self.cfg.file} predicts no boxes", rule=f"one of {', '.join(HEADS)}")
        return DarknetDecode(self.heads)

    def place(
        self,
        image: np.ndarray,
        manner: Manner = "scripts",
        value_range: ValueRange | None = None,
    ) -> tuple[np.ndarray, Placement]:
        """The image as the network wants it, and where it lies there.

        Stretched to the network's size; with `letter_box=1` in the cfg, on a grey canvas.

        Args:
            image: what `visiongarden.data.to_pixels` takes, as uint8 RGB (height, width, 3).
            manner: of resizing: by OpenCV, as Darknet's scripts do, or as its program does.
            value_range: of arrays whose values are in another range, as (0, 1).
        """
        image = _coloured(to_pixels(image, value_range), self.inputs[0].shape[-1])
        place = letterboxed if self.cfg.net.flag("letter_box") else stretched
        return place(image, self.image_size, manner)

    def detect(
        self,
        image: Any,
        score: float = 0.25,
        overlap: float = 0.45,
        clip: bool = False,
        manner: Manner = "scripts",
        value_range: ValueRange | None = None,
    ) -> Detections:
        """Detections as Darknet finds them, in pixels of the image, best first.

        Args:
            image: a file, a Pillow image or an array; see `visiongarden.data.to_pixels`.
            score: scores have to be above it; Darknet's `-thresh`.
            overlap: a box whose IoU with a better one of its class is above it is left out.
            clip: cut the boxes at the image's border, which Darknet does only for COCO's JSON.
            manner: "scripts" as Darknet's Python scripts: OpenCV's resizing, plain IoU; "program"
                as `darknet detector test`: its own resizing, and the cfg's kind of overlap.
            value_range: of arrays whose values are in another range, as (0, 1).

        Raises:
            UserError: the network predicts no boxes, or the image is not sound.
            DataError: the file cannot be decoded.
        """
        self.decode()  # a network without boxes is refused before the image is read
        pixels = to_pixels(image, value_range)
        candidates = self.candidates(pixels, manner)
        size = (pixels.shape[0], pixels.shape[1])
        return self.suppressed(*candidates, size, score, overlap, clip, manner)

    def candidates(
        self, image: np.ndarray, manner: Manner = "scripts"
    ) -> tuple[np.ndarray, np.ndarray]:
        """All boxes (n, 4) in shares of the image's sides, and their scores (n, classes).

        Args:
            image: uint8 RGB (height, width, 3).
            manner: of resizing.
        """
        canvas, placement = self.place(image, manner)
        boxes, scores = self.decode()(self.predict_on_batch(canvas[None]), self.image_size)
        boxes, scores = (keras.ops.convert_to_numpy(each)[0] for each in (boxes, scores))
        whole = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        return placement.undo(boxes) / whole, scores

    def suppressed(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        size: ImageSize,
        score: float = 0.25,
        overlap: float = 0.45,
        clip: bool = False,
        manner: Manner = "scripts",
    ) -> Detections:
        """What `detect` makes of `candidates`; `size` is (height, width) of the image."""
        kind = self.heads[-1].settings if manner == "program" else {}
        whole = np.array([size[1], size[0]] * 2, np.float32)
        found = DarknetNms.of(kind, score, overlap)(boxes, scores)
        found.boxes *= whole
        if clip:
            found.boxes = np.clip(found.boxes, 0, whole)
        return found

    def classify(self, image: Any, value_range: ValueRange | None = None) -> np.ndarray:
        """Scores (classes,) of the middle of the image, as `darknet classifier predict` has them.

        Args:
            image: a file, a Pillow image or an array; see `visiongarden.data.to_pixels`.
            value_range: of arrays whose values are in another range, as (0, 1).
        """
        if self.heads:
            raise UserError(f"{self.cfg.file} predicts boxes", fix="model.detect(image)")
        pixels = to_pixels(image, value_range)
        canvas = centred(_coloured(pixels, self.inputs[0].shape[-1]), self.image_size)
        scores: np.ndarray = keras.ops.convert_to_numpy(self.predict_on_batch(canvas[None]))[0]
        return scores

    def get_config(self) -> dict[str, Any]:
        """The cfg itself, the image size and the classes; no layer is written."""
        classes = self.class_map
        return {
            "name": self.name,
            "cfg": self.cfg.text,
            "file": self.cfg.file,
            "image_size": self._given_size,
            "class_map": classes and {"names": list(classes.names), "ids": list(classes.ids)},
            "dtype": self.dtype_policy.name,
            "epsilon": self._epsilon,
            "header": [*self.header.version, self.header.seen],
            **self.trainable_config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The model that `get_config` described, with new weights."""
        classes, header = config.get("class_map"), config.get("header", (0, 2, 5, 0))
        text = config.get("cfg")
        if not isinstance(text, str):
            raise ModelFileError("the model's config holds no cfg")
        model = cls(
            parse_cfg("\n" * ("\n" not in text) + text, file=str(config.get("file"))),
            image_size=config.get("image_size"),
            class_map=classes and ClassMap(tuple(classes["names"]), tuple(classes["ids"])),
            dtype=config.get("dtype"),
            epsilon=float(config.get("epsilon", EPSILON)),
            name=config.get("name"),
        )
        major, minor, revision, seen = (int(n) for n in header)
        model.header = Header((major, minor, revision), seen)
        return model.freeze_as(config)


def _coloured(image: np.ndarray, channels: int) -> np.ndarray:
    if channels == 3 or image.ndim != 3 or image.shape[2] != 3:
        return image
    if channels == 1:  # as the library does that reads Darknet's images
        grey = image.astype(np.int64) @ np.array([77, 150, 29]) >> 8
        return grey.astype(np.uint8)[..., None]
    raise UserError(
        f"the network takes {channels} channels", rule="images have 3", received=f"{image.shape}"
    )


def _outputs(steps: Sequence[Step], heads: Sequence[Step], tensors: Sequence[Any]) -> Any:
    if heads:
        # What nobody reads (embeddings that only training compares) keeps its weights as an output.
        read = {index for step in steps for index in step.inputs}
        loose = [s for s in steps if s.index not in read and s not in heads]
        return {name_of(step): tensors[step.index] for step in (*heads, *loose)}
    last, x = steps[-1], tensors[-1]
    return vector(x, "result") if last.shape[:2] == (1, 1) else x


def _class_map(classes: ClassMap | Sequence[str] | None, heads: Sequence[Step]) -> ClassMap | None:
    counts = {step.settings["classes"] for step in heads}
    if len(counts) > 1:
        raise heads[-1].section.fault("classes", "the prediction layers differ in their classes")
    if classes is None:
        return None
    found = classes if isinstance(classes, ClassMap) else ClassMap(tuple(classes))
    if counts and counts != {len(found)}:
        raise ModelFileError(
            f"{heads[0].section.file} has other classes than those named",
            rule=f"classes={counts.pop()}",
            received=f"{len(found)} names",
        )
    return found
