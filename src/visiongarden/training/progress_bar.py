"""`ProgressBar`: epoch, loss, metrics, images per second and time left."""

from __future__ import annotations

import time
from typing import Any

import keras

from visiongarden.progress import LOGGER, Reporter, reporter

_INTERVAL = 0.1
"""Minimum seconds between two updates; reading the loss waits for the device."""


class ProgressBar(keras.callbacks.Callback):
    """Callback that reports progress within an epoch, and logs one line per epoch.

    Args:
        steps: Steps per epoch.
        batch_size: Images per step.
        metrics: Names of the evaluation metrics, in the logs with "val_" in front, which are shown
            apart from the terms of the loss.
        shown_by: Reporter of the progress within an epoch. Defaults to the current one.
        epochs: Epochs of the run. Defaults to those of Keras's `fit`, of which a run may need
            several.
    """

    def __init__(
        self,
        steps: int,
        batch_size: int,
        metrics: tuple[str, ...] = ("AP", "AP50"),
        shown_by: Reporter | None = None,
        epochs: int | None = None,
    ) -> None:
        super().__init__()
        self.steps, self.batch_size, self.metrics = steps, batch_size, metrics
        self.reporter, self._epochs = shown_by or reporter(), epochs
        self._last_metrics: dict[str, float] = {}
        self._first_step: int | None = None
        self._train_seconds: float | None = None

    @property
    def epochs(self) -> int:
        """Epochs of the run."""
        return int(self._epochs or self.params["epochs"])

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the clock."""
        self._start_time, self._first_step = time.monotonic(), None
        self._updated = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Reset the bar."""
        self._epoch, self._epoch_start_time = epoch, time.monotonic()
        self._batch = 0
        self._title = f"epoch {epoch + 1}/{self.epochs}"
        self.reporter.update(self._title, 0, self.steps)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Advance the bar."""
        self._batch = batch + 1
        if self._first_step is None:
            # The first step includes compilation, so the remaining time is estimated without it.
            self._start_time, self._first_step = time.monotonic(), self._global_step()
        now = time.monotonic()
        self._train_seconds = now - self._epoch_start_time
        if self.reporter.shows and now - self._updated >= _INTERVAL:
            text = f"{_format_loss(logs or {})}  {self._format_metrics()}"
            self.reporter.update(self._title, self._batch, self.steps, text)
            self._updated = now

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log the line of the epoch."""
        logs = logs or {}
        named = {name: f"val_{name}" for name in self.metrics}
        self._last_metrics = {name: logs[key] for name, key in named.items() if key in logs}
        loss = f"{_format_loss(logs)}{self._format_terms(logs)}"
        metrics = self._format_metrics()
        LOGGER.info(f"epoch {epoch + 1:>3}/{self.epochs}  {loss}  {metrics}")
        self.reporter.update(self._title, self.steps, self.steps, f"{loss}  {metrics}")

    def on_train_end(self, logs: Any = None) -> None:
        """Remove the bar."""
        self.close()

    def close(self) -> None:
        """End the display; may be called more than once."""
        self.reporter.close()

    def _format_metrics(self) -> str:
        now = time.monotonic()
        seconds = self._train_seconds
        if seconds is None:
            seconds = now - self._epoch_start_time
        rate = self._batch * self.batch_size / max(seconds, 1e-6)
        metrics = "  ".join(f"{name} {value:.3f}" for name, value in self._last_metrics.items())
        left = _format_duration(self._seconds_left(now))
        return f"{metrics}  {rate:.0f} images/s  {left} left".lstrip()

    def _format_terms(self, logs: dict[str, Any]) -> str:
        terms = [
            f"{name} {float(value):.2f}"
            for name, value in logs.items()
            if name not in ("loss", "learning_rate") and not name.startswith("val_")
        ]
        # A single term equals the loss, which is already shown.
        return f" ({' '.join(terms)})" if len(terms) > 1 else ""

    def _global_step(self) -> int:
        return int(self._epoch * self.steps + self._batch)

    def _seconds_left(self, now: float) -> float:
        done = self._global_step() - (self._first_step or 0)
        total = self.epochs * self.steps
        return (now - self._start_time) / max(done, 1) * (total - self._global_step())


def _format_loss(logs: dict[str, Any]) -> str:
    return f"loss {float(logs['loss']):.3f}" if "loss" in logs else ""


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
