"""`Card`: the published facts of one model, each with its source."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from visiongarden.config import Value
from visiongarden.decoders import PassOn
from visiongarden.errors import ConfigError
from visiongarden.parts import Backbone, Decoder, Head
from visiongarden.tasks import find
from visiongarden.training import Training
from visiongarden.transforms import Transform

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Side = Annotated[int, Field(gt=0, le=8192)]
Score = Annotated[float, Field(ge=0, le=100)]


class License(Value):
    """License terms of the authors' code and weights.

    Attributes:
        code: License of the official code; "none" if no code was published.
        weights: License of the published weights; "none" if no weights were published.
    """

    code: Text
    weights: Text


class Convention(Value):
    """What the numbers of a card count; a model is compared under this convention only.

    Papers count differently: Darknet's BFLOPs are twice the MACs, YOLOX's tool adds two operations
    for each output of a convolution, and YOLOv7 reports the deployed model.

    Attributes:
        params: Which numbers are parameters.
        macs: Which operations are multiply-accumulates (MACs), and how the published number is
            converted to them.
        per_output: Operations added for each output element of a convolution: 1 for tools that
            count the bias, 2 for those that count a separate normalization.
        fused: Whether `macs` counts the deployed model: normalization and parallel branches folded
            into convolutions, and branches used only in training removed.
    """

    params: Text = (
        "trainable, including scale and shift of batch normalization, without its mean and variance"
    )
    macs: Text = "convolutions and dense layers, without bias"
    per_output: Annotated[int, Field(ge=0, le=4)] = 0
    fused: bool = False


class Stage(Value):
    """One row of the stage table.

    Attributes:
        output: Output shape for one image at the card's image size, (height, width, channels).
        repeats: Number of repeated units in the stage.
        params: Trainable parameters of the stage, if they were published separately.
    """

    output: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1, max_length=5)]
    repeats: PositiveInt = 1
    params: NonNegativeInt | None = None


class Level(Value):
    """One level of the feature pyramid.

    Attributes:
        stride: Stride in pixels.
        channels: Number of channels.
    """

    stride: PositiveInt
    channels: PositiveInt


class Parts(Value):
    """Parts of the model, written as in a recipe.

    Attributes:
        backbone: Backbone: image -> feature maps.
        decoder: Decoder: feature maps -> feature maps. Without one, a classifier takes the coarsest
            level of the backbone.
        head: Head: feature maps -> raw predictions.
    """

    backbone: Backbone
    decoder: Decoder | None = None
    head: Head

    @model_validator(mode="after")
    def _only_classifiers_omit_the_decoder(self) -> Self:
        if self.decoder is None and find(self.head.task).needs_decoder:
            raise ConfigError(
                "the model of the card has no decoder",
                rule=f"a decoder between backbone and {self.head.task} head",
                fix="model: {backbone: ..., decoder: {type: FPN}, head: ...}",
            )
        return self

    def with_decoder(self) -> Self:
        """Return the parts with a decoder, which is added for a classifier without one."""
        if self.decoder is not None:
            return self
        return self.replace(decoder=PassOn(levels=self.backbone.levels[-1:]))


class Result(Value):
    """One published result.

    Attributes:
        split: Split of the dataset, usually "test-dev" or "val2017" of COCO.
        image_size: Side of the images in pixels.
        ap: Average precision at IoU 0.50:0.95, in percent.
        ap50: Average precision at IoU 0.50, in percent.
        ap75: Average precision at IoU 0.75, in percent.
        pretraining: Weights that training started from.
        dataset: Dataset of the evaluation.
        source: Where the result was published.
    """

    split: Text
    image_size: Side
    ap: Score | None = None
    ap50: Score | None = None
    ap75: Score | None = None
    pretraining: Text
    dataset: Text = "COCO"
    source: Text


class Trained(Value):
    """Training procedure of the authors.

    Attributes:
        training: Fields of a recipe's `training`.
        transforms: Transforms of a recipe, as far as their settings were published.
        beyond: Settings for which a recipe has no field, as text or numbers.
    """

    training: dict[str, Any] = Field(default_factory=dict)
    transforms: tuple[Transform, ...] = ()
    beyond: dict[str, str | float | int | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fields_exist(self) -> Self:
        Training.from_dict(self.training)
        return self


class Card(Value):
    """Published facts of one model.

    A card file holds one architecture: the fields that its sizes share, and `sizes`, a mapping from
    the name of each model to its own fields, which are merged into the shared ones.

    Attributes:
        name: Name of the model, such as "yolov8n".
        architecture: Name of the card file, such as "yolov8".
        title: Title of the paper or of the published description.
        authors: Authors as in the paper.
        arxiv: arXiv number.
        year: Year of first publication.
        task: Task of the model.
        license: Licenses of code and weights.
        image_size: (height, width) in pixels that all numbers refer to.
        model: Parts of the model; anchors, width and depth multiples are fields of the parts.
        convention: What the numbers count.
        params: Trainable parameters; compared exactly.
        deployed_params: Parameters of the deployed model, see `convention.fused`; compared exactly.
        macs: Multiply-accumulates for one image; compared within 0.5 %.
        stages: "part/stage" -> row, in the order of the graph.
        levels: "backbone" and "decoder" -> level -> stride and channels.
        trained: Training procedure of the authors.
        results: Published results.
        notes: What a reader should know before comparing.
        sources: Field -> source of its values; every field in `SOURCED_FIELDS` that is set has one.
    """

    name: Text
    architecture: Text
    title: Text
    authors: tuple[Text, ...]
    arxiv: Annotated[str, Field(pattern=r"^[0-9]{4}\.[0-9]{4,5}$")] | None = None
    year: Annotated[int, Field(ge=1950, le=2100)]
    task: str
    license: License
    image_size: tuple[Side, Side]
    model: Parts | None = None
    convention: Convention = Convention()
    params: PositiveInt
    deployed_params: PositiveInt | None = None
    macs: PositiveFloat | None = None
    stages: dict[str, Stage] = Field(default_factory=dict)
    levels: dict[Literal["backbone", "decoder"], dict[str, Level]] = Field(default_factory=dict)
    trained: Trained | None = None
    results: tuple[Result, ...] = ()
    notes: tuple[Text, ...] = ()
    sources: dict[str, Text]

    @model_validator(mode="before")
    @classmethod
    def _both_sides(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("image_size"), int):
            return data | {"image_size": (data["image_size"],) * 2}
        return data

    @field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        return find(task).name

    @model_validator(mode="after")
    def _head_suits_task(self) -> Self:
        if self.model is not None and self.model.head.task != self.task:
            raise ConfigError(
                f"the head of card {self.name} is for a different task",
                rule=f"a head for {self.task}",
                received=f"{self.model.head}, for {self.model.head.task}",
                fix=f"task: {self.model.head.task}",
            )
        return self

    @model_validator(mode="after")
    def _fields_have_sources(self) -> Self:
        values = dict(self)
        given = [name for name in SOURCED_FIELDS if values[name]]
        missing = [name for name in given if name not in self.sources]
        unknown = [name for name in self.sources if name not in SOURCED_FIELDS]
        if missing or unknown:
            raise ConfigError(
                f"card {self.name} has no source for {', '.join(missing)}"
                if missing
                else f"card {self.name} has a source for {', '.join(unknown)}, which needs none",
                rule=f"one entry in sources for each given field of {', '.join(SOURCED_FIELDS)}",
                fix=f'sources: {{{(missing or ["params"])[0]}: "paper, table 1"}}',
            )
        return self


SOURCED_FIELDS = (
    "license",
    "model",
    "params",
    "deployed_params",
    "macs",
    "stages",
    "levels",
    "trained",
)
"""Fields that need an entry in `sources`; a result states its own source."""
