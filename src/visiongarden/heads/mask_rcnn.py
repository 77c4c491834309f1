"""Head of Mask R-CNN: He et al. 2017 (arXiv 1703.06870), on any feature pyramid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import keras
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from visiongarden.assigners import Assigner, MaxIoU
from visiongarden.errors import ConfigError, UserError
from visiongarden.heads.prediction import SplitAnchors
from visiongarden.heads.region_proposals import (
    ProposeRegions,
    RefineRegions,
    SampleRegions,
    SamplingOrder,
    SelectRegions,
)
from visiongarden.heads.scaled_anchors import DeltaWeights, ScaledAnchors, Sizes
from visiongarden.layers import Composite, Convolution, RoIAlign
from visiongarden.losses import Loss, MaskRCNNLoss
from visiongarden.ops import region_names
from visiongarden.parts.fields import Channels, Classes, Repeats
from visiongarden.parts.roles import Levels
from visiongarden.postprocess import Decoding, RegionMaskDecoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, ImageSize, RawPredictions, Tensor, stride_of

_COARSEST = 32
"""Stride of the coarsest level of which regions are sampled; p6 has proposals alone (FPN, 4.1)."""

IoU = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(gt=0, le=100_000)]


@register
class FlattenRegions(keras.layers.Layer):
    """Flatten the features of each region, channel by channel, as published weights expect them.

    Input: (batch, k, rows, columns, channels). Output: (batch, k, channels * rows * columns).
    """

    def call(self, x: Tensor) -> Tensor:
        """Return one vector for each region."""
        x = keras.ops.transpose(x, (0, 1, 4, 2, 3))
        shape, size = keras.ops.shape(x), int(x.shape[2] * x.shape[3] * x.shape[4])
        return keras.ops.reshape(x, (*shape[:2], size))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output shape."""
        rows, columns, channels = input_shape[2:]
        return (*input_shape[:2], rows * columns * channels)


