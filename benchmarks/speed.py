"""Training step and inference: our backends beside native PyTorch and the peer's own model."""

import argparse
from pathlib import Path

from benchmarks.harness import PEER, Contender, compare, keep, machine, table

NATIVE = "torch-native"
LETTERS = {(0.33, 0.25, 1024): "n", (0.33, 0.5, 1024): "s", (0.67, 0.75, 768): "m"}
"""The peer's name of a size, by depth, width and max channels."""


def contenders(options, compiled, peer_python):
    """All of a mode."""
    ours = "benchmarks.contenders.ours"
    native = "benchmarks.contenders.torch_native"
    # Several share one accelerator.
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    found = [
        Contender(NATIVE, native, options),
        Contender("torch-native-compiled", native, options | {"compile": True}),
        *(
            Contender(backend, ours, options, {"KERAS_BACKEND": backend} | shared)
            for backend in ("tensorflow", "torch", "jax")
        ),
        Contender("tensorflow-xla", ours, options | {"jit": True}, {"KERAS_BACKEND": "tensorflow"}),
    ]
    if options["mode"] == "infer":
        found.pop()
    if not compiled:
        found.pop(1)  # minutes of a C++ compiler
    letter = LETTERS.get((options["depth"], options["width"], options["max_channels"]))
    if options["mode"] == "graph" or letter is None:
        return found
    if Path(peer_python).is_file():
        given = options | {"letter": letter}
        module = "benchmarks.peers.ultralytics_model"
        offline = {"YOLO_OFFLINE": "1"}
        found.insert(1, Contender("peer", module, given, offline, python=peer_python))
    else:
        print(f"no peer: {peer_python} is missing")
    return found


def main():
    """Prints one table and keeps JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["infer", "graph", "train"], default="graph")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--depth", type=float, default=0.33)
    parser.add_argument("--max_channels", type=int, default=1024, help="channels before the width")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--together", action="store_true", help="prepare all at once")
    parser.add_argument("--compiled", action="store_true", help="PyTorch's compiler too")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one turn")
    parser.add_argument("--only", nargs="*", help="contenders; all by default")
    parser.add_argument("--peer-python", default=str(PEER))
    given = vars(parser.parse_args())
    rounds, seconds, only, together, compiled, peer = (
        given.pop(key)
        for key in ("rounds", "seconds", "only", "together", "compiled", "peer_python")
    )
    chosen = [c for c in contenders(given, compiled, peer) if not only or c.name in only]
    rows = compare(chosen, rounds, seconds, given["batch"], together=together)
    size = given["size"]
    print(
        table(
            f"{given['mode']}, {size} × {size}, batch {given['batch']}, {machine()}", rows, NATIVE
        )
    )
    keep(f"speed_{given['mode']}_{size}_{given['batch']}", {"options": given, "rows": rows})


if __name__ == "__main__":
    main()
