"""`gc_paused`: a pause of Python's garbage collector while many objects are created.

**Why.** Importing a backend, building layers and reading rows create hundreds of thousands of
objects that all stay alive. The collector walks through all of them each time their number has
grown, 0.2 s per pass once a backend is loaded, and finds nothing. **Gain:** importing a backend
takes a fifth to a quarter less time. **Switch:** `garbage`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from visiongarden.backends.switches import is_named


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector inside this context.

    Objects without reference cycles are freed as usual. The collector is only enabled again if it
    was enabled before, so that contexts can be nested.
    """
    before = gc.isenabled()
    # `import visiongarden` and commands import Keras in this context, before any fast path of Keras
    # is used: a wrong name in the variable is reported there.
    if not is_named("garbage"):
        gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
