"""`Exporter`: base class of the formats of exported files."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.config import Named, place
from visiongarden.errors import ConfigError, ModelFileError, UserError, option
from visiongarden.exporters.exported import ExportedModel
from visiongarden.exporters.signature import Signature
from visiongarden.storage import check_file


class Exporter(Named):
    """Base class of the formats of exported files; `vg.export(format=…)` names one.

    `vg.export` prepares the model, calls `export`, opens the file with `load`, compares its
    signature and its predictions with those of the model, and only then gives it its name.

    Attributes:
        format: Name of the format, for `vg.export` and `--format`.
        suffix: Ending of the file's name, such as ".onnx".
        extra: Extra of visiongarden with the packages, such as "export"; "" for none.
        packages: Modules that must be installed.

    Example:
        >>> vg.exporters.Exporter.find("onnx").suffix
        '.onnx'
    """

    attribute: ClassVar[str] = "format"
    noun: ClassVar[str] = "export format"
    format: ClassVar[str]
    suffix: ClassVar[str]
    extra: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()

    def export(
        self,
        model: Any,
        path: Path,
        signature: Signature,
        data: Iterable[np.ndarray] | None = None,
    ) -> None:
        """Write a model and its signature into a file.

        Args:
            model: The model, in float32 and for the exported size. `exporters.with_decoding`
                returns its graph with decoded outputs.
            path: Path of the file, to be created; its ending may be another than `suffix`.
            signature: What `load` must find in the file.
            data: Batches of images as the file takes them, for formats that need examples; None
                if the caller passes no data.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `export`")

    def load(self, path: Path) -> ExportedModel:
        """Open a file that `export` wrote; its runtime is started once.

        Args:
            path: Path of the file; it is untrusted.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `load`")

    @classmethod
    def own_name(cls) -> str:
        """Return `format`.

        Raises:
            UserError: The exporter lacks `format` or `suffix`.
        """
        missing = [name for name in ("format", "suffix") if name not in dir(cls)]
        if missing:
            raise UserError(
                f"the exporter {place(cls)} has no {missing[0]!r}",
                rule="a name of the format, and the ending of its files",
                fix='format, suffix = "my-format", ".mine"',
            )
        return cls.format

    @classmethod
    def unknown(cls, name: str, names: list[str]) -> ConfigError:
        """Return the error of a format that no exporter has."""
        close = difflib.get_close_matches(name[:80], names, n=1, cutoff=0) or names
        return ConfigError(
            f"the export format {name!r:.90} is not supported",
            rule=f"{', '.join(names)}; import the module of your own exporter "
            "(on the command line: --import MODULE)",
            fix=option("format", close[0]),
        )

    def check_packages(self) -> None:
        """Check that the packages of the format are installed.

        Raises:
            UserError: One is missing.
        """
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            extra = f'"visiongarden[{self.extra}]"' if self.extra else " ".join(missing)
            raise UserError(
                f"packages for the format {self.format} are not installed: {', '.join(missing)}",
                fix=f"pip install {extra}",
            )


def exporter_for(path: str | Path) -> Exporter | None:
    """Return the exporter of a file by the ending of its name, or None."""
    ending = Path(path).suffix
    kinds = Exporter.by_name().values()
    return next((kind() for kind in kinds if kind.suffix == ending), None)


def load(path: str | Path) -> ExportedModel:
    """Open an exported file; its format is that of its ending.

    Args:
        path: Path of the file.

    Raises:
        UserError: No exporter has this ending, or its packages are not installed.
        ModelFileError: The file does not exist, or is not valid.

    Example:
        >>> vg.exporters.load("best.onnx").signature.image_size  # doctest: +SKIP
        (320, 320)
    """
    exporter = exporter_for(path)
    if exporter is None:
        endings = ", ".join(kind.suffix for kind in Exporter.by_name().values())
        raise UserError(f"{path} is not an exported file", rule=f"a file that ends in {endings}")
    exporter.check_packages()
    check_file(Path(path), "exported file", (exporter.suffix,), ModelFileError)
    return exporter.load(Path(path))
