"""Engine of TensorFlow: a copy of the step for each device, by the strategies of `tf.distribute`.

**Why.** Keras supports `MirroredStrategy`, but no optimizer or loss of its own that adds over the
replicas, and not `MultiWorkerMirroredStrategy`. **Gain:** correctness: without the sums the copies
of the weights differ, and nothing reports it. **Switch:** none.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from visiongarden.backends.assumptions import require
from visiongarden.backends.engine import Engine, engine, too_many
from visiongarden.backends.host_channel import TIMEOUT, HostChannel
from visiongarden.backends.host_watch import HostWatch
from visiongarden.backends.launcher import Launch
from visiongarden.errors import UserError, option


class TensorFlowReplicas(Engine):
    """Replicas of a strategy of `tf.distribute`.

    Args:
        strategy: The strategy.
        launch: The place of this process, if a launcher started several.
    """

    def __init__(self, strategy: Any, launch: Launch | None = None) -> None:
        import tensorflow as tf

        self.strategy, self.collective_errors = strategy, (RuntimeError, tf.errors.OpError)
        self.devices = self.replicas = int(strategy.num_replicas_in_sync)
        kind = f"{self.devices} replicas of TensorFlow ({type(strategy).__name__})"
        self.name = kind if launch is None else f"{launch.processes} processes, {kind}"
        if launch is not None:
            self.rank, self.processes = launch.rank, launch.processes
            self.local_processes = launch.local_processes
            store = _Store()
            self.channel = HostChannel(store, self.rank, self.processes)
            HostWatch(store, self.channel).start()

    def summed(self, tensors: list[Any]) -> list[Any]:
        """Return the sums over all replicas, inside a replica only."""
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1 or not tensors:
            return tensors
        if self.processes == self.replicas:
            # A collective between processes needs the device of each tensor; constants have none.
            with tf.device(self.strategy.extended.worker_devices[0]):
                tensors = [tf.identity(tensor) for tensor in tensors]
        found: list[Any] = context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
        return found

    def replica(self) -> Any:
        """Return the number of the replica, a tensor."""
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        return 0 if context is None else context.replica_id_in_sync_group

    def steps(self, model: Any) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which Keras's `fit` reads each batch once."""
        return read_once(model)

    def local(self, value: Any) -> Any:
        """Return the first copy of this process; to read a metric adds the copies of all."""
        return self.strategy.experimental_local_results(value)[0]

    def copies(self, value: Any) -> list[Any]:
        """Return the copies of the replicas of this process."""
        return list(self.strategy.experimental_local_results(value))

    def assign(self, variable: keras.Variable, value: Any) -> None:
        """Assign a value to each copy; a metric would divide it among the copies of all."""
        for copy in self.strategy.experimental_local_results(variable.value):
            copy.assign(keras.ops.cast(value, copy.dtype.name))

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the scope of the strategy."""
        scope: contextlib.AbstractContextManager[Any] = self.strategy.scope()
        return scope


class _Store:
    """The key-value store of TensorFlow's coordination service, which holds text."""

    def __init__(self) -> None:
        require("tensorflow_store")
        from tensorflow.python.eager import context

        self._context = context.context()

    def put(self, key: str, value: bytes) -> None:
        text = base64.b64encode(value).decode()
        self._context.set_config_key_value(f"visiongarden/{key}", text)

    def take(self, key: str, seconds: float) -> bytes | None:
        import tensorflow as tf

        milliseconds = max(int(1000 * seconds), 1)
        try:
            text = self._context.get_config_key_value(f"visiongarden/{key}", milliseconds)
        except (tf.errors.DeadlineExceededError, tf.errors.NotFoundError):
            return None
        return base64.b64decode(text)

    def drop(self, key: str) -> None:
        self._context.delete_config_key_value(f"visiongarden/{key}")


