"""The place of a process among those of a launcher, and errors that name the variable."""

import json

import pytest

from visiongarden import UserError
from visiongarden.backends.launcher import Launch, first_host, launched

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "host0", "MASTER_PORT": "29501",
            "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}  # fmt: skip
SLURM = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2", "SLURM_LOCALID": "0",
         "SLURM_STEP_NODELIST": "gpu[03-05]", "SLURM_JOB_ID": "70001",
         "SLURM_STEP_TASKS_PER_NODE": "1(x3)"}  # fmt: skip
MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1",
       "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}  # fmt: skip
JAX = {"JAX_COORDINATOR_ADDRESS": "host0:1234", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}


def tf_config(**changes):
    fields = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    return {"TF_CONFIG": json.dumps(fields | changes)}


@pytest.mark.parametrize(
    ("environment", "backend", "place"),
    [
        (TORCHRUN, "torch", (1, 4, 1, 2, ("host0", 29501))),
        (TORCHRUN, "jax", (1, 4, 1, 2, ("host0", 29501))),
        (SLURM, "torch", (2, 3, 0, 1, ("gpu03", 30001))),
        (MPI, "torch", (1, 2, 1, 2, ("127.0.0.1", 29500))),
        (JAX, "jax", (0, 2, 0, 1, ("host0", 1234))),
        (tf_config(), "tensorflow", (1, 2, 0, 1, None)),
        (
            tf_config(
                cluster={"worker": ["a:1", "b:1", "b:2"]}, task={"type": "worker", "index": 2}
            ),
            "tensorflow",
            (2, 3, 1, 2, None),
        ),
    ],
)
def test_the_place_of_a_process(environment, backend, place):
    found = launched(environment, backend)
    assert found == Launch(*place, found.launcher)


@pytest.mark.parametrize(
    ("environment", "backend"),
    [
        ({}, "torch"),
        ({"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "1"}, "torch"),
        ({"SLURM_JOB_ID": "3", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, "torch"),  # in sbatch
        (JAX, "torch"),  # of another backend
        ({"TF_CONFIG": "not read"}, "jax"),
        ({"MASTER_ADDR": "host0"}, "torch"),  # set by some images of containers
    ],
)
def test_a_process_that_was_started_alone(environment, backend):
    assert launched(environment, backend) is None


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_a_variable_that_is_missing_is_named(name):
    environment = {key: value for key, value in TORCHRUN.items() if key != name}
    with pytest.raises(UserError, match=f"incomplete: {name} is not set"):
        launched(environment, "torch")


@pytest.mark.parametrize(
    ("environment", "backend", "message"),
    [
        (TORCHRUN | {"RANK": "4"}, "torch", "process 4 of 4"),
        (TORCHRUN | {"RANK": "-1"}, "torch", "RANK is not valid"),
        (TORCHRUN | {"MASTER_PORT": "tcp"}, "torch", "MASTER_PORT is not valid"),
        (TORCHRUN, "tensorflow", "which TensorFlow cannot find"),
        (JAX | {"JAX_COORDINATOR_ADDRESS": "host0"}, "jax", "COORDINATOR_ADDRESS is not valid"),
        ({"JAX_PROCESS_ID": "1"}, "jax", "JAX_COORDINATOR_ADDRESS and JAX_NUM_PROCESSES are not"),
        (MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, "torch", "MASTER_ADDR is not set"),
        ({"TF_CONFIG": "{"}, "tensorflow", "is not valid JSON"),
        ({"TF_CONFIG": "[]"}, "tensorflow", "has no list of cluster.worker"),
        (tf_config(task={"type": "worker", "index": 2}), "tensorflow", "task.index 2, but 2"),
        (tf_config(task={}), "tensorflow", "has no task.index"),
        (tf_config(cluster={"worker": ["a:1"], "ps": ["b:1"]}), "tensorflow", "other tasks"),
    ],
)
def test_an_environment_that_cannot_be_right(environment, backend, message):
    with pytest.raises(UserError, match=message):
        launched(environment, backend)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("gpu[03-07,12]", "gpu03"), ("a1,b2", "a1"), ("node7", "node7"), ("n[1,2],m3", "n1")],
)
def test_the_first_host_of_a_list_of_slurm(nodes, host):
    assert first_host(nodes) == host
