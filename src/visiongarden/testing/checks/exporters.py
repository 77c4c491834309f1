"""Checks of exporters: parity with the model, batches, and files that are not valid."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.backbones import DarknetTiny
from visiongarden.errors import UserError
from visiongarden.exporters import export
from visiongarden.heads import Classification
from visiongarden.models import Classifier
from visiongarden.storage import atomic_write
from visiongarden.testing.checks import values
from visiongarden.testing.explain import describe
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.value_subject import ValueSubject

_SIDE, _TOLERANCE = 32, 1e-3
_GARBAGE = (b"", b"\x00\xff{[<not a model")


class ExporterSubject(ValueSubject):
    """An exporter under test, with a small model, or `examples = {"model": model}` of the class."""

    @cached_property
    def model(self) -> Any:
        """The model to export."""
        own = self.examples.get("model")
        if own is not None:
            return own
        head = Classification(num_classes=2)
        return Classifier(DarknetTiny(levels=("p3",)), head=head, image_size=_SIDE)

    @contextlib.contextmanager
    def exported(self) -> Iterator[tuple[Path, Any]]:
        """Yield the path of an exported file and the result of the export."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{self.cls.suffix}"
            yield path, export(self.model, path, format=self.value)

    @property
    def missing(self) -> str:
        """Why the exporter cannot be checked here; "" if it can."""
        try:
            self.value.check_packages()
        except UserError as error:
            return error.what
        return ""


def declared(subject: ExporterSubject) -> Finding:
    """Check that the format has a name and an ending."""
    own = {name: vars(subject.cls).get(name) for name in ("format", "suffix")}
    for name, value in own.items():
        if not isinstance(value, str) or not value:
            return failed(f"the exporter has no {name}", f'{name}: ClassVar[str] = "..."')
    if not str(own["suffix"]).startswith("."):
        return failed(f"the suffix is {own['suffix']!r}", f'suffix = ".{own["suffix"]}"')
    return passed(f"--format {own['format']}, {own['suffix']}")


def exports(subject: ExporterSubject) -> Finding:
    """Check that the file is opened with its signature and predicts what the model predicts."""
    if subject.missing:
        return skipped(subject.missing)
    with subject.exported() as (path, result):
        if not path.is_file():
            return failed("there is no file", "write to the path that is passed")
        return passed(str(result.parity))


def batches(subject: ExporterSubject) -> Finding:
    """Check that the file takes batches of any size, and that outputs are arrays of float32."""
    if subject.missing:
        return skipped(subject.missing)
    with subject.exported() as (path, _):
        opened = subject.value.load(path)
        size, signature = opened.signature.image_size, opened.signature
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (3, *size, signature.channels)).astype(signature.dtype)
        whole = opened(images)
        alone = [opened(images[i : i + 1]) for i in range(len(images))]
    for name, value in whole.items():
        if not isinstance(value, np.ndarray) or value.dtype != np.float32:
            return failed(
                f"the output {name!r} is {value!r:.60}",
                "np.asarray(output, np.float32)",
            )
        if not np.allclose(value, np.concatenate([a[name] for a in alone]), atol=_TOLERANCE):
            return failed(
                f"the output {name!r} of an image changes with the other images of the batch",
                "export with an open batch size",
            )
    return passed("batches of 1 and 3")


def invalid_files(subject: ExporterSubject) -> Finding:
    """Check that a file that is cut or damaged gives an error that the user can resolve."""
    if subject.missing:
        return skipped(subject.missing)
    with subject.exported() as (path, _):
        content = path.read_bytes()
        for data in (*_GARBAGE, content[: len(content) // 2]):
            atomic_write(path, data, durable=False)
            try:
                subject.value.load(path)
            except UserError:
                continue
            except Exception as error:
                return failed(
                    f"a damaged file fails: {describe(error)}",
                    "raise visiongarden.errors.ModelFileError in load",
                )
            return failed("a damaged file is opened", "check the file in load")
    return passed("damaged files are refused")


CHECKS: dict[str, Callable[[ExporterSubject], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
    "declared": declared,
    "exports": exports,
    "batches": batches,
    "invalid_files": invalid_files,
}
"""Checks of an exporter by name, in the order in which they run."""
