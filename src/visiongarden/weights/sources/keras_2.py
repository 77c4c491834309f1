"""Weights files of Keras 2 (`.h5`): one group per layer, whose arrays are named after variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count, takewhile
from typing import Any, Protocol

import h5py
import numpy as np

from visiongarden.errors import UserError

MAX_ARRAYS, MAX_DEPTH = 200_000, 100
_MODEL_WEIGHTS = b"model_weights"
_NOT_LAYERS = frozenset({"optimizer_weights", "top_level_model_weights"})
_LEAVES = frozenset(
    {
        *("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"),
        *("depthwise_kernel", "pointwise_kernel"),
    }
)
"""Names of variables of Keras 2 that Keras 3 has as well."""
_OLD = re.compile(r"(.+)_(W|b)(?:_\d+)?(?::\d+)?")
"""Name of a kernel or bias of Keras 1, "block1_conv1_W_1:0"."""


class Walk(Protocol):
    """Traversal of a file, which checks links and arrays."""

    path: Any
    seen: set[Any]

    def items(self, group: Any) -> Iterator[tuple[str, Any]]:
        """Yield the name and object of each entry of a group; raise an error for links."""

    def array(self, item: Any, key: str, layer: str, siblings: int) -> None:
        """Collect one array, after validating its type and size."""


def root_of_keras_2(file: Any) -> Any:
    """Return the group of the layers of a file of Keras 2, or None for one of Keras 3."""
    root = h5py.h5o.open(file.id, b"/")
    groups = [root]
    # A link could refer to another file.
    links = root.links
    if _MODEL_WEIGHTS in root and links.get_info(_MODEL_WEIGHTS).type == h5py.h5l.TYPE_HARD:
        groups.append(h5py.h5o.open(root, _MODEL_WEIGHTS))
    for group in groups:
        if isinstance(group, h5py.h5g.GroupID) and (
            h5py.h5a.exists(group, b"layer_names") or h5py.h5a.exists(group, b"layer_names0")
        ):
            return group
    return None


def keras_2_layers(walk: Walk, root: Any) -> None:
    """Collect the arrays of a file of Keras 2, in the order in which each layer lists them.

    The name of an array is that of its variable, "block1_conv1/kernel:0", with or without the name
    of its layer; a model inside the model is one layer here.

    Raises:
        UserError: The arrays are not those that the file lists.
    """
    for layer, group in walk.items(root):
        if layer in _NOT_LAYERS:
            continue
        if not isinstance(group, h5py.h5g.GroupID):
            raise UserError(
                f"{walk.path} is not a weights file of Keras",
                received=f"array {layer} outside of a layer",
                fix="load it with the Keras version that wrote it, and save it as .keras",
            )
        names = _texts(group, "weight_names")
        found = dict(_arrays_below(walk, group, "", 0))
        if set(found) != set(names) or len(names) != len(found):
            raise UserError(
                f"{walk.path} is not a complete weights file",
                rule=f"the arrays of {layer} are those that the file lists",
                received=f"{len(found)} arrays, {len(names)} names",
                fix="copy the file again from its source",
            )
        _collect(walk, layer, {name: found[name] for name in names})


def _collect(walk: Walk, layer: str, arrays: dict[str, Any]) -> None:
    by_owner: dict[str, list[str]] = {}
    for name in arrays:
        by_owner.setdefault(_owner(layer, name), []).append(name)
    for owner, names in by_owner.items():
        leaves = [_leaf(name) for name in names]
        if leaves[:1] == ["depthwise_kernel"] and "pointwise_kernel" not in leaves:
            leaves[0] = "kernel"
        # Other names than those of Keras 3 are replaced by the position in the layer.
        are_known = set(leaves) <= _LEAVES and len(set(leaves)) == len(leaves)
        for position, name in enumerate(names):
            key = leaves[position] if are_known else str(position)
            walk.array(arrays[name], key, owner, len(names))


def _arrays_below(walk: Walk, group: Any, start: str, depth: int) -> Iterator[tuple[str, Any]]:
    # Hard links can make a group its own descendant.
    address = h5py.h5o.get_info(group).addr
    if address in walk.seen or len(walk.seen) > MAX_ARRAYS or depth > MAX_DEPTH:
        raise UserError(f"{walk.path}: the groups of the file do not form a tree")
    walk.seen.add(address)
    for name, item in walk.items(group):
        if isinstance(item, h5py.h5g.GroupID):
            yield from _arrays_below(walk, item, f"{start}{name}/", depth + 1)
        elif isinstance(item, h5py.h5d.DatasetID):
            yield f"{start}{name}", item
        else:
            raise UserError(f"{walk.path}: {start}{name} is not an array")


def _texts(group: Any, key: str) -> list[str]:
    """Return a list of strings, which Keras splits into several attributes if it is long."""
    attributes = h5py.Group(group).attrs
    parts = takewhile(attributes.__contains__, (f"{key}{number}" for number in count()))
    keys = [key] if key in attributes else parts
    texts = [text for each in keys for text in np.ravel(attributes[each])]
    return [t.decode() if isinstance(t, bytes) else str(t) for t in texts]


def _owner(layer: str, name: str) -> str:
    """Return the names of the nested layers of a variable."""
    *steps, last = name.split("/")
    old = _OLD.fullmatch(last)
    if old and not steps:
        steps = [old[1]]
    return "/".join(steps if steps[:1] == [layer] else [layer, *steps])


def _leaf(name: str) -> str:
    """Return the name that Keras 3 gives a variable: "kernel" of "kernel:0" or "conv1_W_1:0"."""
    last = name.rsplit("/", 1)[-1]
    old = _OLD.fullmatch(last)
    return {"W": "kernel", "b": "bias"}[old[2]] if old else last.partition(":")[0]
