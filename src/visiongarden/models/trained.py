"""`TrainedByHead`: Keras's `compile`, `fit` and `evaluate` of models that are made of parts."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from visiongarden.backends.accumulation import (
    Part,
    accumulator_of,
    step_with_parts,
    steps_by_kind,
)
from visiongarden.backends.distribution import begin_step, replicas, summed
from visiongarden.backends.jax_step import JaxStep, compiles_steps, steps_return_state
from visiongarden.backends.onednn import warn_without_onednn
from visiongarden.backends.replicas import of_all_replicas, replicated_step
from visiongarden.backends.torch_step import TorchStep, uses_torch_step
from visiongarden.backends.tracing import keeps_unknown_sizes
from visiongarden.backends.training_state import build_optimizer
from visiongarden.errors import UserError
from visiongarden.losses import Loss, quotients
from visiongarden.models.backup import restored_epoch
from visiongarden.models.epoch_dataset import (
    EpochDataset,
    Epochs,
    IndexedBatches,
    is_indexed,
)
from visiongarden.ops import wide
from visiongarden.parts.target_inputs import WithTargets, with_targets
from visiongarden.types import ImageSize, RawPredictions, Tensor, Term

_OUTPUTS, _TARGETS, _SIZE = "_outputs", "_targets", "_size"
"""Entries of the logs of `test_step` that are handed to the metrics and removed again."""


class TrainedByHead(WithTargets):  # noqa: VG101  a base class
    """Base class of models that Keras's own workflow trains with the loss of their head.

    `model.compile("adam")` without a `loss` uses the loss of the head; with one, everything is as
    Keras does it. The logs contain the mean of each term of the loss. `evaluate` adds the metrics
    of the task ("AP", "top1", "mIoU"), and `fit` writes them with "val_" in front before the
    callbacks run.
    """

    train_function: Any
    test_function: Any

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train the model as `keras.Model.fit` does.

        Args:
            *args: Arguments of `keras.Model.fit`. `x` and `validation_data` may be a loader of
                visiongarden, besides everything that Keras takes: arrays, generators,
                `tf.data.Dataset`, `keras.utils.PyDataset`, the `DataLoader` of PyTorch, Grain.
                Batches are `(images, targets)`: images as stored, (batch, height, width,
                channels), and a dict of targets, as `vg.data.Loader` yields them.
            **kwargs: The same, by name.

        Returns:
            Keras's `History`. Its metrics are named "loss", by the terms of the loss, "val_loss"
            and by the metrics of the task, such as "val_AP".

        Raises:
            UserError: The batches have no targets, or the model is compiled with
                `steps_per_execution` above 1.

        Example:
            >>> model = vg.Classifier(
            ...     backbone=vg.backbones.CSPDarknet(levels=("p5",), depth=0.33, width=0.0625),
            ...     head=vg.heads.Classification(num_classes=2),
            ...     image_size=32,
            ... )
            >>> images = np.zeros((4, 32, 32, 3), np.uint8)
            >>> targets = {"labels": np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]}
            >>> model.compile("adam", jit_compile=False)
            >>> history = model.fit(images, targets, validation_data=(images, targets), verbose=0)
            >>> sorted(history.history)
            ['class', 'loss', 'val_class', 'val_loss', 'val_top1']
        """
        warn_without_onednn()
        given = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        if isinstance(given.get("x"), Epochs):
            epochs = given.get("epochs", 1)
            first = restored_epoch(given.get("callbacks"), given.get("initial_epoch", 0))
            # The loader shuffles; Keras would change the order of batches that are read in turn.
            given |= {"x": EpochDataset(given["x"], first, epochs), "shuffle": False}
        elif is_indexed(given.get("x")):
            given |= {"x": IndexedBatches(given["x"]), "shuffle": False}
        elif "shuffle" not in given and given.get("y") is None and _is_in_order(given.get("x")):
            # Keras would warn that it does not shuffle them, although nobody asked for it.
            given["shuffle"] = False
        if "validation_data" in given:
            given["validation_data"] = _as_dataset(given["validation_data"])
        if self._uses_head_loss():
            build_optimizer(self)
        return super().fit(**given)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Evaluate the model as `keras.Model.evaluate` does, and add the metrics of its task.

        Results are compared in pixels of the original images for a loader of visiongarden, and in
        pixels of the batch for other data.

        Args:
            x: Data, as in `fit`.
            y: Targets by name, for images as an array.
            batch_size: As in Keras.
            verbose: As in Keras.
            sample_weight: As in Keras.
            steps: As in Keras.
            callbacks: As in Keras.
            return_dict: Whether to return a dict by name; a list otherwise.
            **kwargs: As in Keras.

        Returns:
            The loss, its terms, and the metrics.
        """
        x = _as_dataset(x)
        arguments = (x, y, batch_size, verbose, sample_weight, steps, callbacks)
        if self.loss is not None:
            return super().evaluate(*arguments, return_dict=return_dict, **kwargs)
        evaluation = importlib.import_module("visiongarden.evaluation")  # above the models
        collector = evaluation.Collector(self, x if isinstance(x, EpochDataset) else None)
        object.__setattr__(self, "_collector", collector)
        try:
            logs = super().evaluate(*arguments, return_dict=True, **kwargs)
        finally:
            object.__setattr__(self, "_collector", None)
        found = logs | collector.result()
        return found if return_dict else list(found.values())

    @property
    def metrics(self) -> list[Any]:
        """Metrics of Keras, and the mean of each term of the loss."""
        found: list[Any] = super().metrics
        return [*found, *self._terms()] if self._uses_head_loss() else found

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the total loss of a batch, and add each term to its mean over the epoch.

        The total is the sum of the terms of the head's loss and of the losses that layers add
        (`add_loss`, regularizers).

        Args:
            x: Images (batch, height, width, channels), pixel values as stored.
            y: Targets by name.
            y_pred: Raw predictions for the images.
            sample_weight: Ignored by the loss of a head.
            training: Ignored by the loss of a head.

        Returns:
            A scalar.

        Raises:
            UserError: There are no targets by name.
        """
        if self.loss is not None:
            found: Tensor = super().compute_loss(x, y, y_pred, sample_weight, training)
            return found
        if not isinstance(y, Mapping):
            raise UserError(
                "the batches have no targets by name",
                rule="(images, targets), where targets is a dict, as of vg.data.Loader",
                received="no targets" if y is None else type(y).__name__,
                fix="model.fit(images, {'labels': labels})",
            )
        terms = self.compute_terms(x, y, y_pred)
        trackers = self._terms()
        # The parts of a term, one on each replica, add up to the term of the whole batch.
        logged = summed([ops.stop_gradient(terms[tracker.name]) for tracker in trackers])
        for tracker, value in zip(trackers, logged, strict=True):
            tracker.update_state(value)
        # Every replica adds the losses of its weights, which are those of all.
        others = [ops.cast(each, wide()) / replicas() for each in self.losses]
        self._keep("_others", others)
        total: Any = sum([*terms.values(), *others])
        return total

    def compute_terms(
        self, x: Tensor, y: Mapping[str, Tensor], y_pred: RawPredictions
    ) -> dict[str, Tensor]:
        """Return the terms of the head's loss for a batch, scalars by name.

        On several replicas, each returns its part: the divisors are those of the whole batch.
        """
        found = self._loss_of_run()(y_pred, y, self.context(self._size_of(x)))
        self._keep("_computed", found)
        if replicas() == 1:
            return quotients(found)
        counts = [ops.cast(ops.convert_to_tensor(term.count), wide()) for term in found.values()]
        pairs = zip(found.items(), summed(map(ops.stop_gradient, counts)), strict=True)
        return quotients({name: Term(term.total, count) for (name, term), count in pairs})

    @property
    def sums_of_loss(self) -> int:
        """Number of sums of gradients that accumulate the loss of a run, see `parts_of_loss`."""
        loss = self._loss_of_run()
        return (1 if loss.shared_count else len(loss.terms)) + 1

    def parts_of_loss(self, total: Tensor) -> list[Part]:
        """Return the parts of the loss that `compute_loss` just returned, by their counts.

        Terms with the same count are one part. The last row is that of losses without a count,
        which are averaged over the batches: those of layers, or the whole loss of a subclass that
        computes it in another way.

        Args:
            total: What `compute_loss` returned.

        Raises:
            UserError: The loss declares `shared_count`, but its terms have several counts.
        """
        last, base = self.sums_of_loss - 1, TrainedByHead
        # Every replica adds the parts without a count, which count once together.
        one = ops.ones((), wide()) / replicas()
        own = type(self)
        if own.compute_loss is not base.compute_loss or own.compute_terms is not base.compute_terms:
            return [Part(last, total, one)]
        # Removed, since the tensors of PyTorch hold the graph of the batch.
        kept: Any = vars(self)["_kept"].pop(threading.get_ident())
        found: dict[str, Term] = kept["_computed"]
        parts: dict[int, Part] = {}
        for row, term in enumerate(found.values()):
            before = parts.get(id(term.count))
            if before is None:
                count = ops.cast(ops.stop_gradient(ops.convert_to_tensor(term.count)), wide())
                parts[id(term.count)] = Part(row, term.total, count)
            else:
                parts[id(term.count)] = before._replace(total=before.total + term.total)
        if any(part.row >= last for part in parts.values()):
            raise UserError(
                f"the terms of {type(self._loss_of_run()).__name__} have different counts",
                rule="shared_count = True, for a loss whose terms all have the same count",
                received=f"{len(parts)} counts",
                fix="shared_count: ClassVar[bool] = False",
            )
        others = kept["_others"]
        rest = [Part(last, sum(others), one)] if others else []
        return [*parts.values(), *rest]

    def _keep(self, name: str, value: Any) -> None:
        """Keep a part of the loss for `parts_of_loss`."""
        if self.compiled and accumulator_of(self.optimizer) is not None:
            if "_kept" not in vars(self):
                object.__setattr__(self, "_kept", {})
            # Each replica of TensorFlow computes its part of the loss in a separate thread.
            vars(self)["_kept"].setdefault(threading.get_ident(), {})[name] = value

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Return the values of the metrics; in `test_step` also what the task's metrics need."""
        logs: dict[str, Any] = super().compute_metrics(x, y, y_pred, sample_weight)
        if vars(self).get("_tests"):
            # Above the models.
            decoding = importlib.import_module("visiongarden.evaluation.decoding")
            size = self._size_of(x)
            outputs = decoding.decoding_of(self)(y_pred, size)
            logs = {**logs, _OUTPUTS: outputs, _TARGETS: y, _SIZE: ops.array(size, "int32")}
        return logs

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the outputs; while the model is trained at several sizes, those of the size."""
        sizes = vars(self).get("_size_variants")
        if training and sizes is not None and self._size_of(inputs) in sizes.variants:
            return sizes(inputs, self._size_of(inputs))
        return super().call(inputs, training=training, mask=mask)

    def train_step(self, *args: Any) -> Any:
        """Run one step; on PyTorch it is captured after some calls."""
        accumulator = accumulator_of(self.optimizer) if self._uses_head_loss() else None
        has_parts = self._uses_head_loss() and (accumulator is not None or replicas() > 1)
        if not uses_torch_step(has_parts) or not self._uses_head_loss():
            with of_all_replicas(self):
                if has_parts:
                    return step_with_parts(self, accumulator, *args)
                return super().train_step(*args[:-1], self._with_targets(args[-1]))
        if vars(self).get("_torch_step") is None:
            object.__setattr__(self, "_torch_step", TorchStep(self))
        return vars(self)["_torch_step"](*args)

    def _with_targets(self, data: Any) -> Any:
        """Return the data of a training step, with the targets that the head takes as inputs."""
        if not self._target_names:
            return data
        images, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        return self.step_inputs(images, targets), targets, weights

    def step_inputs(self, images: Any, targets: Any) -> Any:
        """Return what the model takes in a training step: images, and targets if the head does.

        Args:
            images: Images (batch, height, width, channels), pixel values as stored.
            targets: Targets by name.
        """
        return with_targets(images, targets, self._target_names)

    def test_step(self, *args: Any) -> Any:
        """Run one step of an evaluation, whose logs contain decoded outputs and targets."""
        object.__setattr__(self, "_tests", self._uses_head_loss())
        try:
            return super().test_step(*args)
        finally:
            object.__setattr__(self, "_tests", False)

    def make_train_function(self, force: bool = False) -> Any:
        """Make the function of a training step; on JAX it is compiled with our options."""
        if self.train_function is not None and not force:
            return self.train_function
        object.__setattr__(self, "_torch_step", None)
        accumulator = accumulator_of(self.optimizer) if self._uses_head_loss() else None
        if accumulator is None or uses_torch_step(has_parts=True):
            self.train_function = self._made_step()
        else:
            self.train_function = steps_by_kind(accumulator, self._made_step)
        return self.train_function

    def _made_step(self) -> Any:
        """Return a function of a training step."""
        sizes = vars(self).get("_size_variants")
        if sizes is not None and keeps_unknown_sizes():
            return sizes.make_step()
        replicated = replicated_step(self) if self._uses_head_loss() else None
        if replicated is not None:
            return replicated
        if not self._compiles_jax_step():
            super().make_train_function(force=True)
            return self.train_function
        # A separate function: JAX would compile an equal one once, though it does something else.
        step = JaxStep(lambda state, data: self.train_step(state, data))

        def next_step(state: Any, batches: Any) -> Any:
            batch = next(batches)
            begin_step()
            return step(state, batch)

        return next_step

    def make_test_function(self, force: bool = False) -> Any:
        """Make the function of a step of an evaluation.

        Raises:
            UserError: The model is compiled with `steps_per_execution` above 1.
        """
        is_new = force or self.test_function is None
        if is_new and self._uses_head_loss() and self.steps_per_execution > 1:
            raise UserError(
                "the metrics of the task cannot see each batch",
                rule="steps_per_execution is 1",
                received=f"steps_per_execution={self.steps_per_execution}",
                fix="model.compile(optimizer)",
            )
        super().make_test_function(force)
        if is_new and self._uses_head_loss():
            self.test_function = self._collecting(self.test_function)
        return self.test_function

    def _collecting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step of an evaluation that hands its outputs to the metrics of the task."""
        is_stateless = steps_return_state()

        def step(*args: Any) -> Any:
            found = function(*args)
            logs = dict(found[0] if is_stateless else found)
            handed_on = [logs.pop(name) for name in (_OUTPUTS, _TARGETS, _SIZE)]
            collector = vars(self).get("_collector")
            if collector is not None:
                collector.update(*keras.tree.map_structure(ops.convert_to_numpy, handed_on))
            return (logs, *found[1:]) if is_stateless else logs

        return step

    def _loss_of_run(self) -> Loss:
        """Return the loss of the head, or the one that `visiongarden.training.fit` was given."""
        loss: Loss = vars(self).get("_run_loss") or self.parts.head.chosen_loss()
        return loss

    def _uses_head_loss(self) -> bool:
        return bool(self.compiled) and self.loss is None

    def _compiles_jax_step(self) -> bool:
        return bool(
            self.jit_compile
            and not self.run_eagerly
            and self.steps_per_execution == 1
            and self._uses_head_loss()
            and compiles_steps()
        )

    def _terms(self) -> list[Any]:
        trackers: list[Any] | None = vars(self).get("_term_trackers")
        if trackers is None:
            trackers = [keras.metrics.Mean(name=name) for name in self._loss_of_run().terms]
            # Keras would save them with the weights of the model.
            object.__setattr__(self, "_term_trackers", trackers)
        return trackers

    def _size_of(self, images: Tensor) -> ImageSize:
        if isinstance(images, Mapping):
            images = images["images"]
        height, width = images.shape[1:3]
        if height is None or width is None:
            height, width = self.image_size or (height, width)
        return height, width


def _as_dataset(data: Any) -> Any:
    """Return data for an evaluation as Keras takes them."""
    if isinstance(data, Epochs):
        return EpochDataset(data)
    return IndexedBatches(data) if is_indexed(data) else data


def _is_in_order(data: Any) -> bool:
    """Return whether Keras takes batches from `data` in their own order."""
    libraries = {base.__module__.partition(".")[0] for base in type(data).__mro__}
    return bool(libraries & {"tensorflow", "torch", "grain"})
