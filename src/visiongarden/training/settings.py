"""`Training`: the numbers of a run that do not depend on model or data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from visiongarden.config import Value

Share = Annotated[float, Field(ge=0, le=1)]


class Training(Value):
    """How a model is trained.

    Attributes:
        epochs: passes over the training split.
        batch_size: images a step; a smaller data set lowers it.
        optimizer: "adamw" (Loshchilov & Hutter 2019) or "sgd" with Nesterov momentum 0.937.
        learning_rate: the highest, reached after the warm-up.
        final_learning_rate: share of `learning_rate` that the cosine ends at.
        warmup_epochs: epochs in which the learning rate rises linearly from near 0.
        weight_decay: decoupled decay of kernels; biases and normalisations have none.
        clip_norm: largest norm of all gradients together; None does not clip.
        average: share of the old value that the weights' moving average keeps at each step, at
            most; early steps keep less. None judges and saves the raw weights.
        precision: Keras dtype policy that the model is built with.
        judge_every: epochs between two evaluations on the validation split; the last is always one.
        workers: processes that load images; 0 loads in a thread of this process.
        seed: of weights, order and augmentation.
        tensorboard: write event files, where the package `tensorboard` is installed.
    """

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 16
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 0.002
    final_learning_rate: Share = 0.01
    warmup_epochs: NonNegativeFloat = 3.0
    weight_decay: NonNegativeFloat = 0.05
    clip_norm: PositiveFloat | None = 10.0
    average: Share | None = 0.9995
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    judge_every: PositiveInt = 1
    workers: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    tensorboard: bool = True
