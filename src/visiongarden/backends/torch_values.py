"""Values inside a module of PyTorch, whatever the backend of Keras is.

**Why.** A source of weights may be a module in memory, which only PyTorch can run. **Gain:**
correctness: a transfer is compared with the source's own values. **Switch:** none; it uses no
private names.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def outputs_of(module: Any, image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the outputs of the modules inside a module in evaluation mode, call by call.

    Args:
        module: Module that takes (batch, channels, height, width).
        image: (batch, height, width, channels).

    Returns:
        (name of the module, array) of each call.
    """
    import torch

    found: list[tuple[str, np.ndarray]] = []

    def record(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            # A copy, because a later module may change the tensor in place.
            if isinstance(output, torch.Tensor) and output.is_floating_point():
                found.append((name, output.detach().float().cpu().numpy().copy()))

        return hook

    modes = {each: each.training for each in module.modules()}
    hooks = [each.register_forward_hook(record(name)) for name, each in module.named_modules()]
    try:
        module.eval()
        weight = next(module.parameters())
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
        with torch.no_grad():
            module(x.to(weight.device, weight.dtype))
    finally:
        for hook in hooks:
            hook.remove()
        for each, is_training in modes.items():
            each.training = is_training
    return found
