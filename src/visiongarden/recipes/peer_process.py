"""Program of a process that trains beside the one that started it, see `peers`."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time

from visiongarden.errors import UserError
from visiongarden.recipes.running import train


def main() -> None:
    """Run the recipe that process 0 wrote to the standard input."""
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    given = json.loads(sys.stdin.read())
    sys.path[:] = given["path"]
    for name in given["modules"]:
        importlib.import_module(name)
    try:
        train(**given["arguments"])
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        sys.exit(f"error: {error}")


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
