"""Training on several devices is that on one device, and ends in all processes together."""

import importlib
import json
import os
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from tests.training.test_accumulation import LOSS as SEGMENTATION_LOSS
from tests.training.test_accumulation import masks
from tests.training.tiny import TinyBackbone, batches, classifier, settings
from tests.training.two_processes import batches as boxes_batches

import visiongarden as vg
from visiongarden import UserError
from visiongarden.backends import distribution
from visiongarden.backends import engine as engine_module
from visiongarden.backends.engine import Engine
from visiongarden.backends.optional_imports import command_of
from visiongarden.backends.precision import compute_in_float64
from visiongarden.data.shares import Share
from visiongarden.errors import ConfigError, DataError
from visiongarden.losses import Loss
from visiongarden.recipes.peers import on_devices
from visiongarden.scenes import make_scenes
from visiongarden.training import Progress, VectorSGD, check_agreement, check_batch_size, fit
from visiongarden.training.record import Record
from visiongarden.training.replica_check import ReplicaCheck
from visiongarden.training.run_place import RunPlace
from visiongarden.training.source import EpochBatches

ROOT = Path(__file__).parents[2]
PROGRAM = "tests.training.two_processes"
BACKEND = keras.backend.backend()
TRAINING = {"epochs": 2, "batch_norm": "synchronized"}


@pytest.fixture
def devices(monkeypatch):
    """Pretend an engine of several devices, whose steps are never run."""

    def pretend(count, norms=("per_device", "synchronized")):
        engine = Engine()
        engine.devices = engine.replicas = count
        engine.norms = norms
        monkeypatch.setattr(engine_module, "_active", engine)

    return pretend


@pytest.mark.parametrize(
    ("size", "count", "nearest"), [(10, 4, "8 and 12"), (3, 4, "4 and 8"), (7, 2, "6 and 8")]
)
def test_a_batch_that_the_devices_do_not_divide_names_the_two_nearest(
    devices, size, count, nearest
):
    devices(count)
    with pytest.raises(UserError, match=f"the nearest are {nearest}"):
        check_batch_size(size)


def test_a_small_dataset_limits_the_nearest_batch(devices):
    devices(4)
    with pytest.raises(UserError) as error:
        check_batch_size(7, limit=7)
    assert error.value.fix == "training.batch_size=4"


@pytest.mark.parametrize(
    ("changes", "norms", "fix"),
    [
        ({"precision": "mixed_float16"}, ("per_device",), "training.precision=mixed_bfloat16"),
        ({"batch_norm": "per_device"}, ("synchronized",), "training.batch_norm=synchronized"),
    ],
)
def test_settings_that_several_devices_do_not_have(devices, tmp_path, changes, norms, fix):
    model = classifier()
    devices(2, norms)
    with pytest.raises(ConfigError) as error:
        fit(model, batches(), tmp_path, settings(**changes))
    assert error.value.fix == fix


def test_the_launcher_determines_the_devices(monkeypatch):
    variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "h", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match="torchrun started 2 processes"):  # noqa: SIM117
        with distribution.distributed(2):
            pass


def test_process_0_alone_looks_into_a_folder_and_writes(monkeypatch):
    """The first process of a second host has the local rank 0, too; its folder may be another."""

    class Answers:
        def exchange(self, message, decide):
            return b'"runs/cells-2"'

    active = Engine()
    active.rank, active.processes, active.channel = 1, 2, Answers()
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(engine_module, "_active", active)
    assert not distribution.is_first()
    assert distribution.decided(lambda: pytest.fail("looked")) == "runs/cells-2"


