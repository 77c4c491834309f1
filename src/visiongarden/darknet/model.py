"""`DarknetModel`: the network described by a Darknet cfg, as a functional Keras model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from visiongarden import markup
from visiongarden.backends.precision import dtype_policy
from visiongarden.darknet.build import EPSILON, build_graph, name_of, vector
from visiongarden.darknet.cfg import Cfg, parse_cfg
from visiongarden.darknet.decode import DarknetDecode
from visiongarden.darknet.geometry import HEADS, Step, geometry, image_shape, values_of
from visiongarden.darknet.nms import DarknetNms
from visiongarden.darknet.resize import (
    DarknetResize,
    ResizeMode,
    centered,
    letterboxed,
    stretched,
)
from visiongarden.darknet.weights import Header
from visiongarden.data import Preprocessing, ValueRange, to_pixels
from visiongarden.data.image_of import ImageOf
from visiongarden.data.model_pixels import pixels_for
from visiongarden.errors import ModelFileError, UserError
from visiongarden.models.files import SavedAsParts
from visiongarden.models.infer import infer
from visiongarden.models.notebook import facts
from visiongarden.models.preprocessed import image_input, read_preprocessing
from visiongarden.postprocess import Rank
from visiongarden.registry import register
from visiongarden.samples import Boxes, Instances
from visiongarden.types import ClassMap, ImageSize, Placement, Ranking


@register
class DarknetModel(SavedAsParts, keras.Model):
    """Model with the layers of a Darknet cfg.

    The model takes images of shape (batch, height, width, channels), pixel values from 0 to 255,
    which its first layer scales to 0 to 1 as Darknet does. A detector returns a dict from the name
    of each [yolo], [Gaussian_yolo] or [region] layer to its output, of shape (batch, rows, columns,
    anchors * n): the output of Darknet's layer, but channels last; for [detection] (YOLOv1) it is a
    vector. Any other network returns the output of its last layer, as a vector (batch, n) or a
    feature map. Paths of weights look like `layer036_conv/kernel`.

    Args:
        cfg: A parsed cfg, or its path or text.
        image_size: (height, width) in pixels, which replaces the size in the cfg.
        class_map: Class map, or a sequence of class names; it is saved with the model.
        dtype: Keras dtype policy of every layer; None uses the global policy.
        epsilon: Constant that batch normalization adds to the variance. The default is Darknet's;
            1e-6 reproduces OpenCV, whose outputs differ by up to 0.03 on small real networks.
        empty: Whether to initialize kernels with zeros, which saves time if weights are assigned
            afterwards.
        name: Name of the model.

    Raises:
        ModelFileError: If the cfg is invalid, or requires a feature that is not supported.

    Example:
        >>> cfg = "[net]\\nwidth=32\\nheight=32\\n[conv]\\nfilters=8\\nsize=3\\npad=1\\nstride=2"
        >>> vg.DarknetModel(cfg).output_shape
        (None, 16, 16, 8)
    """

    task: str = "detection"

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
            *input_size, channels = image_shape(cfg, size)
            preprocessing = Preprocessing(channels=channels)
            images, preprocessed = image_input(preprocessing, (input_size[0], input_size[1]))
            graph = build_graph(steps, preprocessed, empty, epsilon)
            super().__init__(images, _outputs(steps, heads, graph.outputs), name=name)
        self.cfg, self.steps, self.heads = cfg, steps, heads
        if not heads and len(self.outputs[0].shape) == 2:
            self.task = "classification"
        self.image_size: ImageSize = image_shape(cfg, size)[:2]
        self.class_map, self.preprocessing = classes, preprocessing
        self.layer_outputs = tuple(graph.outputs)
        self.slots = tuple(graph.slots)
        self.header = Header()
        self._size_argument, self._epsilon = size, epsilon

    @property
    def every_layer(self) -> keras.Model:
        """Build a model on the same layers that returns the output of every layer of the cfg."""
        return keras.Model(self.inputs, list(self.layer_outputs), name="every_layer")

    def decode(self) -> DarknetDecode:
        """Return the function that decodes the model's outputs to boxes and scores.

        Raises:
            UserError: If the network predicts no boxes.
        """
        if not self.heads:
            raise UserError(
                f"{self.cfg.file} predicts no boxes", rule=f"a layer of type {', '.join(HEADS)}"
            )
        return DarknetDecode(self.heads)

    @property
    def resize(self) -> DarknetResize:
        """How images are brought to the network's size, see `place` and `class_scores`."""
        if not self.heads:
            return DarknetResize(method="crop")
        is_letterbox = self.cfg.net.flag("letter_box")
        return DarknetResize(method="letterbox" if is_letterbox else "stretch")

    def place(
        self,
        image: np.ndarray,
        mode: ResizeMode = "scripts",
        value_range: ValueRange | None = None,
    ) -> tuple[np.ndarray, Placement]:
        """Resize an image to the network's input size.

        The image is stretched, or letterboxed if the cfg contains `letter_box=1`.

        Args:
            image: An image that `visiongarden.data.to_pixels` accepts, such as a uint8 RGB array
                of shape (height, width, 3).
            mode: Resizing mode: "scripts" resizes with OpenCV as Darknet's Python scripts do,
                "program" with the arithmetic of Darknet's program.
            value_range: Value range of arrays that do not use 0 to 255, such as (0, 1).

        Returns:
            A float32 array of shape (height, width, channels) with values from 0 to 255,
            and the placement of the image in it.
        """
        image = self._pixels(image, value_range)
        place = letterboxed if self.cfg.net.flag("letter_box") else stretched
        return place(image, self.image_size, mode)

    def _pixels(self, image: Any, value_range: ValueRange | None) -> np.ndarray:
        if self.preprocessing.channels == 1:
            return _gray(to_pixels(image, value_range))
        return pixels_for(image, self.preprocessing, value_range)

    def detect(
        self,
        images: Any,
        *,
        score: float | None = None,
        iou: float | None = None,
        value_range: ValueRange | None = None,
        batch_size: int = 8,
    ) -> Iterator[Instances]:
        """Detect objects in images of any size, as `vg.predict` does.

        Args:
            images: One image, an array (n, height, width, channels), or an iterable of images:
                paths, Pillow images or arrays of any size.
            score: Minimum score; 0.25 by default.
            iou: Suppression threshold; 0.45 by default, as in Darknet.
            value_range: Range of the values of arrays if it is not 0 to 255, such as (0, 1).
            batch_size: Has no effect; images are processed one by one.

        Returns:
            An iterator with the detections of each image, in pixels of the image.

        Raises:
            UserError: If the network predicts no boxes, or an image is invalid.
        """
        self.decode()  # Raise the error of a network without boxes.
        return infer(
            self, images, score=score, iou=iou, value_range=value_range, batch_size=batch_size
        )

    def detect_image(
        self,
        image: Any,
        score: float = 0.25,
        overlap: float = 0.45,
        clip: bool = False,
        mode: ResizeMode = "scripts",
        value_range: ValueRange | None = None,
    ) -> Instances:
        """Detect objects in an image, with Darknet's preprocessing and suppression.

        Args:
            image: A file, a Pillow image or an array; see `visiongarden.data.to_pixels`.
            score: Minimum score, exclusive; Darknet's `-thresh`.
            overlap: Suppression threshold. A box is removed if its IoU with a box of the same class
                and a higher score exceeds it.
            clip: Whether to clip boxes to the image. Darknet does so only for COCO's JSON.
            mode: "scripts" for the mode of Darknet's Python scripts, with OpenCV's resizing and
                IoU; "program" for that of `darknet detector test`, with Darknet's resizing and the
                overlap measure of the cfg (`nms_kind`).
            value_range: Value range of arrays that do not use 0 to 255, such as (0, 1).

        Returns:
            The detections in pixels of the image, sorted by descending score.

        Raises:
            UserError: If the network predicts no boxes, or the image is invalid.
            DataError: If the file cannot be decoded.
        """
        self.decode()  # Raise the error of a network without boxes before reading the image.
        pixels = to_pixels(image, value_range)
        candidates = self.candidates(pixels, mode)
        size = (pixels.shape[0], pixels.shape[1])
        found = self.suppressed(*candidates, size, score, overlap, clip, mode)
        return found.replace(image=ImageOf.given(image, pixels))

    def candidates(
        self, image: np.ndarray, mode: ResizeMode = "scripts"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict all boxes and scores of an image, before any threshold or suppression.

        Args:
            image: uint8 RGB array of shape (height, width, 3).
            mode: Resizing mode, "scripts" or "program"; see `detect_image`.

        Returns:
            Boxes (n, 4), xyxy as fractions of the image's width and height, and scores
            (n, classes).
        """
        canvas, placement = self.place(image, mode)
        found = self.decode()(self.predict_on_batch(canvas[None]), self.image_size)
        boxes, scores = (keras.ops.convert_to_numpy(found[n])[0] for n in ("boxes", "scores"))
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
        mode: ResizeMode = "scripts",
    ) -> Instances:
        """Apply threshold and suppression to the result of `candidates`, as `detect_image` does.

        Args:
            boxes: Boxes (n, 4), xyxy as fractions of the image's width and height.
            scores: Scores (n, classes).
            size: (height, width) of the image in pixels.
            score: Minimum score, exclusive.
            overlap: Suppression threshold.
            clip: Whether to clip boxes to the image.
            mode: "scripts" for IoU, "program" for the overlap measure of the cfg.

        Returns:
            The detections in pixels of the image, sorted by descending score.
        """
        kind = self.heads[-1].settings if mode == "program" else {}
        whole = np.array([size[1], size[0]] * 2, np.float32)
        found = DarknetNms.of(kind, score, overlap)(boxes, scores)
        pixels = np.asarray(found.boxes) * whole
        if clip:
            pixels = np.clip(pixels, 0, whole)
        return found.replace(boxes=Boxes(pixels), class_map=self.class_map, size=size)

    def classify(
        self,
        images: Any,
        *,
        score: float | None = None,
        iou: float | None = None,
        value_range: ValueRange | None = None,
        batch_size: int = 8,
    ) -> Iterator[Ranking]:
        """Classify images of any size, as `vg.predict` does; see `detect` for the arguments.

        Returns:
            An iterator with the classes of each image, in order of descending score.

        Raises:
            UserError: If the network predicts boxes, or an image is invalid.
        """
        self._refuse_boxes()
        return infer(
            self, images, score=score, iou=iou, value_range=value_range, batch_size=batch_size
        )

    def predict_image(
        self, image: np.ndarray, score: float | None = None, iou: float | None = None
    ) -> tuple[Instances | Ranking, float]:
        """Predict on one image, and return the result and the best score before the threshold.

        Args:
            image: uint8 RGB array of shape (height, width, 3).
            score: Minimum score; 0.25 for detections by default, 0 for classes.
            iou: Suppression threshold; 0.45 by default.
        """
        if not self.heads and len(self.outputs[0].shape) == 2:
            scores = self.class_scores(image)
            return Rank(score_threshold=score or 0.0)(scores), float(scores.max(initial=0))
        self.decode()  # Raise the error of a network without boxes.
        boxes, scores = self.candidates(image)
        size = (image.shape[0], image.shape[1])
        limits = (0.25 if score is None else score, 0.45 if iou is None else iou)
        return self.suppressed(boxes, scores, size, *limits), float(scores.max(initial=0))

    def _refuse_boxes(self) -> None:
        if self.heads:
            raise UserError(
                f"{self.cfg.file} predicts boxes, not classes", fix="model.detect(images)"
            )

    def class_scores(self, image: Any, value_range: ValueRange | None = None) -> np.ndarray:
        """Classify the center crop of an image, as `darknet classifier predict` does.

        Args:
            image: A file, a Pillow image or an array; see `visiongarden.data.to_pixels`.
            value_range: Value range of arrays that do not use 0 to 255, such as (0, 1).

        Returns:
            The network's output, one score per class, shape (classes,).

        Raises:
            UserError: If the network predicts boxes.
        """
        self._refuse_boxes()
        canvas = centered(self._pixels(image, value_range), self.image_size)
        scores: np.ndarray = keras.ops.convert_to_numpy(self.predict_on_batch(canvas[None]))[0]
        return scores

    def _repr_html_(self) -> str:
        rows = [(name_of(step), step.shape) for step in self.steps]
        return markup.section(
            f"DarknetModel {self.name} ({self.cfg.file})",
            markup.table(("", ""), facts(self)),
            markup.table(("layer", "height, width, channels"), rows),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the text of the cfg, the image size and the class map, but no layers."""
        classes = self.class_map
        return {
            "name": self.name,
            "cfg": self.cfg.text,
            "file": self.cfg.file,
            "image_size": self._size_argument,
            "class_map": classes and {"names": list(classes.names), "ids": list(classes.ids)},
            "preprocessing": self.preprocessing.to_dict(),
            "dtype": self.dtype_policy.name,
            "epsilon": self._epsilon,
            "header": [*self.header.version, self.header.seen],
            **self.trainable_config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Build a model with new weights from the result of `get_config`."""
        classes, header = config.get("class_map"), config.get("header", (0, 2, 5, 0))
        text = config.get("cfg")
        if not isinstance(text, str):
            raise ModelFileError("the config of the model contains no cfg")
        # `parse_cfg` takes a string without a line break as a path. A model file must never make
        # it read another file.
        model = cls(
            parse_cfg("\n" * ("\n" not in text) + text, file=str(config.get("file"))),
            image_size=config.get("image_size"),
            class_map=classes and ClassMap(tuple(classes["names"]), tuple(classes["ids"])),
            dtype=config.get("dtype"),
            epsilon=float(config.get("epsilon", EPSILON)),
            name=config.get("name"),
        )
        if read_preprocessing(config) != model.preprocessing:
            raise ModelFileError(
                "the preprocessing in the file is not Darknet's",
                rule=str(model.preprocessing),
                received=str(read_preprocessing(config)),
            )
        major, minor, revision, seen = (int(n) for n in header)
        model.header = Header((major, minor, revision), seen)
        return model.freeze_as(config)


def _gray(image: np.ndarray) -> np.ndarray:
    """Return ITU-R BT.601 luma in the 8-bit arithmetic of stb_image, Darknet's decoder."""
    gray = image.astype(np.int64) @ np.array([77, 150, 29]) >> 8
    return gray.astype(np.uint8)[..., None]


def _outputs(steps: Sequence[Step], heads: Sequence[Step], tensors: Sequence[Any]) -> Any:
    if heads:
        # Layers whose output is unused, such as embeddings for the contrastive loss, become outputs
        # too: Keras leaves unreachable layers out of a model, so their weights would not be saved.
        read = {index for step in steps for index in step.inputs}
        loose = [s for s in steps if s.index not in read and s not in heads]
        return {name_of(step): tensors[step.index] for step in (*heads, *loose)}
    last, x = steps[-1], tensors[-1]
    return vector(x, "result") if last.shape[:2] == (1, 1) else x


def _class_map(classes: ClassMap | Sequence[str] | None, heads: Sequence[Step]) -> ClassMap | None:
    counts = {step.settings["classes"] for step in heads}
    if len(counts) > 1:
        raise heads[-1].section.error(
            "classes", "the prediction layers have different numbers of classes"
        )
    if classes is None:
        return None
    found = classes if isinstance(classes, ClassMap) else ClassMap(tuple(classes))
    if counts and counts != {len(found)}:
        raise ModelFileError(
            f"the number of class names does not match {heads[0].section.file}",
            rule=f"classes={counts.pop()}",
            received=f"{len(found)} names",
        )
    return found