@register
class RegionMasks(Composite):
    """Fully convolutional masks of regions: He et al. 2017, figure 4, right.

    Input: (batch, k, rows, columns, channels). Output: (batch, k, 2 * rows, 2 * columns, outputs),
    logits.

    Args:
        filters: channels of the convolutions.
        outputs: number of masks of a region.
        repeats: number of 3×3 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, outputs: int, repeats: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Section 3.1 and the published configurations: He et al. 2015 for the convolutions.
        self.convs = [_he(filters) for _ in range(repeats)]
        self.deconv = keras.layers.Conv2DTranspose(
            filters, 2, strides=2, kernel_initializer="he_normal"
        )
        self.out = Convolution(outputs, 1, kernel_initializer=_gaussian(0.001))

    def call(self, x: Tensor) -> Tensor:
        """Return the masks of all regions."""
        regions, *sides = (int(side) for side in x.shape[1:])
        x = keras.ops.reshape(x, (-1, *sides))
        for conv in self.convs:
            x = keras.ops.relu(conv(x))
        x = self.out(keras.ops.relu(self.deconv(x)))
        return keras.ops.reshape(x, (-1, regions, 2 * sides[0], 2 * sides[1], x.shape[-1]))


@register
class MaskRCNN(ScaledAnchors):
    """Head of Mask R-CNN: region proposals, a box head and a mask head.

    Anchors of all levels are proposals (Ren et al. 2015, Faster R-CNN); of the best ones, features
    of fixed size are sampled by `RoIAlign`, of which two fully connected layers predict class and
    box, and convolutions a mask for each class. In training, regions are sampled within the forward
    pass, with the ground truth among them; in predictions, masks are those of the detections, which
    are therefore suppressed within the graph. Levels with different channels get a 1×1 convolution
    each. The image size must be known.

    With several values in `cascade`, the box head is repeated on refined regions (Cai &
    Vasconcelos 2018, Cascade R-CNN); boxes are then class-agnostic, and scores the mean of all
    stages.

    Attributes:
        num_classes: number of classes, without background.
        filters: channels of the convolutions.
        region_levels: consecutive levels of which regions are sampled; None: those of a stride of
            at most 32.
        proposals_per_level: largest number of anchors of a level before the suppression.
        proposals: number of proposals of an image.
        proposal_iou: IoU above which the worse of two proposals of a level is removed.
        regions: number of regions of an image that are sampled in training.
        positive_share: largest share of regions with an object.
        cascade: minimum IoU of a positive region, for each stage of the box head.
        region_weights: factors of the deltas of regions; stage k has k times these.
        box_units: units of the fully connected layers.
        box_size: rows and columns of the features of a region, for its box.
        mask_size: the same for its mask, which has twice as many rows and columns.
        mask_convs: number of 3×3 convolutions of the mask head.
        sampling_ratio: samples of a bin along each axis.
        aligned: see `RoIAlign`; False for the weights of torchvision.
        canonical_size: side in pixels of a square region on the canonical level.
        canonical_level: level of such a region.
        detections: largest number of detections of an image.
        detection_iou: IoU above which the worse of two detections of a class is removed. A
            smaller threshold of `predict` removes more of them, a larger one does not restore any.
        background_outputs: whether boxes and masks are predicted for the background, too, as in
            torchvision; they are not used.
        loss: loss of the raw predictions.
        assigner: assigner of boxes to anchors.
        decoding: decoding of the raw predictions.

    Example:
        >>> decoder = vg.decoders.FPN(channels=16)
        >>> features = decoder.spec(vg.backbones.ResNet(depth=18).spec())
        >>> head = vg.heads.MaskRCNN(num_classes=3, filters=16, box_units=32, detections=20)
        >>> shapes = head.shapes(features, image_size=(64, 64))
        >>> shapes["p4"]["objectness"], shapes["p3"]["masks"]
        ((None, 4, 4, 3), (None, 20, 28, 28, 3))
    """

    task: ClassVar[str] = "instance_segmentation"
    target_inputs: ClassVar[tuple[str, ...]] = ("boxes", "classes")
    num_classes: Classes
    filters: Channels = 256
    anchor_size: PositiveFloat = 8.0
    anchor_scales: Sizes = (1.0,)
    region_levels: Levels | None = None
    proposals_per_level: Count = 1000
    proposals: Count = 1000
    proposal_iou: IoU = 0.7
    regions: Count = 512
    positive_share: IoU = 0.25
    cascade: Annotated[tuple[IoU, ...], Field(min_length=1, max_length=8)] = (0.5,)
    region_weights: DeltaWeights = (10.0, 10.0, 5.0, 5.0)
    box_units: Channels = 1024
    box_size: Annotated[int, Field(gt=0, le=64)] = 7
    mask_size: Annotated[int, Field(gt=0, le=64)] = 14
    mask_convs: Repeats = 4
    sampling_ratio: Annotated[int, Field(gt=0, le=16)] = 2
    aligned: bool = True
    canonical_size: PositiveFloat = 224.0
    canonical_level: PositiveInt = 4
    detections: Count = 100
    detection_iou: IoU = 0.5
    background_outputs: bool = False
    loss: Loss = MaskRCNNLoss()
    assigner: Assigner = MaxIoU(positive=0.7, negative=0.3)
    decoding: Decoding = RegionMaskDecoding()

    @model_validator(mode="after")
    def _cascade_rises(self) -> Self:
        if list(self.cascade) != sorted(self.cascade):
            raise ConfigError(
                f"cascade is {list(self.cascade)}",
                rule="IoUs in ascending order: each stage refines the boxes of the one before",
                fix=f"cascade={tuple(sorted(self.cascade))}",
            )
        return self

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of the regions, which are chosen and not learned."""
        stages = range(len(self.cascade))
        return ("mask_regions", *(region_names(stage).regions for stage in stages))

    def stage_weights(self, stage: int) -> tuple[float, ...]:
        """Return the factors of the deltas of a stage of the box head.

        Args:
            stage: number of the stage, from 0 on.
        """
        return tuple((stage + 1) * weight for weight in self.region_weights)

    def wire(self, features: FeatureMaps, targets: Mapping[str, Tensor | None]) -> RawPredictions:  # type: ignore[override]
        """Build proposals, box head and mask head.

        Returns:
            level -> {"objectness": (B, H, W, A), "boxes": (B, H, W, A, 4), "order": (B, H, W, A)
            int32} with A anchors. The finest level has for R regions also "regions" (B, R, 4),
            "region_classes" (B, R, 1 + num_classes), background first, "region_boxes" (B, R,
            num_classes, 4), and those of further stages; and for M regions with masks
            "mask_regions" (B, M, 4), "mask_rows" (B, M), "mask_classes" (B, M) and "masks" (B, M,
            2 * mask_size, 2 * mask_size, num_classes).
        """
        image_size = _image_size(features)
        features = self._projected(features)
        raw = self._anchored(features)
        proposals = ProposeRegions(
            {level: self.anchor_shapes(level).tolist() for level in features},
            image_size,
            self.anchor_offset,
            self.delta_weights,
            self.proposals_per_level,
            self.proposals,
            self.proposal_iou,
            name="propose",
        )([raw[lv]["objectness"] for lv in features], [raw[lv]["boxes"] for lv in features])
        regions = SampleRegions(
            self.regions, self.positive_share, self.cascade[0], name="sample_regions"
        )(proposals, targets["boxes"], targets["classes"])
        found = self._regions(features, regions, targets["boxes"], image_size)
        raw[next(iter(features))] |= found
        return raw

    def _projected(self, features: FeatureMaps) -> FeatureMaps:
        """Return levels of equal channels, which share the layers of the head."""
        if len({x.shape[-1] for x in features.values()}) == 1:
            return features
        return {
            level: Convolution(self.filters, 1, name=f"{level}_project")(x)
            for level, x in features.items()
        }

    def _anchored(self, features: FeatureMaps) -> RawPredictions:
        """Build the predictions of anchors, of which all levels share the weights."""
        count = self.anchors_per_cell
        conv = Convolution(self.filters, 3, kernel_initializer=_gaussian(0.01), name="rpn_conv")
        objectness = Convolution(
            count, 1, kernel_initializer=_gaussian(0.01), name="rpn_objectness"
        )
        boxes = Convolution(4 * count, 1, kernel_initializer=_gaussian(0.01), name="rpn_boxes")
        raw: RawPredictions = {}
        for level, x in features.items():
            x = keras.ops.relu(conv(x))
            logits = objectness(x)
            raw[level] = {
                "objectness": logits,
                "boxes": SplitAnchors(count, name=f"{level}_boxes")(boxes(x)),
                "order": SamplingOrder(name=f"{level}_order")(logits),
            }
        return raw

    def _regions(
        self, features: FeatureMaps, regions: Tensor, boxes: Tensor | None, image_size: ImageSize
    ) -> dict[str, Tensor]:
        """Build the predictions of regions."""
        levels = self._sampled_levels(features)
        maps = [features[level] for level in levels]
        found: dict[str, Tensor] = {}
        scores = []
        for stage in range(len(self.cascade)):
            names = region_names(stage)
            if stage:
                weights = self.stage_weights(stage - 1)
                refine = RefineRegions(image_size, weights, name=f"refine{stage}")
                regions = refine(regions, found[region_names(stage - 1).boxes])
            classes, deltas = self._box_head(maps, levels, regions, stage)
            found |= {names.regions: regions, names.classes: classes, names.boxes: deltas}
            scores.append(keras.ops.softmax(keras.ops.cast(classes, "float32"))[..., 1:])
        deltas = deltas[..., -self.num_classes :, :]
        chosen, rows, classes = SelectRegions(
            image_size,
            self.stage_weights(len(self.cascade) - 1),
            self.detections,
            nms_iou=self.detection_iou,
            in_training=max(1, int(self.regions * self.positive_share)),
            name="select_regions",
        )(regions, sum(scores[1:], scores[0]), deltas, boxes)
        x = self._roi_align(levels, self.mask_size, "mask_features")(maps, chosen)
        masks = RegionMasks(self.filters, self._columns, self.mask_convs, name="mask_head")(x)
        return found | {
            "mask_regions": chosen,
            "mask_rows": rows,
            "mask_classes": classes,
            "masks": masks,
        }

    def _box_head(
        self, maps: list[Tensor], levels: Levels, regions: Tensor, stage: int
    ) -> tuple[Tensor, Tensor]:
        """Build class logits and deltas of a stage."""
        end = f"_{stage + 1}" if stage else ""
        x = self._roi_align(levels, self.box_size, f"box_features{end}")(maps, regions)
        x = FlattenRegions(name=f"box_flatten{end}")(x)
        for number in (1, 2):
            dense = keras.layers.Dense(
                self.box_units, activation="relu", name=f"box_fc{number}{end}"
            )
            x = dense(x)
        columns = self._columns if len(self.cascade) == 1 else 1
        classes = keras.layers.Dense(
            1 + self.num_classes, kernel_initializer=_gaussian(0.01), name=f"box_classes{end}"
        )
        deltas = keras.layers.Dense(
            4 * columns, kernel_initializer=_gaussian(0.001), name=f"box_deltas{end}"
        )
        return classes(x), SplitAnchors(columns, name=f"region_boxes{end}")(deltas(x))

    @property
    def _columns(self) -> int:
        """Number of boxes and masks of a region."""
        return self.num_classes + self.background_outputs

    def _roi_align(self, levels: Levels, size: int, name: str) -> RoIAlign:
        return RoIAlign(
            [stride_of(level) for level in levels],
            size,
            self.sampling_ratio,
            self.aligned,
            self.canonical_size,
            self.canonical_level,
            name=name,
        )

    def _sampled_levels(self, features: FeatureMaps) -> Levels:
        if self.region_levels is None:
            found = tuple(level for level in features if stride_of(level) <= _COARSEST)
            return found or tuple(features)
        missing = [level for level in self.region_levels if level not in features]
        if missing:
            raise UserError(
                f"region_levels has {' '.join(missing)}, which the decoder does not return",
                rule="levels of the decoder: " + " ".join(features),
                fix=f"region_levels={tuple(lv for lv in features if stride_of(lv) <= _COARSEST)}",
            )
        return tuple(level for level in features if level in self.region_levels)


def _image_size(features: FeatureMaps) -> ImageSize:
    """Return (height, width) of the images in pixels."""
    finest, x = next(iter(features.items()))
    height, width = x.shape[1:3]
    if height is None or width is None:
        raise UserError(
            "Mask R-CNN cannot be built for images of any size",
            rule="a known image size, of which the anchors follow",
            fix="image_size=(512, 512)",
        )
    return height * stride_of(finest), width * stride_of(finest)


def _he(filters: int) -> Convolution:
    return Convolution(filters, 3, kernel_initializer="he_normal")


def _gaussian(deviation: float) -> Any:
    return keras.initializers.RandomNormal(stddev=deviation)