class _OtherProcess:
    """Channel to a second process, which sends one message."""

    def __init__(self, message):
        self.message = message

    def exchange(self, message, decide):
        return decide([message, self.message])


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("model of the recipe", {"backbone": {"type": "CSPDarknet", "width": 0.5}}),
        ("data", {"train": "e3b0", "val": "c442"}),
        ("keras", "3.14.0"),
        ("weights", "0" * 64),
    ],
)
def test_hosts_that_differ_are_refused_before_the_first_step(monkeypatch, name, other):
    """A long value is compared by its checksum, and a path is not compared."""
    same = {"options": [False, False], "data of the run": {"path": "/a", "images": 9}}
    own = {
        "model of the recipe": {"backbone": {"type": "CSPDarknet", "width": 0.25}},
        "data": {"train": "e3b0", "val": "98fc"},
        "keras": "3.15.1",
        "weights": "1" * 64,
    }
    engine, sent = Engine(), []
    engine.processes = 2
    monkeypatch.setattr(engine_module, "_active", engine)
    engine.channel = _OtherProcess(b"{}")
    monkeypatch.setattr(engine.channel, "exchange", lambda message, _: sent.append(message))
    check_agreement(
        lambda: same | own | {name: other, "data of the run": {"path": "/b", "images": 9}}
    )
    engine.channel = _OtherProcess(sent[0])
    with pytest.raises(UserError) as error:
        check_agreement(lambda: same | own)
    assert error.value.what == f"process 1 differs from process 0 in {name}"
    check_agreement(lambda: same | own | {name: other})


def test_more_devices_than_there_are_are_refused():
    """On a CPU, the number of devices is fixed once the backend has started."""
    keras.ops.ones(1)
    with pytest.raises(UserError, match="devices=4096") as error, on_devices(4096, {}):
        pass
    assert error.value.fix


def test_tensorflow_trains_without_xla(tmp_path):
    """Replicas whose steps XLA compiles wait for each other for ever (keras#20763)."""
    model = classifier()
    seen = []

    class Note(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.model.jit_compile)

    fit(model, batches(1), tmp_path, settings(epochs=1), callbacks=(Note(),))
    assert seen == [False]


def test_one_process_computes_nothing_to_compare():
    """The checksum of the weights of a large model takes seconds."""
    check_agreement(lambda: pytest.fail("called"))


def test_processes_read_their_rows_of_the_batches_of_other_loaders():
    data = [row[0] for row in boxes_batches(2)]

    class Batches:
        def __len__(self):
            return 2

        def epoch(self, number, epochs=None):
            return iter([type("Batch", (), {"images": x, "targets": {}}) for x in data])

    read = [
        [images for images, _ in EpochBatches(Batches(), 0, 0, 1, share=Share(rank, 2))]
        for rank in range(2)
    ]
    for number, images in enumerate(data):
        assert np.array_equal(images[0::2], read[0][number])
        assert np.array_equal(images[1::2], read[1][number])
    with pytest.raises(UserError, match="8 images cannot be divided among 3"):
        next(EpochBatches(Batches(), 0, 0, 1, share=Share(0, 3)))


def test_an_epoch_without_a_step_is_an_error(tmp_path, monkeypatch):
    """Keras's `fit` would be called again without end."""
    model = classifier()
    monkeypatch.setattr(type(model), "fit", lambda self, *args, **kwargs: None)
    model.stop_training = False
    with pytest.raises(DataError, match="epoch 1 ended without a step"):
        fit(model, batches(), tmp_path, settings())


@pytest.mark.backends
@pytest.mark.parametrize(("since", "step"), [(0, 1), (2, 3)])
def test_weights_that_differ_between_devices_end_a_run_before_it_is_saved(
    tmp_path, monkeypatch, since, step
):
    """They are compared after the first step and after each epoch."""

    class TwoDevices(Engine):
        """Two devices, on one of which a kernel is changed after some steps."""

        devices, done = 2, 0

        def copies(self, value):
            is_changed = self.done >= since and tuple(value.shape) == (3, 3, 3, 4)
            return [value, value + 1 if is_changed else value]

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            active.done += 1

    active, model = TwoDevices(), classifier()
    monkeypatch.setattr(engine_module, "_active", active)
    with pytest.raises(UserError) as error:
        fit(model, batches(), tmp_path, settings(epochs=1), callbacks=(Count(),))
    kernel = "model/backbone/stem/conv/kernel"
    assert error.value.what == f"{kernel} is not the same on all devices in epoch 1, step {step}"
    assert error.value.received.startswith("device 1 differs from the first one in 1 of ")
    assert not list(tmp_path.glob("*"))


