"""`Training`: the training settings, independent of model and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from visiongarden.config import KerasCallback, KerasOptimizer, Value
from visiongarden.errors import ConfigError
from visiongarden.training.checkpoint_interval import CheckpointInterval
from visiongarden.training.optimizer_fields import DEFAULT, check_numbers, check_place, completed
from visiongarden.transforms.sizes import MultiScale

Share = Annotated[float, Field(ge=0, le=1)]


class Training(Value):
    """Training settings: optimizer, length and evaluation.

    Attributes:
        epochs: Number of passes over the training split.
        batch_size: Images per step; at most the number of images in the training split.
        optimizer: Optimizer by name, with its arguments: `{type: AdamW, learning_rate: 0.001}`.
            `VectorAdamW` and `VectorSGD`, which has Nesterov momentum, update all weights
            and are the fastest. For them, a number as `learning_rate` is the peak of the schedule
            `WarmupCosine`, and `weight_decay` and `global_clipnorm` have defaults. Those of Keras
            have Keras's defaults, and a number is constant.
        callbacks: Callbacks by name, with their arguments: `{type: EarlyStopping, monitor:
            val_AP, mode: max, patience: 5}`.
        ema_decay: Maximum decay of the exponential moving average (EMA) of the weights; early steps
            use less. None evaluates and saves the raw weights, or the average of an optimizer with
            `use_ema`.
        precision: Keras dtype policy that the model is built with. "auto" is "mixed_bfloat16" where
            the hardware computes in bfloat16 and some steps that are measured at the start are
            faster in it, and "float32" elsewhere; the recipe of the run states the result.
        validate_every: Epochs between two evaluations on the validation split; the last epoch is
            always evaluated.
        workers: Number of processes that load images; 0 loads in a thread of this process.
        seed: Seed of weights, order and transforms.
        multi_scale: Largest change of the image size between batches, as a fraction of it. Each
            batch has one of up to five sizes, multiples of the largest stride (Redmon and Farhadi
            2017, YOLOv2).
        tensorboard: Whether to write TensorBoard events, if `tensorboard` is installed.
        patience: Epochs without a better value of the metric that selects `best.keras`, after
            which the run ends; None: it does not end early.
        time_limit: Seconds of training and evaluation after which the run ends, also those before
            it was resumed.
        checkpoint_every: Time or steps after which the run is saved within an epoch, such as "10
            minutes" or "500 steps"; None: at the end of each epoch only.
        broken_images: What happens to an image that cannot be decoded during the run: "error" ends
            it, and with "skip" the next image of the dataset takes its place. Skipped images are
            counted in the history.
        rollbacks: How often a run that diverges (an infinite or NaN loss or weight) continues from
            its last checkpoint, at a tenth of the learning rate.
        extend: What a resumed run with another number of epochs does to its learning-rate
            schedule: "stretch" continues the schedule of a run of that length, and "restart" begins
            the schedule again, for the remaining epochs.
        freeze: Patterns of the paths of weights that are not trained, such as ["backbone/**"]; `*`
            matches within one segment, `**` one or more segments. A frozen batch normalization
            keeps its statistics.
        unfreeze_at_epoch: Number of the epoch, counted from 1, from which frozen layers are
            trained as well.
        learning_rate_factors: Factor of the learning rate by pattern of paths, such as
            {"backbone/**": 0.1}. A pattern may refine another one.
        layer_decay: Factor of the learning rate from one group of layers to the one before it: the
            head has 1, the decoder `layer_decay`, and the layers of the backbone smaller and
            smaller ones towards the image.
        accumulate_steps: Number of batches that make one update of the weights, the one of a batch
            of all their images, for batches that do not fit into memory. Schedules, averages and
            clipping count updates. The last update of an epoch may have fewer batches.
        batch_norm: On several devices, the images whose statistics normalize a batch: "per_device",
            those of each device, or "synchronized", those of all, as on one device. TensorFlow and
            PyTorch have both, JAX the second only; None: the faster one that there is, per device
            except on JAX. The moving statistics are equal on all devices either way.
    """

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 16
    optimizer: KerasOptimizer = Field(default_factory=lambda: KerasOptimizer(**completed(DEFAULT)))
    callbacks: tuple[KerasCallback, ...] = ()
    ema_decay: Share | None = 0.9995
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    validate_every: PositiveInt = 1
    workers: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    multi_scale: MultiScale = 0.0
    tensorboard: bool = True
    patience: PositiveInt | None = None
    time_limit: Annotated[float, Field(gt=0)] | None = None
    checkpoint_every: CheckpointInterval | None = CheckpointInterval(minutes=10)
    broken_images: Literal["error", "skip"] = "error"
    rollbacks: NonNegativeInt = 0
    extend: Literal["stretch", "restart"] = "stretch"
    freeze: tuple[str, ...] = ()
    unfreeze_at_epoch: Annotated[int, Field(ge=2)] | None = None
    learning_rate_factors: dict[str, Annotated[float, Field(gt=0)]] = {}  # noqa: RUF012  frozen
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    batch_norm: Literal["per_device", "synchronized"] | None = None
    accumulate_steps: PositiveInt = 1

    @field_validator("freeze", mode="before")
    @classmethod
    def _one_or_several(cls, patterns: Any) -> Any:
        return (patterns,) if isinstance(patterns, str) else patterns

    @field_validator("optimizer", mode="before")
    @classmethod
    def _with_defaults(cls, optimizer: Any) -> Any:
        return completed(optimizer)

    @field_validator("optimizer")
    @classmethod
    def _in_range(cls, optimizer: KerasOptimizer) -> KerasOptimizer:
        check_numbers(optimizer)
        return optimizer

    @model_validator(mode="before")
    @classmethod
    def _numbers_in_place(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping):
            check_place(fields, cls.model_fields)
        return fields

    @model_validator(mode="after")
    def _unfreezes_something(self) -> Self:
        epoch = self.unfreeze_at_epoch
        if epoch is not None and not self.freeze:
            raise ConfigError(
                "unfreeze_at_epoch is set, but nothing is frozen",
                rule="patterns in training.freeze",
                received=f"unfreeze_at_epoch={epoch}, freeze=[]",
                fix="training.freeze=[backbone/**]",
            )
        if epoch is not None and epoch > self.epochs:
            raise ConfigError(
                f"unfreeze_at_epoch is {epoch}, but the run has {self.epochs} epochs",
                rule="an epoch of the run, counted from 1, or null: the layers stay frozen",
                received=f"unfreeze_at_epoch={epoch}, epochs={self.epochs}",
                fix="training.unfreeze_at_epoch=null",
            )
        return self

    @model_validator(mode="after")
    def _one_kind_of_factors(self) -> Self:
        if self.layer_decay is not None and self.learning_rate_factors:
            raise ConfigError(
                "both learning_rate_factors and layer_decay are set",
                rule="one of them determines the factor of each weight",
                received=f"layer_decay={self.layer_decay}",
                fix="training.layer_decay=null",
            )
        return self

    @model_validator(mode="after")
    def _one_accumulation(self) -> Self:
        own = self.optimizer.arguments.get("gradient_accumulation_steps")
        if self.accumulate_steps > 1 and own:
            raise ConfigError(
                "both the run and its optimizer accumulate gradients",
                rule="accumulate_steps of the run, or gradient_accumulation_steps of the optimizer",
                received=f"accumulate_steps={self.accumulate_steps}, "
                f"gradient_accumulation_steps={own}",
                fix="training.accumulate_steps=1",
            )
        return self

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.ema_decay is not None and self.optimizer.arguments.get("use_ema"):
            raise ConfigError(
                "both the run and its optimizer keep a moving average of the weights",
                rule="ema_decay of the run, or use_ema of the optimizer",
                received=f"ema_decay={self.ema_decay}, use_ema=True",
                fix="training.ema_decay=null",
            )
        return self
