"""Conversion process: `python -m visiongarden.exporters.worker FOLDER`; see `fresh`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sys
from pathlib import Path

from visiongarden.errors import UserError
from visiongarden.exporters.convert import convert
from visiongarden.exporters.fresh import DRAFT, FAILURE, JOB, MODEL
from visiongarden.exporters.limits import UnsupportedOperationError
from visiongarden.models import load


def main(folder: Path) -> None:
    """Convert the model in a shared folder, or write the reason why it cannot be converted."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    try:
        for name, file in job["modules"]:
            _import(name, file)
        convert(load(folder / MODEL), tuple(job["size"]), folder / DRAFT)
    except UserError as error:
        _write_error(folder, error)
    except Exception as error:  # user code may raise anything on another backend
        _write_error(
            folder,
            UserError(
                "the model does not run on the TensorFlow backend, on which it is converted",
                rule="layers that use only keras.ops and Keras layers",
                received=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                fix="use keras.ops in call() instead of functions of one backend",
            ),
        )


def _write_error(folder: Path, error: UserError) -> None:
    fields = {
        "what": error.what,
        "rule": error.rule,
        "received": error.received,
        "fix": error.fix,
        "limit": isinstance(error, UnsupportedOperationError),
    }
    (folder / FAILURE).write_text(json.dumps(fields), encoding="utf-8")


def _import(name: str, file: str | None) -> None:
    if name in sys.modules:
        return
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(name)
        return
    # A module loaded from its file, as pytest does, has a name that cannot be found in `sys.path`.
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module {name} in {file}")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
