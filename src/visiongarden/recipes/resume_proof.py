"""`prove_resume`: show that a run that is killed and resumed is the run that nobody killed."""

from __future__ import annotations

import itertools
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from visiongarden.config import load_yaml, save_yaml
from visiongarden.errors import UserError
from visiongarden.progress import LOGGER
from visiongarden.recipes.proof_steps import ProofSteps
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolution import resolve
from visiongarden.recipes.run_folder import RECIPE
from visiongarden.recipes.state_comparison import Kill, ResumeProof, compare_states
from visiongarden.recipes.user_modules import user_modules
from visiongarden.training import (
    CheckpointInterval,
    has_checkpoint,
    newest_checkpoint,
    read_state,
    saved_progress,
)

_STEPS_MODULE = ProofSteps.__module__
_POLL_SECONDS = 0.002
_MAX_ERROR = 2000


def prove_resume(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    *overrides: str,
    steps: int = 30,
    kills: int = 3,
    seed: int = 0,
    reader: Any = None,
    task: str | None = None,
    invalid_boxes: str | None = None,
    devices: int | None = None,
) -> ResumeProof:
    """Train a recipe twice, once with kills at random moments, and compare the two states.

    Both runs train the first steps of the recipe in separate processes, on the backend of this
    process, and write into a temporary folder. The process of the second run is killed (SIGKILL)
    at random moments and resumed from its last checkpoint. Afterwards weights, moving average,
    optimizer, random states, means of the epoch, history and progress must be equal to the last
    bit.

    A difference means that something is not restored, such as a number that a layer or a callback
    keeps to itself, or that a step is not deterministic, as are some operations on GPUs.

    Args:
        recipe: Recipe, recipe file or dataset, as in `train`.
        overrides: Overrides of the recipe.
        steps: Steps to train; fewer if the recipe has fewer.
        kills: Number of kills.
        seed: Seed of the times of the kills.
        reader: Reader of the dataset; overrides the recipe.
        task: Name of the task; overrides the recipe.
        invalid_boxes: "error" or "drop"; overrides the recipe.
        devices: Number of devices of this host that share each batch, as in `train`; on PyTorch all
            their processes end with the one that is killed.

    Returns:
        The compared values, and when the process was killed.

    Raises:
        UserError: `steps` or `kills` is not valid, a class of the recipe is defined where another
            process cannot import it, or a run fails.

    Example:
        >>> proof = vg.prove_resume("cells", steps=50, kills=5)  # doctest: +SKIP
        >>> proof.ok  # doctest: +SKIP
        True
    """
    _check_numbers(steps, kills)
    options = (reader, invalid_boxes, overrides, task)
    if not isinstance(recipe, Recipe) or any(options):
        recipe = resolve(recipe, *options)
    moments = random.Random(seed)  # noqa: S311  moments, not secrets
    with tempfile.TemporaryDirectory(prefix="prove-resume-") as name:
        folder = Path(name)
        whole = _Process(recipe, folder / "whole", steps, None, devices)
        LOGGER.info(f"the run without a kill: {steps} steps")
        whole.finish()
        done = whole.steps()
        if not done:
            raise UserError("the recipe trains no step", fix="training.epochs=1")
        recipe = _with_precision_of(recipe, whole.folder)
        # Twice as many checkpoints as kills: some steps are lost at most kills.
        every = max(done // (2 * kills + 2), 1)
        killed = _Process(recipe, folder / "killed", steps, every, devices)
        made = [
            kill
            for step in _steps_of_kills(moments, done, kills)
            if (kill := killed.kill(step, done, moments.uniform(0, 2 * whole.seconds_per_step())))
        ]
        LOGGER.info("the last part of the run, without a kill")
        killed.finish()
        states = [read_state(newest_checkpoint(run.folder)) for run in (whole, killed)]
    return ResumeProof(_source(recipe), done, seed, tuple(made), compare_states(*states))


def _source(recipe: Recipe) -> str:
    return ", ".join(str(data.path) for data in recipe.datasets)


def _with_precision_of(recipe: Recipe, run: Path) -> Recipe:
    """Return the recipe with the precision of a run, which may have been chosen by measuring."""
    precision = load_yaml(run / RECIPE)["training"]["precision"]
    return recipe.replace(training=recipe.training.replace(precision=precision))


def _check_numbers(steps: int, kills: int) -> None:
    for name, number, least in (("steps", steps, 2), ("kills", kills, 1)):
        if not isinstance(number, int) or number < least:
            raise UserError(
                f"{name} of the proof is not valid",
                rule=f"an integer of at least {least}",
                received=f"{name}={number!r:.40}",
                fix=f"{name}={least if name == 'kills' else 30}",
            )


def _steps_of_kills(moments: random.Random, steps: int, kills: int) -> list[int]:
    """Return after which steps the process is killed; a step may be chosen several times."""
    return sorted(moments.randint(1, max(steps - 1, 1)) for _ in range(kills))


def _wait_until(process: subprocess.Popen[bytes], is_time: Callable[[], bool]) -> None:
    """Wait until `is_time` returns True or the process ends."""
    while process.poll() is None and not is_time():
        time.sleep(_POLL_SECONDS)


class _Process:
    """A run in separate processes, one after the other."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        steps: int,
        every: int | None,
        devices: int | None,
    ) -> None:
        self._steps = steps
        self._devices = [] if devices is None else ["--devices", str(devices)]
        self.folder, self._reports = folder, folder.with_suffix(".steps")
        self._reports.touch()
        self._recipe, self._source = folder.with_suffix(".yaml"), _source(recipe)
        interval = None if every is None else CheckpointInterval(steps=every)
        report = {"type": f"{_STEPS_MODULE}:ProofSteps", "file": str(self._reports), "steps": steps}
        training = recipe.training.replace(
            checkpoint_every=interval,
            time_limit=None,  # the time of the parts differs
            tensorboard=False,
        )
        fields = recipe.replace(training=training).to_dict()
        fields["training"]["callbacks"] = [*fields["training"]["callbacks"], report]
        save_yaml(self._recipe, fields)
        self._modules = [_STEPS_MODULE, *user_modules(recipe.to_dict())]

    def steps(self) -> int:
        """Return the number of the last reported step."""
        lines = self._lines()
        return int(lines[-1].split()[0]) if lines else 0

    def seconds_per_step(self) -> float:
        """Return the median time between two steps."""
        times = [float(line.split()[1]) for line in self._lines()]
        gaps = sorted(b - a for a, b in itertools.pairwise(times))
        return gaps[len(gaps) // 2] if gaps else 0.1

    def kill(self, step: int, last: int, delay: float) -> Kill | None:
        """Start or resume the run, and kill it after a step.

        Args:
            step: The step.
            last: Last step of the run, after which it is killed without a delay.
            delay: Seconds between the step and the kill.

        Returns:
            The kill, or None if the run ended before.
        """
        if self._is_complete():
            return None
        before = len(self._lines())
        process = self._start()
        try:
            _wait_until(process, lambda: self._has_reached(before, step))
            began = time.monotonic()
            _wait_until(
                process,
                lambda: time.monotonic() > began + delay or self._has_reached(before, last),
            )
            waited, is_over = time.monotonic() - began, process.poll() is not None
        finally:
            process.kill()
            process.wait()
        if is_over:
            self._check_end(process)
        if is_over or self._is_complete():
            return None
        numbers = [int(line.split()[0]) for line in self._lines()[before:]]
        found = Kill(after=numbers[-1], resumed_from=numbers[0] - 1, delay=waited)
        LOGGER.info(str(found))
        return found

    def finish(self) -> None:
        """Start or resume the run, and wait until its last step.

        Raises:
            UserError: It fails.
        """
        if self._is_complete():
            return
        process = self._start()
        try:
            process.wait()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
        self._check_end(process)

    def _is_complete(self) -> bool:
        """Return whether the last step is saved; a resumed run would train one more."""
        if not has_checkpoint(self.folder):
            return False
        progress = saved_progress(newest_checkpoint(self.folder))
        return ProofSteps.steps_of(progress.callbacks) >= self._steps

    def _has_reached(self, before: int, step: int) -> bool:
        lines = self._lines()[before:]
        return bool(lines) and int(lines[-1].split()[0]) >= step

    def _start(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "visiongarden", "train", str(self._recipe)]
        words += ["--output", str(self.folder), "--quiet", *self._devices]
        words += [word for name in self._modules for word in ("--import", name)]
        # A run that was killed before its first checkpoint has nothing to resume, and begins again.
        words += ["--resume"] if (self.folder / RECIPE).exists() else []
        path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
        with self._errors().open("wb") as errors:
            return subprocess.Popen(  # noqa: S603  our own command, in our own Python
                words, env=os.environ | {"PYTHONPATH": path}, stdout=errors, stderr=errors
            )

    def _errors(self) -> Path:
        return self.folder.with_suffix(".err")

    def _check_end(self, process: subprocess.Popen[bytes]) -> None:
        """Check that a process ended because of its last step, or at the end of the recipe."""
        if process.returncode in (0, 128 + signal.SIGTERM):
            return
        text = self._errors().read_text(encoding="utf-8", errors="replace").strip()
        raise UserError(
            "a run of the proof failed",
            rule="the recipe trains without an error",
            received=text[-_MAX_ERROR:] or f"exit code {process.returncode}",
            fix=f"visiongarden train {shlex.quote(self._source)}",
        )

    def _lines(self) -> list[str]:
        # The last line may be half written.
        text = self._reports.read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1].splitlines()
