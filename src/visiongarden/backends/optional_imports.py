"""`skip_optional_imports`: importing Keras without libraries that visiongarden does not use.

**Why.** If scikit-learn, pandas, matplotlib and IPython are installed, Keras imports them, for its
wrappers, data frames, image galleries and file editor. No command uses these. **Gain:** 2 of the 12
to 16 s of processor time of `visiongarden predict` (benchmarks/RESULTS.md, Start-up). **Switch:**
`optional_imports`.

In commands, and in processes that visiongarden starts, these libraries cannot be imported while
`import keras` runs. Modules of users can import them afterwards. Other programs are not affected.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from visiongarden.backends.switches import is_named

OPTIONAL = ("sklearn", "pandas", "matplotlib", "IPython")

_CODE = """import runpy, sys
from visiongarden.backends.optional_imports import skip_optional_imports
skip_optional_imports()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""

_skips = False


def command_of(module: str) -> list[str]:
    """Return the command that runs a module like `python -m`, without the optional libraries.

    Args:
        module: Full name of the module. Arguments of the program may be appended.
    """
    return [sys.executable, "-c", _CODE, module]


def skip_optional_imports() -> None:
    """Make the import of Keras in this process skip the optional libraries.

    A library that is imported already stays imported.
    """
    global _skips
    _skips = not is_named("optional_imports")


@contextmanager
def optional_imports_skipped() -> Iterator[None]:
    """Hide the optional libraries in this context if `skip_optional_imports` was called."""
    names = [name for name in OPTIONAL if _skips and name not in sys.modules]
    # Python raises ModuleNotFoundError for a module that is None, as if it were not installed.
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]