def test_processes_compare_their_weights(tmp_path, monkeypatch):
    """Process 1 sends the checksum of another bias."""

    class Answers:
        position = 0

        def exchange(self, message, decide):
            names = [name for name in json.loads(message) if name.endswith("/bias")]
            other = json.loads(message) | {name: [1] for name in names}
            return decide([message, json.dumps(other).encode()])

    engine = Engine()
    engine.processes = engine.devices = 2
    engine.channel = Answers()
    model = classifier()
    record = Record(RunPlace(tmp_path), model, None, Progress(), 1, 3, 1)
    check = ReplicaCheck(record)
    model.compile(VectorSGD(0.01))
    model.optimizer.build(model.trainable_variables)
    check.set_model(model)
    check.on_epoch_begin(4)
    monkeypatch.setattr(engine_module, "_active", engine)
    with pytest.raises(UserError) as error:
        check.on_epoch_end(4)
    (bias,) = [weight.path for weight in model.weights if weight.path.endswith("/bias")]
    assert error.value.what == f"model/{bias} is not the same on all devices in epoch 5, step 0"
    assert error.value.received.startswith("device 0 of process 1 differs from the first one in 1 ")


def test_the_end_of_process_0_ends_the_store_and_is_named(monkeypatch):
    """On TensorFlow, the error of the store is no `RuntimeError`."""

    class UnavailableError(Exception):
        pass

    class Gone:
        rank = 1

        def _fails(self, *_):
            raise UnavailableError("connection refused")

        silent = failure = fail = _fails

    engine = Engine()
    engine.rank, engine.processes, engine.channel = 1, 2, Gone()
    engine.collective_errors = (RuntimeError, UnavailableError)
    monkeypatch.setattr(engine_module, "_active", engine)
    with pytest.raises(UserError, match="process 0 does not answer"), distribution.reported():
        raise UnavailableError("connection reset by peer")


class _Halves(Engine):
    """The other half of a batch, whose sums are known."""

    replicas = devices = 2

    def __init__(self, others):
        self.others = list(others)

    def summed(self, tensors):
        return [a + b for a, b in zip(tensors, self.others.pop(0), strict=True)]


def test_the_parts_of_a_loss_add_up_to_that_of_the_batch(monkeypatch):
    """The mean of the losses of two halves would be another number: their counts differ."""
    from tests.training.two_processes import detector

    model, (images, targets) = detector(), boxes_batches(1)[0]
    raw = model(images, training=False)
    halves = [slice(0, 4), slice(4, 8)]

    def part(rows):
        return (
            images[rows],
            {name: array[rows] for name, array in targets.items()},
            keras.tree.map_structure(lambda tensor: tensor[rows], raw),
        )

    whole = model.compute_terms(images, targets, raw)
    loss: Loss = model.parts.head.chosen_loss()
    counts = [
        [term.count for term in loss(out, t, model.context((32, 32))).values()]
        for _, t, out in map(part, halves)
    ]
    assert float(counts[0][0]) != float(counts[1][0])
    added = dict.fromkeys(whole, 0.0)
    for rows, others in zip(halves, counts[::-1], strict=True):
        monkeypatch.setattr(engine_module, "_active", _Halves([others]))
        for name, value in model.compute_terms(*part(rows)).items():
            added[name] += float(value)
    assert added == pytest.approx({name: float(value) for name, value in whole.items()}, rel=1e-6)


@pytest.fixture
def float64():
    """Compute in float64, in this test only."""
    kinds = importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE
    before = kinds["float64"], keras.config.floatx(), keras.config.dtype_policy()
    compute_in_float64()
    yield
    kinds["float64"] = before[0]
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(before[2])


class _Threads(Engine):
    """Replicas in threads of this process, which add when all have come."""

    devices = replicas = 2
    synchronizes = True

    def __init__(self):
        self.given, self.place = [None, None], threading.local()
        self.barrier = threading.Barrier(2, timeout=60)

    def replica(self):
        return self.place.number

    def _added(self, *tensors):
        self.given[self.replica()] = tensors
        self.barrier.wait()
        sums = tuple(a + b for a, b in zip(*self.given, strict=True))
        self.barrier.wait()  # before the next tensors replace these
        return sums

    def summed(self, tensors):
        """The gradients of a sum are the sums of the gradients."""
        if not tensors:
            return []
        if BACKEND == "torch":
            import torch

            functions = {
                "forward": staticmethod(lambda context, *given: self._added(*given)),
                "backward": staticmethod(lambda context, *grads: self._added(*grads)),
            }
            added = type("Added", (torch.autograd.Function,), functions).apply
        else:
            import tensorflow as tf

            added = tf.custom_gradient(
                lambda *given: (self._added(*given), lambda *grads: self._added(*grads))
            )
        return list(added(*tensors))


