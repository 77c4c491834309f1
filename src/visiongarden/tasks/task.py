"""`Task`: what a model needs to be trained and judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.config import Value
from visiongarden.types import ImageSize, Placement


class Task:
    """Base: what differs between detection, classification and segmentation; holds no state.

    The loss and the decoding belong to the kind of head (`head.loss()`, `head.decode()`); a task
    adds the data, the metric, and the way from decoded arrays to a result.

    Attributes:
        name: that models and heads name it by.
        model: class of its models.
        formats: names of the data formats it reads.
        loads: class of its loaders.
        augmentation: settings of its training images.
        outputs: names of what a head's `decode` returns, and of an exported file's outputs.
        figures: what training shows after an epoch; the first decides which epoch is the best.
        judged_by: what the figures are, for people.
        score: least score that counts in a prediction where nothing else is said.
    """

    name: ClassVar[str]
    model: ClassVar[type]
    formats: ClassVar[tuple[str, ...]]
    loads: ClassVar[type]
    augmentation: ClassVar[type[Value]]
    outputs: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]]
    judged_by: ClassVar[str]
    score: ClassVar[float] = 0.0

    def read(
        self,
        path: str | Path,
        format: str = "auto",
        split: str = "train",
        class_names: Sequence[str] | None = None,
        invalid_boxes: str = "error",
    ) -> Any:
        """One split of a data set; see `visiongarden.data`."""
        raise NotImplementedError

    def loader(
        self,
        dataset: Any,
        image_size: ImageSize,
        batch_size: int,
        augmentation: Any = None,
        **order: Any,
    ) -> Any:
        """Batches of a data set; `order` is `shuffle`, `seed`, `workers`, `drop_remainder`,
        `size_step`."""
        return self.loads(dataset, image_size, batch_size, augmentation, **order)

    def place(self, image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
        """An image as the model sees it, as the loader places it without augmentation."""
        raise NotImplementedError

    def metric(self, class_map: Any) -> Any:
        """A new metric: `update(found, truth)`, `result()`, `per_class()`, `reset()`."""
        raise NotImplementedError

    def truth(self, dataset: Any, index: int) -> Any:
        """What the metric compares with."""
        raise NotImplementedError

    def postprocess(self, model: Any, score: float | None = None) -> Any:
        """What turns one image's decoded arrays into what was found on the canvas.

        Args:
            model: whose head decoded them.
            score: least score that counts; None is for judging, where all count.
        """
        raise NotImplementedError

    def to_original(self, found: Any, placement: Placement, size: ImageSize) -> Any:
        """What was found on the canvas, in the pixels of the original image.

        Args:
            found: what `postprocess` returned.
            placement: where the image lies on the canvas.
            size: (height, width) of the original image.
        """
        raise NotImplementedError
