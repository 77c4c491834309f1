"""Names of the weights of Keras's layers, derived from a model's config.

A `.keras` file only numbers the weights of a layer. For Keras's own layers, the class and the
config determine which weights there are and in which order.
"""

from __future__ import annotations

from typing import Any

_MAX_DEPTH = 50


def variable_names(config: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of each layer's weights in the order of the file.

    Args:
        config: Config of a functional or sequential model, as in `config.json`.

    Returns:
        Names of the weights by the names of the nested layers, "outer/inner". Layers whose weights
        are not known with certainty are omitted.
    """
    found: dict[str, tuple[str, ...]] = {}
    _visit(config, "", found, 0)
    return found


def _visit(model: Any, chain: str, found: dict[str, tuple[str, ...]], depth: int) -> None:
    inner = model.get("config") if isinstance(model, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list) or depth > _MAX_DEPTH:
        return
    for layer in layers:
        config = layer.get("config") if isinstance(layer, dict) else None
        if not isinstance(config, dict) or not isinstance(config.get("name"), str):
            continue
        name = f"{chain}/{config['name']}".lstrip("/")
        names = _names(layer, config)
        if names:
            found[name] = names
        _visit(layer, name, found, depth + 1)


def _names(layer: dict[str, Any], config: dict[str, Any]) -> tuple[str, ...]:
    if layer.get("module") != "keras.layers":
        return ()  # A custom layer of the same class name may have other weights.
    kind = str(layer.get("class_name"))
    scale = ("gamma",) if config.get("scale") else ()
    center = ("beta",) if config.get("center") else ()
    bias = ("bias",) if config.get("use_bias") else ()
    if kind == "BatchNormalization":
        return (*scale, *center, "moving_mean", "moving_variance")
    if kind in ("LayerNormalization", "GroupNormalization"):
        return (*scale, *center)
    if kind.startswith("SeparableConv"):
        return ("depthwise_kernel", "pointwise_kernel", *bias)
    if kind in ("Dense", "EinsumDense") or (kind.startswith(("Conv", "DepthwiseConv"))):
        return ("kernel", *bias)
    return ()
