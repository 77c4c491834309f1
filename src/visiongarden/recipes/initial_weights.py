"""`InitialWeights`: the pretrained weights that a run starts from."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from visiongarden.config import Value
from visiongarden.config.overrides import as_override
from visiongarden.data import Preprocessing
from visiongarden.errors import UserError, option, spelled
from visiongarden.models import Joined
from visiongarden.storage import atomic_write, parse_json, similar
from visiongarden.weights import TransferReport
from visiongarden.weights.sources import open_source
from visiongarden.weights.transferring import copy_weights

BEST = "best.keras"
REPORT = "weights.json"
_MAX_REPORT = 64 * 2**20


@dataclass(frozen=True)
class Start:
    """What a run starts from, if it starts from pretrained weights.

    Attributes:
        weights: The weights; None starts from random ones.
        preprocessing: Preprocessing of the model that the weights belong to, if the file names it;
            once they are loaded, that of the model.
        report: Report of the transfer; None before it, and in a run that is resumed.
        is_resumed: Whether the run continues from its checkpoint.
    """

    weights: InitialWeights | None = None
    preprocessing: Preprocessing | None = None
    report: TransferReport | None = None
    is_resumed: bool = False

    def load_into(self, model: Joined) -> Start:
        """Copy the weights into a new model; return what `save` writes."""
        if self.weights is None:
            return self
        report = self.weights.load_into(model)
        # Rules of a published checkpoint set the preprocessing of the model.
        return replace(self, report=report, preprocessing=model.preprocessing)

    def save(self, folder: Path) -> None:
        """Write the report into the folder of a run."""
        if self.report is not None:
            values = None if self.preprocessing is None else self.preprocessing.to_dict()
            fields = {"preprocessing": values, "report": self.report.to_dict()}
            atomic_write(folder / REPORT, json.dumps(fields, indent=1))


def start_of(weights: InitialWeights | None, resumed: Path | None) -> Start:
    """Return what a run starts from.

    A resumed run has its weights in its checkpoint, and may outlive the file that it started from.

    Args:
        weights: The field `model.weights` of the recipe.
        resumed: Folder of the run, if it is resumed.

    Raises:
        UserError: The source of the weights cannot be opened.
    """
    if resumed is None:
        return Start() if weights is None else Start(weights, weights.preprocessing())
    path = resumed / REPORT
    if weights is None or not path.is_file() or path.stat().st_size > _MAX_REPORT:
        return Start(is_resumed=True)
    saved = parse_json(path.read_bytes(), path, UserError).get("preprocessing")
    return Start(preprocessing=saved and Preprocessing.from_dict(saved), is_resumed=True)


def loaded_paths(start: Start, model: Joined) -> tuple[str, ...]:
    """Return the paths of a new model's weights that hold pretrained values."""
    copied = () if start.report is None else start.report.paths
    if not model.parts.backbone.is_pretrained:
        return copied
    return (*copied, *(weight.path for weight in model.backbone.weights))


class InitialWeights(Value):
    """Pretrained weights that a run starts from, copied by path as `vg.transfer` does.

    Attributes:
        source: Folder of a run, whose best model is used, a model file (.keras), or a checkpoint of
            another library.
        rules: Rules of a published checkpoint: the name of shipped ones or a file; or rules from
            the names of the source to the paths of the model, such as `{"model.0":
            "backbone/stem"}`. "auto" recognizes published checkpoints, and needs no rules where the
            names agree.
        min_coverage: Smallest fraction of the parameters of the backbone that must be loaded, of
            those that `only` selects.
        only: Patterns of the paths to load, such as ["backbone/**"]; `*` matches within one
            segment, `**` one or more segments. None: all.
        class_rows: "name" to match rows of class outputs by class name, or "position".
        state_dict: Name of the state dict in a checkpoint of PyTorch that contains several, such as
            "ema".
    """

    source: Path
    rules: dict[str, str] | str = "auto"
    min_coverage: Annotated[float, Field(ge=0, le=1)] = 1.0
    only: tuple[str, ...] | None = None
    class_rows: Literal["name", "position"] = "name"
    state_dict: str | None = None

    @field_validator("only", mode="before")
    @classmethod
    def _one_or_several(cls, only: Any) -> Any:
        return (only,) if isinstance(only, str) else only

    @property
    def file(self) -> Path:
        """The file that contains the weights.

        Raises:
            UserError: The source does not exist, or is the folder of a run without a model.
        """
        path = self.source
        if path.is_dir():
            if not (path / BEST).is_file():
                raise UserError(
                    f"{path} contains no {BEST}",
                    rule="the folder of a run that has completed an epoch, or a file of weights",
                    fix=option("weights", "runs/other"),
                )
            return path / BEST
        if not path.is_file():
            raise UserError(
                f"there are no weights {path}",
                rule="the folder of a run, a model file (.keras) or a checkpoint",
                fix=similar(path),
            )
        return path

    def preprocessing(self) -> Preprocessing | None:
        """Return the preprocessing of the model that the weights belong to, if the file names it.

        Raises:
            UserError: The source cannot be opened.
        """
        with (
            spelled(_field_of_weights),
            open_source(self.file, state_dict=self.state_dict) as opened,
        ):
            return opened.preprocessing

    def load_into(self, model: Joined) -> TransferReport:
        """Copy the weights into a new model, and return the report.

        Raises:
            UserError: The source cannot be opened or is damaged, a pattern matches nothing, or less
                than `min_coverage` of the backbone would be loaded. The model is unchanged then.
        """
        with spelled(_field_of_weights):
            return copy_weights(
                self.file,
                model,
                rename=None if isinstance(self.rules, str) else self.rules,
                rules=self.rules if isinstance(self.rules, str) else "auto",
                only=self.only,
                min_coverage=self.min_coverage,
                class_rows=self.class_rows,
                counted=("backbone",),
                state_dict=self.state_dict,
            )


def initial_weights(given: Any) -> Any:
    """Return the field `model.weights` with its fields: a path alone is the source."""
    return {"source": str(given)} if isinstance(given, str | Path) else given


def _field_of_weights(name: str, value: Any) -> str:
    """Spell an argument of `transfer` as an override, which works in Python and for `train`."""
    field = f"model.weights.{'rules' if name == 'rename' else name}"
    return field if value is None else as_override(field, value)
