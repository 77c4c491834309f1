"""Checks of the assumptions about private names, by what they do; see `assumptions`."""

from __future__ import annotations

import random
from collections import defaultdict


def graph() -> bool:
    """Return whether each call of a layer is recorded, and found from its output."""
    import keras

    one, other = keras.KerasTensor((2, 3)), keras.KerasTensor((2, 3))
    layer = keras.layers.Add(name="add")
    first, second = layer([one, other]), layer([one, one])
    history = second._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    (given,) = node.arguments.args
    after = keras.ops.abs(second)
    is_recorded = (
        [history.operation, node.operation] == [layer, layer]
        and (given[0] is one and given[1] is one)
        and [id(x) for x in node.input_tensors] == [id(one), id(one)]
        and node.output_tensors[0] is second
        and first._keras_history.node_index == 0
        and len(layer._inbound_nodes) == 2
        and layer._outbound_nodes == [after._keras_history.operation._inbound_nodes[0]]
    )
    # Nodes that are removed leave no trace: the next call has their index.
    del layer._inbound_nodes[1:]
    return is_recorded and layer([other, other])._keras_history.node_index == 1


def sublayers() -> bool:
    """Return whether sublayers are listed in the order in which attributes were set."""
    import keras

    outer, one, other = (keras.layers.Layer(name=name) for name in ("outer", "one", "other"))
    outer.z, outer.a = [other], {"key": one}
    model = keras.Sequential([keras.Input((1,)), one, other])
    scale = keras.layers.BatchNormalization(trainable=False)
    scale.build((None, 1))
    trained = [id(weight) for weight in vars(scale)["_trainable_variables"]]
    return (
        outer._layers == [other, one]
        and model._layers[-2:] == [one, other]
        and trained == [id(scale.gamma), id(scale.beta)]
    )


def name_counters() -> bool:
    """Return whether an empty dict in the global state starts automatic names again."""
    import keras
    from keras.src.backend.common import global_state

    before = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", defaultdict(int))
    try:
        names = [keras.layers.Conv2D(1, 1).name for _ in range(3)]
        counted = dict(global_state.get_global_attribute("object_name_uids"))
    finally:
        global_state.set_global_attribute("object_name_uids", before or defaultdict(int))
    return names == ["conv2d", "conv2d_1", "conv2d_2"] and counted == {"conv2d": 3}


def weightless() -> bool:
    """Return whether variables can be created without values, and initialized one by one."""
    import keras
    from keras.src.backend.common import global_state

    pending = "uninitialized_variables"
    before = list(global_state.get_global_attribute(pending, []))
    with keras.StatelessScope(initialize_variables=False):
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
    made = global_state.get_global_attribute(pending, [])[len(before) :]
    global_state.set_global_attribute(pending, before)
    empty = [variable._value is None for variable in made]
    for variable in made:
        variable._initializer = lambda shape, dtype: keras.ops.full(shape, 7, dtype)
        variable._deferred_initialize()
    if keras.backend.backend() == "torch":
        layer._track_variables()
        if len(list(layer.parameters())) != 2:
            return False
    ones = keras.ops.convert_to_numpy(layer(keras.ops.ones((1, 3))))
    return empty == [True, True] and len(layer.weights) == 2 and ones.tolist() == [[28.0, 28.0]]


def raw_value() -> bool:
    """Return whether `_value` is the value itself, in the dtype of the variable."""
    import keras
    from keras.src.backend.common.variables import AutocastScope

    variable = keras.Variable([1.0, 2.0], dtype="float32")
    with AutocastScope("float16"):
        raw = variable._value
    same = keras.backend.standardize_dtype(raw.dtype) == "float32"
    variable.assign([3.0, 4.0])
    values = keras.ops.convert_to_numpy(variable._value)
    return same and values.tolist() == [3.0, 4.0]


def autocast() -> bool:
    """Return whether `AutocastScope(None)` ends the casting of variables."""
    import keras
    from keras.src.backend.common.variables import AutocastScope

    def dtype() -> str:
        return str(keras.backend.standardize_dtype(variable.value.dtype))

    variable = keras.Variable([1.0], dtype="float32", autocast=True)
    with AutocastScope("float16"):
        outside = dtype()
        with AutocastScope(None):
            inside = dtype()
    return (outside, inside, dtype()) == ("float16", "float32", "float32")


def float64() -> bool:
    """Return whether the table decides that results of float64 become float32."""
    import keras
    from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

    before = dict(BIT64_TO_BIT32_DTYPE)
    try:
        BIT64_TO_BIT32_DTYPE["float64"] = "float64"
        return keras.backend.result_type("float64", "float32") == "float64"
    finally:
        BIT64_TO_BIT32_DTYPE.clear()
        BIT64_TO_BIT32_DTYPE.update(before)


