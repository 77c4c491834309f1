"""`ProgressBar`: epoch, loss, metrics, images per second and time left."""

from __future__ import annotations

import time
from typing import Any

import keras
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from visiongarden import terminal


class ProgressBar(keras.callbacks.Callback):
    """Callback that shows a progress bar in a terminal, and prints one line per epoch everywhere.

    Args:
        steps: Steps per epoch.
        batch_size: Images per step.
        metrics: Names of the evaluation metrics, which are shown apart from the terms of the loss.
        console: Console to write to. Defaults to the terminal.
    """

    def __init__(
        self,
        steps: int,
        batch_size: int,
        metrics: tuple[str, ...] = ("AP", "AP50"),
        console: Console | None = None,
    ) -> None:
        super().__init__()
        self.steps, self.batch_size, self.metrics = steps, batch_size, metrics
        self.console = console or terminal.console()
        self._live: Live | None = None
        self._last_metrics: dict[str, float] = {}
        self._first_step: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the bar."""
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=self.console,
        )
        self._task = self._bar.add_task("", total=self.steps, epoch="", text="")
        self._start_time, self._first_step = time.monotonic(), None
        if self.console.is_terminal:
            self._live = Live(self._bar, console=self.console, refresh_per_second=8, transient=True)
            self._live.start()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Reset the bar."""
        self._epoch, self._epoch_start_time = epoch, time.monotonic()
        self._batch = 0
        self._bar.reset(self._task, epoch=f"{epoch + 1}/{self.params['epochs']}", text="")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Advance the bar."""
        self._batch = batch + 1
        if self._first_step is None:
            # The first step includes compilation, so the remaining time is estimated without it.
            self._start_time, self._first_step = time.monotonic(), self._global_step()
        if self._live is not None:
            text = f"{_format_loss(logs or {})}  {self._format_metrics()}"
            self._bar.update(self._task, completed=self._batch, text=text)
        self._train_seconds = time.monotonic() - self._epoch_start_time

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Print the line of the epoch."""
        logs = logs or {}
        self._last_metrics = {name: logs[name] for name in self.metrics if name in logs}
        loss = f"{_format_loss(logs)}{self._format_terms(logs)}"
        self.console.print(
            f"epoch {epoch + 1:>3}/{self.params['epochs']}  {loss}  {self._format_metrics()}",
            highlight=False,
            soft_wrap=True,
        )

    def on_train_end(self, logs: Any = None) -> None:
        """Remove the bar."""
        self.close()

    def close(self) -> None:
        """Restore the terminal; may be called more than once."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _format_metrics(self) -> str:
        now = time.monotonic()
        seconds = max(getattr(self, "_train_seconds", now - self._epoch_start_time), 1e-6)
        rate = self._batch * self.batch_size / seconds
        metrics = "  ".join(f"{name} {value:.3f}" for name, value in self._last_metrics.items())
        left = _format_duration(self._seconds_left(now))
        return f"{metrics}  {rate:.0f} images/s  {left} left".lstrip()

    def _format_terms(self, logs: dict[str, Any]) -> str:
        skip = {"loss", "learning_rate", *self.metrics}
        terms = [f"{name} {float(value):.2f}" for name, value in logs.items() if name not in skip]
        # A single term equals the loss, which is already shown.
        return f" ({' '.join(terms)})" if len(terms) > 1 else ""

    def _global_step(self) -> int:
        return int(self._epoch * self.steps + self._batch)

    def _seconds_left(self, now: float) -> float:
        done = self._global_step() - (self._first_step or 0)
        total = self.params["epochs"] * self.steps
        return (now - self._start_time) / max(done, 1) * (total - self._global_step())


def _format_loss(logs: dict[str, Any]) -> str:
    return f"loss {float(logs['loss']):.3f}" if "loss" in logs else ""


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
