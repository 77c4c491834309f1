"""Every test runs seeded, quietly and on the backend that KERAS_BACKEND names."""

import gc
import importlib.util
import os
import random
import sys

import hypothesis
import numpy as np
import pytest

# Read when a backend starts, so they are set before any test module is imported.
BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# Compiling takes two thirds of the time, running what was compiled hardly any.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core: threads of all of them would wait for each other.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

# The same examples on every run; no deadline, because a first call compiles.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("fixed")


def pytest_configure(config):
    if importlib.util.find_spec(BACKEND) is None:
        raise pytest.UsageError(
            f"KERAS_BACKEND={BACKEND} is not installed: pip install -e '.[{BACKEND}]'"
        )

    if BACKEND == "torch":
        import torch

        # On a GPU convolutions would round to ten bits, and exact values are compared.
        torch.backends.cudnn.allow_tf32 = False


def pytest_collection_finish(session):
    # What the modules of the tests hold is never freed: the collector need not visit it each time.
    gc.collect()
    gc.freeze()


def pytest_report_header():
    return f"keras backend: {BACKEND}"


@pytest.hookimpl(tryfirst=True)  # before the option -m selects by markers
def pytest_collection_modifyitems(config, items):
    # Exact values and speed are held on TensorFlow; the other backends hold the contract.
    if BACKEND == "tensorflow":
        return
    for item in items:
        if _is_for_backend(item, "slow_backends"):
            item.add_marker("backends")
            item.add_marker("slow")
    kept = [item for item in items if _is_for_backend(item, "backends")]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _is_for_backend(item, name):
    marks = list(item.iter_markers(name))
    named = [backend for mark in marks for backend in mark.args]
    return bool(marks) and (not named or BACKEND in named)


@pytest.fixture(autouse=True)
def same_processor(monkeypatch):
    """Let runs choose the same precision on every processor, without measuring it."""
    module = sys.modules.get("visiongarden.backends.half_precision")
    if module is not None:
        monkeypatch.setattr(module, "processor_flags", lambda: frozenset())


@pytest.fixture(autouse=True)
def seeded():
    random.seed(0)
    np.random.seed(0)  # what libraries draw from
    if "keras" in sys.modules:
        import keras

        keras.utils.set_random_seed(0)
