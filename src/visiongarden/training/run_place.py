"""`RunPlace`: the folder of a run, which must stay where it is."""

from __future__ import annotations

from pathlib import Path

from visiongarden.errors import UserError


class RunPlace:
    """Folder of a run, recognized again by the file system.

    A file that is written to a folder that was removed would create it again, and the run would be
    complete without its recipe or its best model.

    Args:
        folder: The folder. A process that does not write into it need not see it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._place = folder, _place_of(folder)

    def check(self) -> None:
        """Check that the folder is still the one in which the run began.

        Raises:
            UserError: It was removed or replaced.
        """
        if self._place is not None and _place_of(self.folder) != self._place:
            raise UserError(
                f"the folder of the run, {self.folder}, was removed or replaced while it was used",
                rule="the folder of a run stays where it is until the run has ended",
                fix=f"restore {self.folder} and resume the run, or start it in another folder",
            )


def _place_of(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
