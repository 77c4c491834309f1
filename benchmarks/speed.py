"""Compare training steps and inference with native PyTorch and the model of the peer."""

import argparse
from pathlib import Path

from benchmarks.harness import (
    PEER,
    Contender,
    compare,
    environment_of,
    json_output,
    machine,
    save_result,
    table,
)

NATIVE = "torch-native"
NATIVES = {
    "anchor-free": "benchmarks.contenders.torch_native",
    "masks": "benchmarks.contenders.torch_masks",
    "retinanet": "benchmarks.contenders.torch_retinanet",
}
"""The plain PyTorch module of each model; the first two have the size that the options state."""
LETTERS = {(0.33, 0.25, 1024): "n", (0.33, 0.5, 1024): "s", (0.67, 0.75, 768): "m"}
"""The peer's name of a size, by depth, width and `max_channels`."""


SUPPORT = """
import json
from visiongarden.backends.half_precision import bfloat16_support
print(json.dumps(bfloat16_support()))
"""


def unsupported(dtype):
    """Return why a dtype policy cannot be measured here, or None."""
    if dtype != "mixed_bfloat16":
        return None
    # PyTorch is the backend of the native contender.
    expected, reason = json_output(["-c", SUPPORT], {"KERAS_BACKEND": "torch"})
    return None if expected else reason


def contenders(options, compiled, peer_python):
    """Return the contenders of a mode."""
    ours = "benchmarks.contenders.ours"
    native = NATIVES[options["model"]]
    # Several processes share one accelerator.
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    entries = [
        Contender(NATIVE, native, options),
        Contender("torch-native-compiled", native, options | {"compile": True}),
        *(
            Contender(backend, ours, options, environment_of(backend) | shared)
            for backend in ("tensorflow", "torch", "jax")
        ),
        Contender("tensorflow-xla", ours, options | {"jit": True}, {"KERAS_BACKEND": "tensorflow"}),
    ]
    if options["mode"] == "infer":
        entries.pop()
    if not compiled:
        entries.pop(1)  # compiling takes minutes
    letter = LETTERS.get((options["depth"], options["width"], options["max_channels"]))
    if options["mode"] == "graph" or letter is None or options["model"] != "anchor-free":
        return entries
    if Path(peer_python).is_file():
        peer_options = options | {"letter": letter}
        module = "benchmarks.peers.ultralytics_model"
        offline = {"YOLO_OFFLINE": "1"}
        entries.insert(1, Contender("peer", module, peer_options, offline, python=peer_python))
    else:
        print(f"the peer is skipped: {peer_python} does not exist")
    return entries


def main():
    """Print a table and save the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["infer", "graph", "train"], default="graph")
    parser.add_argument("--model", choices=list(NATIVES), default="anchor-free")
    parser.add_argument("--warmup", type=int, default=20, help="steps before the first turn")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--depth", type=float, default=0.33)
    parser.add_argument(
        "--max-channels", type=int, default=1024, help="limit before the width is applied"
    )
    parser.add_argument("--dtype", default=None)
    parser.add_argument(
        "--together", action="store_true", help="prepare all contenders in parallel"
    )
    parser.add_argument(
        "--compiled", action="store_true", help="add PyTorch's compiler as a contender"
    )
    parser.add_argument(
        "--processor-time", action="store_true", help="seconds of the processor, on a busy machine"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="duration of a turn")
    parser.add_argument("--only", nargs="*", help="contenders; all by default")
    parser.add_argument("--peer-python", default=str(PEER))
    options = vars(parser.parse_args())
    rounds, seconds, only, together, compiled, peer = (
        options.pop(key)
        for key in ("rounds", "seconds", "only", "together", "compiled", "peer_python")
    )
    reason = unsupported(options["dtype"])
    if reason is not None:
        print(f"skipped {options['mode']} in {options['dtype']}: {reason}")
        return
    chosen = [c for c in contenders(options, compiled, peer) if not only or c.name in only]
    rows = compare(chosen, rounds, seconds, options["batch"], together=together)
    size = options["size"]
    print(
        table(
            f"{options['model']}, {options['mode']}, {size} × {size}, batch {options['batch']}, "
            f"{options['dtype'] or 'float32'}, {machine()}",
            rows,
            NATIVE,
        )
    )
    named = [str(options[key] or "float32") for key in ("model", "mode", "dtype", "size", "batch")]
    save_result("_".join(["speed", *named]), {"options": options, "rows": rows})


if __name__ == "__main__":
    main()