@pytest.mark.backends
@pytest.mark.skipif(BACKEND == "jax", reason="the program of all devices has one replica")
def test_two_replicas_train_as_one_in_float64(float64, monkeypatch):
    """The losses of six steps agree to 1e-9; the halves of the batch differ in their pixels."""
    images, targets = masks()

    def compiled():
        keras.utils.set_random_seed(0)
        model = vg.Segmenter(
            backbone=TinyBackbone(),
            decoder=vg.decoders.PassOn(levels=("p3",)),
            head=vg.heads.Segmentation(num_classes=3, dropout=0.0, loss=SEGMENTATION_LOSS),
            image_size=16,
        )
        model.compile(VectorSGD(0.05, global_clipnorm=1.0))
        model.optimizer.build(model.trainable_variables)
        return model

    def losses(model, rows):
        part = images[rows], {name: array[rows] for name, array in targets.items()}
        batch, found = keras.tree.map_structure(keras.ops.convert_to_tensor, part), []
        for _ in range(6):
            model.reset_metrics()
            found.append(float(model.train_step(batch)["loss"]))
        return found

    def replica(number, model):
        active.place.number = number
        return losses(model, slice(4 * number, 4 * number + 4))

    expected, models = losses(compiled(), slice(None)), [compiled(), compiled()]
    active = _Threads()
    monkeypatch.setattr(engine_module, "_active", active)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(replica, range(2), models)
    assert first == second
    assert len(set(expected)) == 6
    assert first == pytest.approx(expected, rel=1e-9, abs=0)


# The tests below start programs. One worker runs all of them, so that they share the fixtures.


def by_program(test):
    grouped = pytest.mark.xdist_group("devices")(test)
    return pytest.mark.slow(pytest.mark.backends(grouped))


def program(runs, environment=None):
    return subprocess.Popen(
        [*command_of(PROGRAM), json.dumps(runs)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answers(process):
    output, errors = process.communicate(timeout=400)
    found = [line for line in output.splitlines() if line.startswith("RESULT")]
    assert found, errors[-3000:]
    return json.loads(found[0].removeprefix("RESULT"))


def alone(run):
    """Result of a run in one process."""
    return answers(program([run]))[0]


def ports(count):
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in (one, two)][:count]


def started(runs, changes=None):
    """Two processes of the backend; `changes` are those of the runs of the second one."""
    if BACKEND == "tensorflow":
        workers = [f"127.0.0.1:{port}" for port in ports(2)]
        cluster = {"worker": workers}
        tasks = [{"type": "worker", "index": rank} for rank in range(2)]
        environments = [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": t})} for t in tasks]
    else:
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports(1)[0]), "WORLD_SIZE": "2",
                  "LOCAL_WORLD_SIZE": "2"}  # fmt: skip
        environments = [common | {"RANK": str(r), "LOCAL_RANK": str(r)} for r in range(2)]
    each = [runs, changes or runs]
    return [program(r, e) for r, e in zip(each, environments, strict=True)]


FLOAT64 = {"float64": True, "training": TRAINING}
SPOILED = {"training": TRAINING, "spoil_at": 3}
ONE_UPDATE = {
    "normalizes": False, "count": 1, "training": {
        "epochs": 1, "ema_decay": None, "optimizer": {
            "type": "VectorSGD", "learning_rate": 0.05, "momentum": 0.0, "global_clipnorm": None,
        },
    },
}  # fmt: skip
IN_PARTS = ONE_UPDATE | {
    "pieces": 2,
    "training": ONE_UPDATE["training"] | {"accumulate_steps": 2},
}


def placed(folder, devices=None, **runs):
    """Give each run its own folder below `folder`."""
    return [{"folder": str(folder / name), "devices": devices} | runs[name] for name in runs]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    make_scenes(folder, 15, (32, 32))
    return {"evaluates": True, "folder": str(folder)}


