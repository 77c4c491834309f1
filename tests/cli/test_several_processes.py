"""Two processes on the command line: the commands of docs/scale.md, and runs that are refused."""

import contextlib
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import pytest

from visiongarden.cli.entry import main
from visiongarden.errors import DataError
from visiongarden.recipes import resolve
from visiongarden.scenes import make_scenes

ROOT = Path(__file__).parents[2]
BACKEND = keras.backend.backend()
SMALL = (
    "training.epochs=1 training.batch_size=4 model.image_size=64 model.backbone.width=0.0625 "
    "training.tensorboard=false"
)
INCOMPLETE = [
    ("torch", {"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}, "WORLD_SIZE"),
    ("torch", {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1"}, "MASTER_ADDR"),
    ("torch", {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}, "SLURM_LOCALID"),
    ("torch", {"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_RANK"),
    ("jax", {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}, "JAX_COORDINATOR_ADDRESS"),
    ("tensorflow", {"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'}, "task.index"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    make_scenes(tmp_path / "my_images", 10, (64, 64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(words, capsys):
    """What an invalid command prints."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(("backend", "environment", "variable"), INCOMPLETE)
def test_an_incomplete_launcher_names_the_variable(
    folder, monkeypatch, capsys, backend, environment, variable
):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    message = refused(["train", "my_images"], capsys)
    assert variable in message.splitlines()[0]
    assert "  fix: " in message
    assert not (folder / "runs").exists()


def test_more_devices_than_there_are(folder, capsys):
    keras.ops.ones(1)
    message = refused(["train", "my_images", "--devices", "4096"], capsys)
    assert "--devices 4096 is more than" in message
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("is_broken", [False, True])
def test_the_labels_are_read_before_the_processes_meet(folder, monkeypatch, is_broken):
    """One of them may have the labels in its cache, and would wait for those that do not."""
    running, order = importlib.import_module("visiongarden.recipes.running"), []

    class Splits:
        @classmethod
        def of(cls, task, data):
            order.append("read")
            if is_broken:
                raise DataError("a label is missing")

    @contextlib.contextmanager
    def on_devices(*_):
        order.append("meet")
        yield

    recipe = resolve("my_images")
    monkeypatch.setattr(running, "Splits", Splits)
    monkeypatch.setattr(running, "has_peers", lambda devices: True)
    monkeypatch.setattr(running, "on_devices", on_devices)
    monkeypatch.setattr(running, "_train", lambda recipe, read, *_: (order.append("run"), read()))
    # The error of one process is raised where all of them hear of it.
    with pytest.raises(DataError) if is_broken else contextlib.nullcontext():
        running.train(recipe)
    assert order == ["read", "meet", "run"]


# The tests below start programs.


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def documented():
    """The commands of docs/scale.md for two hosts, of the current backend, for both processes."""
    text = (ROOT / "docs" / "scale.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (block,) = [b for b in blocks if f"KERAS_BACKEND={BACKEND}" in b and "SBATCH" not in b]
    one, two = free_ports(2)
    block = block.replace("host0:2222", f"127.0.0.1:{one}").replace(
        "host1:2222", f"127.0.0.1:{two}"
    )
    block = block.replace("host0", "127.0.0.1").replace("29500", str(one))
    block = block.replace("--nproc-per-node 4", "--nproc-per-node 1")
    block = block.replace("train my_images", f"train my_images {SMALL}")
    rank = {"torch": "--node-rank ", "jax": "JAX_PROCESS_ID=", "tensorflow": '"index": '}[BACKEND]
    assert block.count(f"{rank}0") == 1 or BACKEND != "jax"
    second = block.replace(f"{rank}0", f"{rank}1")
    assert second != block
    return [block, second]


def run(scripts, folder, environments=({}, {})):
    """Exit codes, standard outputs and errors of shell scripts that run together."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    common = os.environ | {"PATH": path, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    common |= {"CUDA_VISIBLE_DEVICES": ""}
    started = [
        subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=common | environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        for script, environment in zip(scripts, environments, strict=True)
    ]  # fmt: skip
    try:
        return [
            (each.returncode, *texts)
            for each in started
            if (texts := each.communicate(timeout=500))
        ]
    finally:
        for each in started:
            if each.poll() is None:
                os.killpg(each.pid, 9)


@pytest.mark.slow
@pytest.mark.backends
def test_the_commands_of_the_guide_train_in_two_processes(folder):
    results = run(documented(), folder)
    assert [code for code, _, _ in results] == [0, 0], results
    assert (folder / "runs" / "my_images" / "best.keras").exists()
    assert len(json.loads((folder / "runs" / "my_images" / "history.json").read_text())) == 1
    first, second = (output + errors for _, output, errors in results)
    assert "2 processes" in first
    assert "epoch 1" not in second  # process 0 reports


@pytest.mark.slow
@pytest.mark.backends
def test_the_command_of_the_guide_trains_on_two_devices(folder):
    script = f"KERAS_BACKEND={BACKEND} visiongarden train my_images --devices 2 {SMALL}"
    assert "visiongarden train my_images --devices" in (ROOT / "docs" / "scale.md").read_text()
    ((code, _, errors),) = run([script], folder, [{}])
    assert code == 0, errors
    assert (folder / "runs" / "my_images" / "best.keras").exists()


OTHER_VERSION = """import importlib.metadata as m, os
if os.environ.get("OTHER_KERAS"):
    original = m.version
    m.version = lambda name: "3.0.0" if name == "keras" else original(name)
"""


def refused_by_both(scripts, folder, environments):
    """Return the error of both processes; check that no run folder was created."""
    results = run(scripts, folder, environments)
    assert [code for code, _, _ in results] == [2, 2], results
    messages = [errors[errors.index("error: ") :].strip() for _, _, errors in results]
    assert messages[0] == messages[1]
    assert not (folder / "runs").exists()
    return messages[0]


@pytest.fixture
def without_torchrun():
    """Return two commands and their environments; on PyTorch they do not use torchrun."""
    if BACKEND != "torch":
        return documented(), [{}, {}]
    port = free_ports(1)[0]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    script = f"export KERAS_BACKEND=torch; visiongarden train my_images {SMALL}"
    return [script] * 2, [common | {"RANK": str(rank)} for rank in range(2)]


@pytest.mark.slow
@pytest.mark.backends
def test_a_batch_that_cannot_be_divided_ends_both_processes(folder, without_torchrun):
    scripts, environments = without_torchrun
    scripts = [script.replace("batch_size=4", "batch_size=5") for script in scripts]
    message = refused_by_both(scripts, folder, environments)
    assert message.startswith("error: a batch of 5 images cannot be divided among 2 devices")
    assert "the nearest are 4 and 6" in message


@pytest.mark.slow
@pytest.mark.backends
def test_another_recipe_and_another_version_end_both_processes(folder, without_torchrun):
    (first, second), environments = without_torchrun
    second = second.replace("epochs=1", "epochs=2").replace("=0.0625", "=0.125")
    (folder / "sitecustomize.py").write_text(OTHER_VERSION)
    path = f"{folder}:{ROOT / 'src'}:{ROOT}"
    environments[1] |= {"PYTHONPATH": path, "OTHER_KERAS": "1"}
    message = refused_by_both([first, second], folder, environments)
    expected = "model of the recipe, training of the recipe, keras"
    assert message.startswith(f"error: process 1 differs from process 0 in {expected}\n")


def change_image(dataset):
    image = str(min(dataset.rglob("*.png")))
    cv2.imwrite(image, 255 - cv2.imread(image))


def change_label(dataset):
    labels = dataset / "train.json"
    found = json.loads(labels.read_text())
    found["annotations"][0]["bbox"][2] -= 1
    labels.write_text(json.dumps(found))


@pytest.mark.slow
@pytest.mark.backends
@pytest.mark.parametrize("change", [change_image, change_label])
def test_another_dataset_ends_both_processes(folder, without_torchrun, change):
    """The second process has the same recipe, and another dataset in its place."""
    (first, second), environments = without_torchrun
    other = folder / "host1"
    shutil.copytree(folder / "my_images", other / "my_images")
    change(other / "my_images")
    message = refused_by_both([first, f"cd host1; {second}"], folder, environments)
    assert message.startswith("error: process 1 differs from process 0 in data\n")