def on_this_host(devices: int) -> Engine:
    """Return the engine of some devices of this host; on a CPU they are made here.

    Raises:
        UserError: There are fewer.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus and devices > len(gpus):
        raise too_many(devices, len(gpus), "GPUs")
    if devices == 1:
        return Engine()
    kind = "GPU" if gpus else "CPU"
    if not gpus:
        (cpu, *_) = tf.config.list_physical_devices("CPU")
        try:
            parts = [tf.config.LogicalDeviceConfiguration()] * devices
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError:
            pass  # TensorFlow has started; there may be enough of them
        count = len(tf.config.list_logical_devices("CPU"))
        if count < devices:
            raise UserError(
                f"{option('devices', devices)} is more than the devices of TensorFlow in this "
                "process",
                rule=f"{count}: TensorFlow has started, and the number of its CPU devices is "
                "fixed then",
                received=option("devices", devices),
                fix=f"train in a new process with {option('devices', devices)}",
            )
    names = [f"{kind}:{number}" for number in range(devices)]
    return TensorFlowReplicas(tf.distribute.MirroredStrategy(names))


def of_launcher(launch: Launch) -> Engine:
    """Return the engine of the workers that `TF_CONFIG` lists."""
    import tensorflow as tf

    # Without it a collective waits for ever for a worker that does not answer.
    timeout = tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=timeout)
    return TensorFlowReplicas(strategy, launch)


def replicated_step(model: Any) -> Callable[[Any], Any] | None:
    """Return the function of a training step that runs on all replicas, or None if there is one.

    The function of Keras fails under `MultiWorkerMirroredStrategy`, and takes the mean of logs over
    an axis that scalars do not have. The logs of our step are equal on all replicas.
    """
    import tensorflow as tf

    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return None

    def on_all(iterator: Any) -> Any:
        logs = strategy.run(model.train_step, args=(next(iterator),))
        return keras.tree.map_structure(
            lambda value: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None), logs
        )

    # Without AutoGraph, as in Keras.
    traced: Callable[[Any], Any] = tf.function(on_all, autograph=False)
    return traced


def leave_gradients(optimizer: Any) -> None:
    """Keep an optimizer of Keras from adding gradients that are added already."""
    require("gradient_sums")
    vars(optimizer)["_all_reduce_sum_gradients"] = lambda pairs: [
        (gradient, variable) for gradient, variable in pairs if gradient is not None
    ]


@contextlib.contextmanager
def read_once(model: Any) -> Iterator[None]:
    """Keep Keras from taking a batch to build a model that is built, while the context lasts.

    It takes one as soon as there is a strategy, which a source that is read once lacks then.
    """
    require("symbolic_build")
    state: Any = vars(model)
    state["_maybe_symbolic_build"] = lambda iterator=None, data_batch=None: None
    try:
        yield
    finally:
        state.pop("_maybe_symbolic_build", None)


def distributed_dataset(dataset: Any) -> Any:
    """Return a dataset as Keras's `fit` divides it among the replicas.

    Args:
        dataset: Dataset of batches; with several processes, of the rows of this one.
    """
    import tensorflow as tf

    active = engine()
    if not isinstance(active, TensorFlowReplicas) or active.processes == 1:
        return dataset  # Keras divides each batch
    # Keras would divide the rows once more among the processes.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    rows, here = dataset.with_options(options), active.replicas // active.processes
    if here > 1:
        rows = rows.flat_map(lambda *batch: _pieces(batch, here))
    return active.strategy.distribute_datasets_from_function(lambda _: rows)


def _pieces(batch: Any, count: int) -> Any:
    """Return a dataset of the equal pieces of a batch."""
    import tensorflow as tf

    def divided(array: Any) -> Any:
        shape = tf.shape(array)
        return tf.reshape(array, tf.concat([[count, shape[0] // count], shape[1:]], 0))

    return tf.data.Dataset.from_tensor_slices(keras.tree.map_structure(divided, batch))