@pytest.fixture(scope="module")
def one(tmp_path_factory, scenes):
    """Results by name of runs in one process."""
    runs = {
        "trained": {"training": {"epochs": 2}}, "evaluated": scenes, "update": ONE_UPDATE,
        "float64": FLOAT64,
    }  # fmt: skip
    found = answers(program(placed(tmp_path_factory.mktemp("one"), **runs)))
    return dict(zip(runs, found, strict=True))


@pytest.fixture(scope="module")
def two(tmp_path_factory, scenes):
    """Results by name of runs in two processes, and their folder."""
    runs = {
        "trained": {"training": TRAINING}, "evaluated": scenes, "update": IN_PARTS,
        "differing": {"training": TRAINING}, "float64": FLOAT64,
        "spoiled": SPOILED,  # the last one, because it ends in an error for the other process
    }  # fmt: skip
    others = runs | {"differing": {"training": TRAINING | {"epochs": 3}}}
    folder = tmp_path_factory.mktemp("two")
    found = map(answers, started(placed(folder, **runs), placed(folder, **others)))
    return dict(zip(runs, zip(*found, strict=True), strict=True)), folder


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory):
    """Results by name of runs in one process with two devices, and their folder."""
    if BACKEND == "torch":
        pytest.skip("each device has a process")
    runs = {"trained": {"training": TRAINING}, "update": IN_PARTS}
    # On JAX, batch normalization is always synchronized.
    if BACKEND == "tensorflow":
        runs["per_device"] = {"training": {"epochs": 1, "batch_norm": "per_device"}}
    runs |= {"float64": FLOAT64, "spoiled": SPOILED}
    folder = tmp_path_factory.mktemp("devices")
    found = answers(program(placed(folder, 2, **runs)))
    return dict(zip(runs, found, strict=True)), folder


def assert_equal_run(found, expected):
    """The loss of the first step to 1e-5; the others differ by rounding that grows."""
    assert found["losses"][0] == pytest.approx(expected["losses"][0], rel=1e-5)
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)


@by_program
def test_two_processes_train_as_one(one, two):
    first, second = two[0]["trained"]
    assert first["weights"] == second["weights"]
    assert first["losses"] == second["losses"]
    assert {"last.keras", "best.keras", "resume.npz", "history.json"} <= set(first["files"])
    assert_equal_run(first, one["trained"])


@by_program
def test_a_process_that_is_killed_is_named_and_the_run_is_resumed(tmp_path, one):
    """The other process ends, and one process continues from the last checkpoint."""
    training = TRAINING | {"checkpoint_every": "2 steps"}
    given = {"devices": None, "folder": str(tmp_path / "two"), "training": training}
    first, second = started([given | {"kill_at": 7}])
    output, errors = first.communicate(timeout=400)
    second.communicate(timeout=400)
    assert second.returncode == -signal.SIGKILL
    assert "process 1 does not answer" in output + errors
    resumed = alone(given | {"resume": True})
    assert len(resumed["losses"]) in (14, 16)  # the last checkpoint may be in the writing
    expected = one["trained"]["losses"][-len(resumed["losses"]) :]
    assert resumed["losses"] == pytest.approx(expected, rel=1e-4)


@by_program
def test_the_run_is_resumed_after_process_0_was_killed(tmp_path):
    """The runtime of JAX ends the others by itself; the last checkpoint is complete."""
    training = TRAINING | {"checkpoint_every": "2 steps"}
    given = {"devices": None, "folder": str(tmp_path / "two"), "training": training}
    first, second = started([given | {"kill_at": 7, "kill_rank": 0}])
    output, errors = second.communicate(timeout=400)
    first.communicate(timeout=400)
    assert first.returncode == -signal.SIGKILL
    assert second.returncode
    named = "coordination service" if BACKEND == "jax" else "process 0 does not answer"
    assert named in output + errors
    assert len(alone(given | {"resume": True})["losses"]) in (14, 16)


# JAX waits in a collective, as TensorFlow does.
@pytest.mark.slow
@pytest.mark.backends("torch")
@pytest.mark.xdist_group("devices")
def test_a_process_that_lives_but_hangs_is_named(tmp_path):
    """It has the signs of life of its thread, and never begins a step for which the other waits."""
    given = {"devices": None, "folder": str(tmp_path / "two"), "training": TRAINING}
    first, second = started([given | {"hang_at": 3, "behind": 40}])
    try:
        output, errors = first.communicate(timeout=400)
        assert second.poll() is None
        assert first.returncode or "RESULT" in output
        assert "process 1 does not answer" in output + errors
    finally:
        second.kill()
        output, _ = second.communicate()
    assert "HANGS" in output


