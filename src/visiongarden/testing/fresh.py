"""Checks that need a fresh process: reopening, other backends, compilation and ONNX export.

The current process has already imported the user's module and built the layer, so it cannot show
whether a saved file opens without them. One process per backend serves all subjects, because
importing a backend costs seconds; the processes of several backends run in parallel.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import keras
import numpy as np

from visiongarden.backends.optional_imports import command_of
from visiongarden.models.files import SavedAsParts
from visiongarden.models.source_digest import module_file
from visiongarden.testing.arrays import TOLERANCE, inputs_of, leaves, numpy_leaves, packed
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, failed, passed, skipped, warned
from visiongarden.testing.subject import Subject

BACKENDS = ("tensorflow", "jax", "torch")
NAMES = ("reload", "backends", "jit", "onnx")
"""Names of the checks that run in fresh processes."""

_TIMEOUT = 600
"""Timeout of one process in seconds, for all its jobs; a package of blocks takes less than 60."""

_NO_ONNX = (
    "the layer can be trained, saved and loaded; to export it to ONNX, use operations that ONNX "
    "supports: convolutions, matmul, take, where, cumsum and elementwise keras.ops (argmax(-x) for "
    "argmin, a matmul with a cosine table for a Fourier transform)"
)
_LOADING = (
    "a saved model is loaded from the registered class alone: register it, include every argument "
    "in the config, and create every variable in build"
)


def installed() -> tuple[str, ...]:
    """Return the names of the installed Keras backends."""
    return tuple(name for name in BACKENDS if importlib.util.find_spec(name) is not None)


@dataclass(frozen=True)
class _Job:
    name: str
    early_finding: Finding | None = None


class FreshProcesses:
    """Collector of subjects that are all reopened by one fresh process per backend.

    Use it as a context manager; leaving the context deletes the temporary folder.

    Args:
        backends: Names of backends. The process of the current backend also provides `reload`; the
            TensorFlow process provides `onnx`.
        skip: Names of checks to skip.
    """

    def __init__(self, backends: Sequence[str], skip: Sequence[str]) -> None:
        self.backends, self.skip = tuple(backends), tuple(skip)
        self._jobs: list[dict[str, Any]] = []
        self._answers: dict[str, list[dict[str, Any]] | str] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="visiongarden-check-")

    def __enter__(self) -> FreshProcesses:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def add(self, subject: Subject) -> _Job:
        """Save a subject's model, its inputs and the expected outputs; start no process yet.

        Args:
            subject: Subject whose `runs` and `traces` checks have passed.

        Returns:
            A handle to pass to `findings` after `run`.
        """
        module = subject.cls.__module__
        if not self.backends:
            return _Job("", skipped("no fresh process was requested"))
        if module == "__main__" or "<locals>" in subject.cls.__qualname__:
            return _Job(
                "",
                skipped("the class cannot be imported by another process; define it in a module"),
            )
        name, folder = str(len(self._jobs)), Path(self._folder.name)
        try:
            model, inputs = _saved_model(subject)
            given = packed(
                inputs_of(model), [keras.ops.convert_to_tensor(array) for array in inputs]
            )
            outputs = numpy_leaves(model(given, training=False))
            model.save(folder / f"{name}.keras")
        except Exception as error:
            return _Job(
                "",
                failed(
                    f"the model cannot be saved: {describe(error)}", advice_for(error, _LOADING)
                ),
            )
        arrays: dict[str, Any] = {f"x{i}": a for i, a in enumerate(inputs)}
        arrays |= {f"y{i}": a for i, a in enumerate(outputs)}
        np.savez(str(folder / name), **arrays)
        job = {
            "name": name,
            "module": module,
            "file": module_file(module),
            "parts": isinstance(model, SavedAsParts),
            "inputs": len(inputs),
            "outputs": len(outputs),
            "tasks": [task for task in ("jit", "onnx") if task not in self.skip],
        }
        self._jobs.append(job)
        return _Job(name)

    def run(self) -> None:
        """Run one process per backend in parallel and collect their answers."""
        if not self._jobs:
            return
        folder = Path(self._folder.name)
        (folder / "jobs.json").write_text(json.dumps(self._jobs), encoding="utf-8")
        running = {backend: _started(backend, folder) for backend in self.backends}
        for backend, process in running.items():
            try:
                _, errors = process.communicate(timeout=_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                _, errors = process.communicate()
                errors = f"timed out after {_TIMEOUT} s"
            answer = folder / f"{backend}.json"
            if answer.is_file():
                self._answers[backend] = json.loads(answer.read_text(encoding="utf-8"))
            else:
                self._answers[backend] = (errors.strip().splitlines() or ["no output"])[-1]

    def findings(self, job: _Job) -> list[Finding]:
        """Return the findings of one subject, one for each check in `NAMES` that is not skipped.

        Args:
            job: Handle that `add` returned for the subject.
        """
        names = [name for name in NAMES if name not in self.skip]
        if job.early_finding is not None:
            rest = skipped("the subject was not saved")
            return [(job.early_finding if n == "reload" else rest).named(n) for n in names]
        answers: dict[str, dict[str, Any]] = {}
        for backend, found in self._answers.items():
            failure = {"open": f"the process failed: {found}"}
            answers[backend] = failure if isinstance(found, str) else found[int(job.name)]
        makers = {"reload": _reload, "backends": _backends, "jit": _jit, "onnx": _onnx}
        return [makers[name](answers).named(name) for name in names]


def _saved_model(subject: Subject) -> tuple[Any, list[np.ndarray]]:
    """Return the model to save and its flat inputs; a part is saved within a whole model."""
    flat = leaves(subject.arguments)
    if not subject.is_part:
        return subject.model(subject.main), flat
    model = subject.connected()
    if model is subject.main:
        return model, flat
    if isinstance(subject.arguments[0], dict):
        rng = np.random.default_rng(0)
        return model, [rng.uniform(size=(len(flat[0]), *subject.image_size, 3)).astype("float32")]
    return model, flat


def _started(backend: str, folder: Path) -> subprocess.Popen[str]:
    # The process must find the user's modules, wherever this process found them.
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
    }
    return subprocess.Popen(  # noqa: S603  our own module, in our own Python
        [*command_of("visiongarden.testing.worker"), str(folder)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _problem(answer: dict[str, Any]) -> str | None:
    """Describe what went wrong when a process reopened a model; None if nothing did."""
    for key, words in (
        ("import", "its module cannot be imported alone"),
        ("open", "it cannot be loaded"),
    ):
        if key in answer:
            return f"{words}: {answer[key]}"
    if answer["difference"] > TOLERANCE:
        return f"the outputs differ by {answer['difference']:.2g} (tolerance {TOLERANCE:g})"
    return None


def _reload(answers: dict[str, dict[str, Any]]) -> Finding:
    """Report whether a process that imports only the module reopens the file with equal outputs."""
    own = answers.get(keras.backend.backend())
    if own is None:
        return skipped("the current backend was not requested")
    if problem := _problem(own):
        return failed(f"in a fresh process: {problem}", advice_for(ValueError(problem), _LOADING))
    return passed(
        f"the outputs in a fresh process differ by {own['difference']:.1g} "
        f"(tolerance {TOLERANCE:g})"
    )


def _backends(answers: dict[str, dict[str, Any]]) -> Finding:
    """Report whether the file gives equal outputs on every other backend."""
    others = {b: a for b, a in answers.items() if b != keras.backend.backend()}
    if not others:
        return skipped("only the current backend was requested")
    if "open" in answers.get(keras.backend.backend(), {}):
        return skipped("`reload` fails")
    for backend, answer in others.items():
        if problem := _problem(answer):
            return failed(
                f"on {backend}: {problem}",
                "use only keras.ops and Keras layers in call(), not the functions of one backend",
            )
    numbers = ", ".join(f"{b} {a['difference']:.1g}" for b, a in others.items())
    return passed(f"{numbers} (tolerance {TOLERANCE:g})")


def _jit(answers: dict[str, dict[str, Any]]) -> Finding:
    """Report whether the model compiles on backends that compile, with equal outputs."""
    advice = "use keras.ops and static shapes in call(), and no tensor values in Python; or set "
    advice += "supports_jit=False"
    return _task("jit", answers, advice)


def _onnx(answers: dict[str, dict[str, Any]]) -> Finding:
    """Report whether the model exports to ONNX with equal outputs in ONNX Runtime."""
    backend = "tensorflow" if "tensorflow" in answers else keras.backend.backend()
    answers = {b: a for b, a in answers.items() if b == backend}
    found = _task("onnx", answers, _NO_ONNX)
    # Different outputs are an error; an operation that ONNX lacks is a limitation of the format.
    is_limit = found.status == "failed" and "error" in answers[backend].get("onnx", {})
    return warned(f"not exported to ONNX: {found.evidence}", _NO_ONNX) if is_limit else found


def _task(task: str, answers: dict[str, dict[str, Any]], advice: str) -> Finding:
    """Turn the answers of all processes about one task into a finding."""
    differences, reasons = [], []
    for backend, answer in answers.items():
        found = answer.get(task)
        if found is None:
            reasons.append(f"{backend}: the model was not loaded")
        elif "skipped" in found:
            reasons.append(f"{backend}: {found['skipped']}")
        elif "error" in found or found["difference"] > TOLERANCE:
            problem = found.get("error") or f"the outputs differ by {found['difference']:.2g}"
            return failed(f"on {backend}: {problem}", advice_for(ValueError(problem), advice))
        else:
            differences.append(f"{backend} {found['difference']:.1g}")
    if differences:
        return passed(f"{', '.join(differences)} (tolerance {TOLERANCE:g})")
    return skipped("; ".join(reasons) or "no process ran")
