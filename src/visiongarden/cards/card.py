"""`Card`: what was published about one model, each figure with its source."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from visiongarden.config import Value
from visiongarden.decoders import PassOn
from visiongarden.errors import ConfigError
from visiongarden.parts import Backbone, Decoder, Head
from visiongarden.training import Training
from visiongarden.transforms import Augmentation

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Side = Annotated[int, Field(gt=0, le=8192)]
Score = Annotated[float, Field(ge=0, le=100)]

Task = Literal["detection", "classification", "segmentation"]


class Licence(Value):
    """Under which terms the authors give what.

    Attributes:
        code: of the official code, "none" where there is none.
        weights: of the published weights, "none" where there are none.
    """

    code: Text
    weights: Text


class Convention(Value):
    """What the card's numbers count; they are compared under this convention and no other.

    Attributes:
        params: what is a parameter.
        macs: what is a multiply-accumulate, and how the published figure becomes one.
        per_output: operations added for each number that a convolution gives out; tools that
            count a bias add 1, those that count a normalisation by itself 2.
        fused: whether `macs` count what is deployed: normalisation and parallel branches folded
            into convolutions, branches that only teach left out.
    """

    params: Text = (
        "trainable; scale and shift of batch normalisation are, its mean and variance not"
    )
    macs: Text = "convolutions and dense layers, without bias"
    per_output: Annotated[int, Field(ge=0, le=4)] = 0
    fused: bool = False


class Stage(Value):
    """One row of the stage table.

    Attributes:
        output: shape of one image's result at the card's image size, (height, width, channels).
        repeats: how often the stage's unit is repeated.
        params: trainable parameters of the stage, where they are known by themselves.
    """

    output: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1, max_length=5)]
    repeats: PositiveInt = 1
    params: NonNegativeInt | None = None


class Level(Value):
    """One pyramid level.

    Attributes:
        stride: pixels of the image a cell.
        channels: of the map.
    """

    stride: PositiveInt
    channels: PositiveInt


class Parts(Value):
    """The model as parts, spelled as in a recipe.

    Attributes:
        backbone: image -> feature maps.
        decoder: feature maps -> feature maps; a classifier that leaves it out passes the
            backbone's coarsest map on.
        head: feature maps -> raw predictions.
    """

    backbone: Backbone
    decoder: Decoder | None = None
    head: Head

    @model_validator(mode="after")
    def _only_classifiers_lack_a_decoder(self) -> Self:
        if self.decoder is None and self.head.task != "classification":
            raise ConfigError(
                "the card's model has no decoder",
                rule=f"a decoder between backbone and {self.head.task} head",
                fix="model: {backbone: ..., decoder: {type: FPN}, head: ...}",
            )
        return self

    def with_decoder(self) -> Self:
        """The same parts, a classifier's decoder among them."""
        if self.decoder is not None:
            return self
        return self.replace(decoder=PassOn(levels=self.backbone.levels[-1:]))


class Result(Value):
    """One published result.

    Attributes:
        split: of the data set: "test-dev" or "val2017" of COCO, as a rule.
        image_size: side in pixels that it holds for.
        ap: mean of the average precisions at IoU 0.5 to 0.95, percent.
        ap50: at IoU 0.5.
        ap75: at IoU 0.75.
        pretraining: what the weights started from.
        dataset: what was judged on.
        source: where the figures stand.
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
    """How the authors trained.

    Attributes:
        training: as fields of a recipe's `training`.
        augmentation: as fields of a recipe's `augmentation`.
        beyond: what a recipe has no field for, in words or numbers.
    """

    training: dict[str, Any] = Field(default_factory=dict)
    augmentation: dict[str, Any] = Field(default_factory=dict)
    beyond: dict[str, str | float | int | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fields_exist(self) -> Self:
        Training.from_dict(self.training)
        Augmentation.from_dict(self.augmentation)
        return self


class Card(Value):
    """The published facts of one model.

    A file holds one architecture: the fields that its sizes share, and under `sizes` for each model
    name the fields that are its own, merged field by field into the shared ones.

    Attributes:
        name: of the model: "yolov8n".
        architecture: name of the file: "yolov8".
        title: of the paper, or of the published description.
        authors: as the paper lists them.
        arxiv: its number on arXiv.
        year: of the first publication.
        task: what the model is for.
        licence: of code and weights.
        image_size: (height, width) that every figure holds for.
        model: the parts; anchors, width and depth multiples are their fields.
        convention: what the numbers count.
        params: trainable parameters; compared exactly.
        deployed_params: what is left after training, as `convention.fused` says; compared exactly.
        macs: multiply-accumulates for one image; compared within half a percent.
        stages: "part/stage" -> row, in the order of the graph.
        levels: "backbone" and "decoder" -> level -> stride and channels.
        trained: how the authors trained.
        results: published results.
        notes: what a reader should know before comparing.
        sources: field -> where its figures come from; every figure has one.
    """

    name: Text
    architecture: Text
    title: Text
    authors: tuple[Text, ...]
    arxiv: Annotated[str, Field(pattern=r"^[0-9]{4}\.[0-9]{4,5}$")] | None = None
    year: Annotated[int, Field(ge=1950, le=2100)]
    task: Task
    licence: Licence
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

    @model_validator(mode="after")
    def _head_is_for_the_task(self) -> Self:
        if self.model is not None and self.model.head.task != self.task:
            raise ConfigError(
                f"the head of card {self.name} is for another task",
                rule=f"a head for {self.task}",
                received=f"{self.model.head}, for {self.model.head.task}",
                fix=f"task: {self.model.head.task}",
            )
        return self

    @model_validator(mode="after")
    def _every_figure_has_a_source(self) -> Self:
        said = [name for name in FIGURES if getattr(self, name)]
        missing = [name for name in said if name not in self.sources]
        unknown = [name for name in self.sources if name not in FIGURES]
        if missing or unknown:
            raise ConfigError(
                f"card {self.name} does not say where {', '.join(missing or unknown)} comes from"
                if missing
                else f"card {self.name} gives a source for {', '.join(unknown)}, which it has not",
                rule=f"each of {', '.join(FIGURES)} that a card gives has an entry in sources",
                fix=f'sources: {{{(missing or ["params"])[0]}: "paper, table 1"}}',
            )
        return self


FIGURES = ("licence", "model", "params", "deployed_params", "macs", "stages", "levels", "trained")
"""Fields whose figures need a source; a result carries its own."""