@by_program
def test_a_run_of_one_process_continues_in_two_and_ends_in_one(tmp_path, one):
    """The second process alone asks to stop; progress counts batches, the schedule updates."""
    given = {"devices": None, "folder": str(tmp_path / "run"), "training": TRAINING}
    losses = alone(given | {"stop_at": 4})["losses"]
    found = [answers(process)[0] for process in started([given | {"resume": True, "stop_at": 9}])]
    assert found[0]["losses"] == found[1]["losses"]
    assert len(found[0]["losses"]) == 9
    losses += found[0]["losses"]
    losses += alone(given | {"resume": True})["losses"]
    assert len(losses) == 20
    assert_equal_run({"losses": losses}, one["trained"])


@by_program
def test_two_processes_measure_what_one_does(one, two):
    """The metrics are equal to the last digit, with a last batch that is not full."""
    expected = dict(one["evaluated"]["metrics"])
    metrics = dict(two[0]["evaluated"][0]["metrics"])  # of process 0, which has the whole loss
    loss, expected_loss = (values.pop("val_loss") for values in (metrics, expected))
    assert metrics == expected
    # PyTorch adds in another order with another number of threads.
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert expected_loss > 0


@by_program
def test_processes_that_differ_are_refused_with_one_message(two):
    first, second = two[0]["differing"]
    assert first["error"] == second["error"]
    assert first["error"].startswith("process 1 differs from process 0 in training")
    assert not (two[1] / "differing").exists()


@by_program
def test_two_devices_of_one_process_train_as_one(one, on_two_devices):
    found = on_two_devices[0]["trained"]
    assert found["apart"] == 0
    assert_equal_run(found, one["trained"])


def assert_spoiled(error, folder):
    assert error.startswith("model/backbone/stem/conv/kernel is not the same on all devices")
    assert "in epoch 1, step 10" in error
    assert not list((folder / "spoiled").glob("*.npz"))


@by_program
def test_weights_that_differ_between_processes_are_found_at_the_end_of_the_epoch(two):
    """A weight of the last process is changed in the first epoch."""
    first, second = two[0]["spoiled"]
    assert first["error"] == second["error"]
    assert_spoiled(first["error"], two[1])


@by_program
def test_weights_that_differ_between_devices_are_found_at_the_end_of_the_epoch(on_two_devices):
    assert_spoiled(on_two_devices[0]["spoiled"]["error"], on_two_devices[1])


@by_program
@pytest.mark.parametrize("engine", ["processes", "devices", "4 devices"])
def test_every_engine_is_equal_to_one_process_in_float64(
    one, engine, request, tmp_path, record_property
):
    """The losses of 20 steps; an error of the division would show in the first one."""
    if engine == "processes":
        run = request.getfixturevalue("two")[0]["float64"][0]
    elif engine == "devices":
        run = request.getfixturevalue("on_two_devices")[0]["float64"]
    elif BACKEND == "jax":
        run = answers(program(placed(tmp_path, 4, float64=FLOAT64)))[0]
    else:
        pytest.skip("two devices show it")
    expected = np.array(one["float64"]["losses"])
    assert len(expected) == 20
    largest = float(np.abs(np.array(run["losses"]) / expected - 1).max())
    record_property("largest difference", largest)
    assert largest < 1e-9


def assert_equal_update(found, expected):
    assert len(found["losses"]) == 2
    for values, wanted in zip(found["values"], expected["values"], strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-6)


@by_program
def test_an_update_of_several_batches_in_two_processes_is_that_of_one_batch(one, two):
    """The counts of all batches of all processes divide the gradients."""
    assert_equal_update(two[0]["update"][0], one["update"])


@by_program
def test_an_update_of_several_batches_on_two_devices_is_that_of_one_batch(one, on_two_devices):
    assert_equal_update(on_two_devices[0]["update"], one["update"])


@pytest.mark.slow
@pytest.mark.xdist_group("devices")
def test_statistics_of_each_device_are_equal_on_all(on_two_devices):
    assert on_two_devices[0]["per_device"]["apart"] == 0
