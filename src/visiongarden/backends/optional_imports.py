"""`skip_optional_imports`: Keras without the libraries that only other uses of it need.

**Why.** Keras imports scikit-learn, pandas, matplotlib and IPython if they are installed: for
wrappers, for data frames as inputs, for galleries of images and for its editor of files. No command
uses these. **Gain:** 2 of the 11 to 16 s of processor time of `visiongarden predict`, if they are
installed (benchmarks/RESULTS.md, Start-up). **Switch:** `optional_imports`.

The libraries cannot be imported while `import keras` runs, in the commands and in the processes
that visiongarden starts. Afterwards they can, for the modules of users. In other programs, nothing
changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from visiongarden.backends.switches import is_named

OPTIONAL = ("sklearn", "pandas", "matplotlib", "IPython")

_skips = False


_CODE = """import runpy, sys
from visiongarden.backends.optional_imports import skip_optional_imports
skip_optional_imports()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def command_of(module: str) -> list[str]:
    """Return the command that runs a module as a program that skips the optional libraries.

    Args:
        module: Full name of the module, as for `python -m`. Arguments may be appended.
    """
    return [sys.executable, "-c", _CODE, module]


def skip_optional_imports() -> None:
    """Let a later import of Keras in this process skip the libraries that are optional for it.

    Does nothing for those that are imported already.
    """
    global _skips
    _skips = not is_named("optional_imports")


@contextmanager
def optional_imports_skipped() -> Iterator[None]:
    """Run an import of Keras; without its optional libraries after `skip_optional_imports`."""
    names = [name for name in OPTIONAL if _skips and name not in sys.modules]
    # Python raises ModuleNotFoundError for a module that is None, as if it were not installed.
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]
