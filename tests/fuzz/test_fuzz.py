"""Mutated files of every format raise only visiongarden's errors and have no side effects."""

import os
import subprocess
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.fuzz import guard as guarding
from tests.fuzz.guard import Guard
from tests.fuzz.run import fuzz

from visiongarden.errors import DataError, UserError

COUNT = int(os.environ.get("VISIONGARDEN_FUZZ", "0"))
READERS = {
    "coco", "yolo", "voc", "csv", "folders", "masks", "arrayrecord", "zip", "tar",
    "jpg", "png", "bmp", "webp", "tiff", "tiff_many", "npy", "mask_png", "mask_tiff",
    "keras", "keras_weights", "keras_plain", "resume", "darknet", "weights.h5", "safetensors",
    "onnx", "recipe", "card",
}  # fmt: skip


def test_every_reader_refuses_changed_files(tmp_path, monkeypatch):
    """`VISIONGARDEN_FUZZ=100000 pytest tests/fuzz`, or `python -m tests.fuzz`, reads more."""
    monkeypatch.setenv("VISIONGARDEN_CACHE", "off")
    with warnings.catch_warnings():  # Pillow warns of damage as well
        warnings.simplefilter("ignore")
        counted, failures = fuzz(tmp_path, COUNT or 4 * len(READERS), seed=COUNT)
    assert not failures, "\n".join(map(str, failures))
    missing = set() if find_spec("tifffile") else {"tiff_many"}
    assert set(counted) == READERS - missing


class _Runs:
    def __reduce__(self):
        return os.system, ("true",)


def _refuses():
    raise DataError("damaged")


def _hides():
    raise UserError("x").with_traceback(None) from None


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (lambda: 1, None),
        (_refuses, None),
        (_hides, None),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: os.system("true"), "os.system"),  # noqa: S605
        (lambda: subprocess.run(["true"], check=False), "subprocess.Popen"),
        (lambda: Path("/tmp/visiongarden-canary").write_text(""), "outside of the scratch"),  # noqa: S108
        (lambda: exec(compile("1", "/nowhere/x.py", "exec")), "exec of"),  # noqa: S102
        (lambda: np.ones(600 * 2**20, np.uint8), "MB"),
    ],
)  # fmt: skip
def test_the_guard_detects_forbidden_actions(tmp_path, read, found):
    what = Guard(tmp_path).run(read)
    Path("/tmp/visiongarden-canary").unlink(missing_ok=True)  # noqa: S108
    assert what is None if found is None else found in what


def test_the_guard_allows_the_scratch_folder(tmp_path):
    def write():
        (tmp_path / "a").write_text("a")
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").unlink()

    assert Guard(tmp_path).run(write) is None


def test_the_guard_stops_slow_readers(tmp_path, monkeypatch):
    monkeypatch.setattr(guarding, "STOP_AFTER", 1)
    assert "does not end" in Guard(tmp_path).run(lambda: time.sleep(30))
