"""`Limits`: what ends a run before its last epoch."""

from __future__ import annotations

from dataclasses import dataclass

from visiongarden.terminal import counted
from visiongarden.training.state import Progress


@dataclass(frozen=True)
class Limits:
    """When a run ends before its last epoch.

    Attributes:
        patience: Epochs without a better value of the metric that selects `best.keras`.
        seconds: Time of training and evaluation, also before the run was resumed.
    """

    patience: int | None = None
    seconds: float | None = None

    def are_reached(self, waited: int) -> bool:
        """Return whether the metric has not become better for too many epochs."""
        return self.patience is not None and waited >= self.patience

    def are_up(self, seconds: float) -> bool:
        """Return whether the time is up."""
        return self.seconds is not None and seconds >= self.seconds

    def reason(self, progress: Progress, epochs: int) -> str | None:
        """Return why a run with this progress ended before its last epoch, or None.

        Args:
            progress: The progress.
            epochs: Epochs of the run.
        """
        if progress.epoch >= epochs:
            return None
        if self.are_up(progress.seconds):
            return (
                f"the run ended in epoch {progress.epoch + 1 if progress.step else progress.epoch} "
                f"of {epochs}, after {progress.seconds:.0f} s: training.time_limit={self.seconds:g}"
            )
        if progress.step == 0 and self.are_reached(progress.waited):
            waited = counted(progress.waited, "epoch")
            return (
                f"the run ended after epoch {progress.epoch} of {epochs}, {waited} after its best "
                f"value: training.patience={self.patience}"
            )
        return None