def seeds() -> bool:
    """Return whether the global seed determines the numbers that operations without seed give."""
    import keras
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED

    names, state = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR), random.getstate()
    before = [global_state.get_global_attribute(name) for name in names]
    found = []
    for seed in (5, 5, 6):
        random.seed(seed)
        global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
        found.append(keras.ops.convert_to_numpy(keras.random.uniform((4,))).tolist())
    random.setstate(state)
    for name, value in zip(names, before, strict=True):
        global_state.set_global_attribute(name, value)
    return found[0] == found[1] != found[2]


def global_seed() -> bool:
    """Return whether operations without a seed advance the global state and call `draw_seed`."""
    import keras
    from keras.src import backend
    from keras.src.random import seed_generator

    state = seed_generator.global_seed_generator().state
    before = keras.ops.convert_to_numpy(state.value).copy()
    asked = []
    original = backend.random.draw_seed

    def draw_seed(seed: object) -> object:
        asked.append(seed)
        return original(seed)

    backend.random.draw_seed = draw_seed
    try:
        keras.random.uniform((1,))
        keras.random.normal((1,), seed=3)
    finally:
        backend.random.draw_seed = original
    after = keras.ops.convert_to_numpy(state.value)
    state.assign(before)
    return asked == [None, 3] and before.tolist() != after.tolist()


def recorded_arguments() -> bool:
    """Return whether the constructor arguments of a layer are recorded."""
    import keras

    class Recorded(keras.layers.Layer):
        def __init__(self, width: int, shape: tuple[int, ...] = (), **kwargs: object) -> None:
            super().__init__(**kwargs)

    config = Recorded(3, shape=(1, 2), name="recorded")._auto_config.config
    return (config["width"], tuple(config["shape"])) == (3, (1, 2))


def backend_classes() -> bool:
    """Return whether an optimizer's class is Keras's public one or derived from it by the backend.

    A derived class is in a private module of the backend.
    """
    import keras

    kind = type(keras.optimizers.Adam())
    is_derived = issubclass(kind, keras.optimizers.Adam)
    return is_derived and (
        kind is keras.optimizers.Adam or kind.__module__.startswith("keras.src.backend.")
    )


def capture() -> bool:
    """Return whether PyTorch captures operations as a graph, and sees those that read a value."""
    import torch
    from torch._guards import TracingContext, tracing
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Seen():
        bool(torch.ones(()) > 0)
    total = torch.zeros(2)

    def function(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        total.add_(tensors[0])
        return [tensors[0].to(torch.float64) * 2]

    with torch.no_grad(), tracing(TracingContext(FakeTensorMode())):
        graph = make_fx(function)([torch.tensor([1.0, 2.0])])
    total.zero_()
    (doubled,) = graph([torch.tensor([3.0, 4.0])])
    operations = {node.target for node in graph.graph.nodes if node.op == "call_function"}
    aten = torch.ops.aten
    mutable = {o for o in operations if isinstance(o, torch._ops.OpOverload)}
    return (
        any("_local_scalar_dense" in name for name in seen)
        and doubled.tolist() == [6.0, 8.0]
        and total.tolist() == [3.0, 4.0]
        and aten._to_copy.default in operations
        and {o for o in mutable if o._schema.is_mutable} == {aten.add_.Tensor}
    )


def functional_collectives() -> bool:
    """Return whether the sum over processes is a graph operation with a registered gradient."""
    import torch
    from torch.distributed import _functional_collectives as collectives

    name = "_c10d_functional::all_reduce"
    return callable(collectives.wait_tensor) and bool(
        torch._C._dispatch_has_kernel_for_dispatch_key(name, "Autograd")
    )


def jax_client() -> bool:
    """Return whether the client of the coordination service is where it is looked for."""
    from jax._src import distributed
    from jax._src.lib import _jax

    client = _jax.DistributedRuntimeClient
    methods = ("key_value_set_bytes", "blocking_key_value_get_bytes", "key_value_delete")
    state = distributed.global_state
    return "client" in dir(state) and set(methods) <= set(dir(client))


def tensorflow_store() -> bool:
    """Return whether the context of TensorFlow has a store of text by key."""
    import inspect

    from tensorflow.python.eager import context

    given = inspect.signature(context.Context.get_config_key_value).parameters
    names = {"set_config_key_value", "delete_config_key_value"}
    return list(given) == ["self", "key", "timeout_in_ms"] and names <= set(dir(context.Context))


def symbolic_build() -> bool:
    """Return whether `fit` of Keras calls the method that `tensorflow_replicas` replaces."""
    import keras

    model = keras.Sequential([keras.layers.Dense(1)])
    return keras.backend.backend() != "tensorflow" or callable(model._maybe_symbolic_build)


def gradient_sums() -> bool:
    """Return whether an optimizer on TensorFlow passes its gradients through this method."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return True
    seen = []
    optimizer = keras.optimizers.SGD(1.0)
    weight = keras.Variable(keras.ops.ones((1,)))
    optimizer.build([weight])

    def keep(pairs: object) -> object:
        seen.append(pairs)
        return pairs

    vars(optimizer)["_all_reduce_sum_gradients"] = keep
    optimizer.apply([keras.ops.ones((1,))], [weight])
    return len(seen) == 1
