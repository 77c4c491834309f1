"""`Training`: the training settings, independent of model and data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from visiongarden.config import Value
from visiongarden.transforms.sizes import MultiScale

Share = Annotated[float, Field(ge=0, le=1)]


class Training(Value):
    """Training settings: optimizer, schedule, length and evaluation.

    Attributes:
        epochs: Number of passes over the training split.
        batch_size: Images per step; at most the number of images in the training split.
        optimizer: "adamw" (Loshchilov & Hutter 2019) or "sgd" with Nesterov momentum 0.937.
        learning_rate: Peak learning rate, reached at the end of the warm-up.
        final_lr_fraction: Learning rate at the end of the cosine schedule, as a fraction of
            `learning_rate`.
        warmup_epochs: Epochs in which the learning rate rises linearly from near 0; at most a
            quarter of the run.
        weight_decay: Decoupled weight decay of kernels; biases and normalizations have none.
        clip_norm: Maximum global norm of the gradients; None disables clipping.
        ema_decay: Maximum decay of the exponential moving average (EMA) of the weights; early steps
            use less. None evaluates and saves the raw weights.
        precision: Keras dtype policy that the model is built with.
        validate_every: Epochs between two evaluations on the validation split; the last epoch is
            always evaluated.
        workers: Number of processes that load images; 0 loads in a thread of this process.
        seed: Seed of weights, order and transforms.
        multi_scale: Largest change of the image size between batches, as a fraction of it. Each
            batch has one of up to five sizes, multiples of the largest stride (Redmon and Farhadi
            2017, YOLOv2).
        tensorboard: Whether to write TensorBoard events, if `tensorboard` is installed.
    """

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 16
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 0.002
    final_lr_fraction: Share = 0.01
    warmup_epochs: NonNegativeFloat = 3.0
    weight_decay: NonNegativeFloat = 0.05
    clip_norm: PositiveFloat | None = 10.0
    ema_decay: Share | None = 0.9995
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    validate_every: PositiveInt = 1
    workers: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    multi_scale: MultiScale = 0.0
    tensorboard: bool = True
