"""`KINDS`: the kinds of components that a user can add, each declared once.

`list`, `new`, `check`, plugins, errors and the documentation read this table. It names classes by
text, so that the command line can show it without importing a backend.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from visiongarden.errors import UserError, nearest

PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True)
class Kind:
    """A kind of component: what a user may replace by a class of their own.

    Attributes:
        name: Name on the command line, such as "backbone".
        summary: What a component of this kind does.
        bases: Base classes, `module:Class`, the first of which is the usual one.
        members: What a component implements.
        home: Module whose import registers the components of visiongarden.
        lookup: `module:Class` whose `kinds()` and `find()` return components by name; "" for layers
            and blocks, which no recipe names.
        is_exported: Whether the components of visiongarden are those that `home` exports.
    """

    name: str
    summary: str
    bases: tuple[str, ...]
    members: str
    home: str
    lookup: str = ""
    is_exported: bool = False

    @property
    def is_keras(self) -> bool:
        """Whether the components are classes or functions of Keras's own kinds."""
        return self.name != "layer" and self.bases[0].startswith("keras")

    @property
    def base_names(self) -> tuple[str, ...]:
        """Base classes as a user writes them, such as "vg.losses.Loss"."""
        paths = (base.replace(":", ".") for base in self.bases)
        return tuple(re.sub(rf"^{PACKAGE}\.", "vg.", path) for path in paths)

    def classes(self) -> tuple[type, ...]:
        """Return the base classes; none for activations, which are functions. Imports them."""
        return tuple(named(base) for base in self.bases if ":" in base)

    def is_base(self, cls: type) -> bool:
        """Return whether a class is one of the base classes; imports nothing."""
        for base in self.bases:
            module, _, name = base.partition(":")
            if cls.__name__ == name and f"{cls.__module__}.".startswith(f"{module}."):
                return True
        return False


def _ours(name: str, summary: str, home: str, members: str, *bases: str, **more: Any) -> Kind:
    names = tuple(f"{PACKAGE}.{home}:{base}" for base in bases)
    return Kind(name, summary, names, members, f"{PACKAGE}.{home}", **more)


def _typed(name: str, summary: str, home: str, members: str, *bases: str, **more: Any) -> Kind:
    return _ours(
        name, summary, home, members, *bases, lookup=f"{PACKAGE}.{home}:{bases[0]}", **more
    )


def _part(name: str, summary: str, members: str) -> Kind:
    return Kind(
        name,
        summary,
        (f"{PACKAGE}:{name.title()}",),
        members,
        f"{PACKAGE}.{name}s",
        f"{PACKAGE}:{name.title()}",
        is_exported=True,
    )


def _keras(name: str, summary: str, base: str, members: str, home: str) -> Kind:
    lookup = f"{PACKAGE}.config:Keras{name.title()}"
    return Kind(name, summary, (base,), members, f"{PACKAGE}.{home}", lookup)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "layer",
            "smallest serializable unit of a model",
            ("keras:Layer",),
            "`__init__`, `build`, `call`",
            f"{PACKAGE}.layers",
            is_exported=True,
        ),
        Kind(
            "block",
            "layer made of layers, which an architecture repeats",
            (f"{PACKAGE}.layers:Composite",),
            "`__init__`, `call`",
            f"{PACKAGE}.blocks",
            is_exported=True,
        ),
        _part("backbone", "image -> feature maps", "`wire(images)`"),
        _part("decoder", "feature maps -> feature maps", "`wire(features)`"),
        _part(
            "head",
            "feature maps -> raw predictions",
            "`task`, `loss`, `decoding`, `wire(features)`",
        ),
        _typed(
            "loss",
            "raw predictions and targets -> terms; or one part of such a loss",
            "losses",
            "`terms`, `__call__`",
            "Loss",
            "ScoreLoss",
            "BoxLoss",
            "RegionLoss",
        ),
        _typed(
            "assigner",
            "which prediction is trained on which object",
            "assigners",
            "`__call__(candidates, targets)`",
            "Assigner",
        ),
        _typed(
            "decoding",
            "raw predictions -> named arrays, in the graph",
            "postprocess",
            "`outputs`, `__call__(raw, context)`",
            "Decoding",
        ),
        _typed(
            "transform",
            "change of a training image and its annotations",
            "transforms",
            "`apply(sample, context, rng)`, or `matrix` of a `Warp`",
            "Transform",
        ),
        _typed(
            "reader",
            "files of a dataset -> annotations",
            "data",
            "`matches`, `splits`, `read`",
            "Reader",
        ),
        _typed(
            "writer",
            "annotations -> files of a dataset",
            "data",
            "`format`, `write(splits, folder)`",
            "Writer",
        ),
        _typed(
            "exporter",
            "model -> file of another runtime",
            "exporters",
            "`format`, `suffix`, `export`, `load`",
            "Exporter",
        ),
        _typed(
            "task",
            "targets, results, metrics and drawing of one kind of problem",
            "tasks",
            "`name`, `model`, `needs`, `outputs`, `monitor`, `metrics`, `postprocess`, "
            "`to_original`",
            "Task",
        ),
        _keras(
            "optimizer",
            "gradients -> new weights",
            "keras.optimizers:Optimizer",
            "`build`, `update_step`, `get_config`",
            "training",
        ),
        _keras(
            "schedule",
            "step -> learning rate",
            "keras.optimizers.schedules:LearningRateSchedule",
            "`__call__(step)`, `get_config`",
            "training",
        ),
        _keras(
            "metric",
            "ground truth and results -> numbers",
            "keras.metrics:Metric",
            "`name`, `update_state`, `result`, `reset_state`",
            "metrics",
        ),
        _keras(
            "callback",
            "what happens between epochs and steps of training",
            "keras.callbacks:Callback",
            "`on_epoch_end(epoch, logs)` and others",
            "training",
        ),
        _keras(
            "initializer",
            "shape -> initial weights",
            "keras.initializers:Initializer",
            "`__call__(shape, dtype)`, `get_config`",
            "layers",
        ),
        _keras("activation", "elementwise function", "keras.activations", "a function", "layers"),
    )
}
"""The kinds by name, in the order in which data pass through them, then those of Keras."""


def kind_named(name: str) -> Kind:
    """Return the kind of a name.

    Raises:
        UserError: There is no such kind.
    """
    if name not in KINDS:
        raise UserError(f"there is no kind {name!r} of component", fix=nearest(name, KINDS))
    return KINDS[name]


def kind_looked_up_in(cls: type) -> Kind | None:
    """Return the kind whose components a class finds by name, or None; imports nothing."""
    for base in cls.__mro__:
        for kind in KINDS.values():
            module, _, name = kind.lookup.partition(":")
            is_lookup = base.__name__ == name and f"{base.__module__}.".startswith(f"{module}.")
            if is_lookup or (kind.lookup and kind.is_base(base)):
                return kind
    return None


def named(path: str) -> Any:
    """Return the object `module:name`, whose module is imported."""
    module, _, name = path.partition(":")
    return vars(importlib.import_module(module)).get(name) or _exported(module, name)


def _exported(module: str, name: str) -> Any:
    # Public names that a package imports on first use are in no `vars`.
    return getattr(importlib.import_module(module), name)
