"""A training step makes no host round trip: the batch goes in, and the logs come out when read."""

import sys

import keras
import numpy as np
import pytest
from tests.training.tiny import batches, classifier, settings

import visiongarden as vg
from visiongarden.backends import captured
from visiongarden.tasks import task_of
from visiongarden.training import Training, batch_logs, fit, loss_watch
from visiongarden.training.building import make_optimizer

BACKEND = keras.backend.backend()
SIZE, IMAGES = (64, 64), 2
TASKS = (
    "detection", "classification", "segmentation", "multi_label", "regression",
    "instance_segmentation",
)  # fmt: skip


def example(name):
    """Return the default model of a task, with a smaller backbone, and a batch for it."""
    task = vg.tasks.Task.find(name)()
    fields = task.defaults().model
    levels = tuple(fields["backbone"]["levels"])
    backbone = vg.backbones.DarknetTiny(width=0.0625, levels=levels)
    decoder = vg.Decoder.from_dict(fields["decoder"])
    given = {"names": ["mass"], "units": ["g"], "means": [1.0], "scales": [2.0]}
    given = given if name == "regression" else {"num_classes": 3}
    head = vg.Head.from_dict(fields["head"] | given)
    model = task.model(backbone, decoder=decoder, head=head, image_size=SIZE)
    pixels = np.random.default_rng(0).integers(0, 255, (IMAGES, *SIZE, 3)).astype(np.uint8)
    targets = task_of(model).example_targets(model.parts.head, levels, SIZE, IMAGES)
    model.compile(make_optimizer(Training(), 10), jit_compile=BACKEND == "jax")
    return model, pixels, targets


def host_operations_of_tensorflow(model, pixels, targets):
    import tensorflow as tf

    traced = tf.function(model.train_step, autograph=False)
    graph = traced.get_concrete_function((pixels, targets)).graph
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    assert len(nodes) > 100
    return {node.op for node in nodes if "PyFunc" in node.op or node.op.startswith("Print")}


def host_operations_of_jax(model, pixels, targets):
    import jax
    from jax.extend import core

    model.optimizer.build(model.trainable_variables)
    state = [
        [variable.value for variable in group]
        for group in (
            model.trainable_variables, model.non_trainable_variables,
            model.optimizer.variables, model.metrics_variables,
        )
    ]  # fmt: skip
    program = jax.make_jaxpr(model.train_step)(state, (pixels, targets))

    def primitives(jaxpr):
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for value in jax.tree.leaves(
                list(equation.params.values()),
                is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr),
            ):
                if isinstance(value, core.ClosedJaxpr):
                    value = value.jaxpr
                if isinstance(value, core.Jaxpr):
                    yield from primitives(value)

    names = list(primitives(program.jaxpr))
    assert len(names) > 100
    return {name for name in names if "callback" in name or "feed" in name}


def host_operations_of_torch(model, pixels, targets):
    import torch

    graphs, fold = [], captured._fold
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captured, "AFTER", 1)
        patch.setattr(captured, "_fold", lambda graph: fold(graph) or graphs.append(graph))
        for _ in range(3):
            model.train_on_batch(pixels, targets)
    # A step that reads a tensor's value is not captured.
    assert vars(model)["_torch_step"]._step.captured == len(graphs) == 1
    nodes = [n for n in graphs[0].graph.nodes if hasattr(n.target, "tags")]  # operations
    assert len(nodes) > 100
    # The host waits for the number of elements of an output, and copies a constant at each step.
    waits = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
    return {
        str(node.target)
        for node in nodes
        if waits & set(node.target.tags) or node.target is torch.ops.aten.lift_fresh_copy.default
    }


@pytest.mark.slow
@pytest.mark.backends
@pytest.mark.parametrize("name", TASKS)
def test_the_default_model_of_each_task(name):
    kinds = {
        "tensorflow": host_operations_of_tensorflow,
        "jax": host_operations_of_jax,
        "torch": host_operations_of_torch,
    }
    assert not kinds[BACKEND](*example(name))


@pytest.mark.backends
def test_a_small_model():
    test_the_default_model_of_each_task("classification")


@pytest.fixture
def reads(monkeypatch):
    """A list to which each read of a tensor by the host adds the name of the method."""
    found = []

    def count(kind, *names):
        for name in names:
            original = getattr(kind, name)
            call = original.fget if isinstance(original, property) else original

            def counted(*args, _call=call, _name=name, **kwargs):
                found.append(_name)
                return _call(*args, **kwargs)

            is_property = isinstance(original, property)
            monkeypatch.setattr(kind, name, property(counted) if is_property else counted)

    if BACKEND == "tensorflow":
        import tensorflow as tf

        count(next(k for k in type(tf.constant(0)).__mro__ if "_numpy" in vars(k)), "_numpy")
        # It reads through the buffer of a tensor, without a method.
        count(sys.modules["keras.src.backend"], "convert_to_numpy")
    elif BACKEND == "jax":
        import jax.numpy as jnp

        count(type(jnp.zeros(())), "_value")
    else:
        import torch

        names = ("numpy", "item", "tolist", "__array__", "__float__", "__int__", "__bool__")
        count(torch.Tensor, *names)
    return found


@pytest.mark.backends
def test_a_run_reads_nothing_in_each_step(tmp_path, monkeypatch, reads):
    monkeypatch.setattr(loss_watch, "is_on_accelerator", lambda: True)
    monkeypatch.setattr(captured, "AFTER", 1)  # PyTorch reads constants before the capture
    counts = []
    for steps in (4, 10):
        before = len(reads)
        fit(classifier(), batches(steps), tmp_path / str(steps), settings(epochs=1))
        counts.append(len(reads) - before)
    # On TensorFlow, Keras asks before each step whether the data have ended.
    of_keras = 1 if BACKEND == "tensorflow" else 0
    assert counts[1] - counts[0] == 6 * of_keras
    assert counts[0] > 4 * of_keras


@pytest.mark.backends
def test_logs_are_read_once_for_all(reads):
    values = {"loss": keras.ops.ones(()), "terms": {"box": 2 * keras.ops.ones(())}, "n": 3}
    logs = batch_logs.BatchLogs(values)
    vector = keras.ops.stack([keras.ops.ones(()), keras.ops.zeros(())])
    reads.clear()
    keras.ops.convert_to_numpy(vector)
    of_one_tensor = list(reads)
    reads.clear()
    assert list(logs) == ["loss", "box", "n"]
    assert not reads
    assert dict(logs) == {"loss": 1.0, "box": 2.0, "n": 3}
    assert "dfl" not in logs
    assert reads == of_one_tensor
