"""Training step and inference: our backends beside native PyTorch of the same architecture."""

import argparse

from benchmarks.harness import Contender, compare, keep, machine, table

NATIVE = "torch-native"


def contenders(options, compiled):
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
    return found


def main():
    """Prints one table and keeps JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["infer", "graph", "train"], default="graph")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--depth", type=float, default=0.33)
    parser.add_argument("--most", type=int, default=1024, help="channels before the width")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--together", action="store_true", help="prepare all at once")
    parser.add_argument("--compiled", action="store_true", help="PyTorch's compiler too")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one turn")
    parser.add_argument("--only", nargs="*", help="contenders; all by default")
    given = vars(parser.parse_args())
    rounds, seconds, only, together, compiled = (
        given.pop(key) for key in ("rounds", "seconds", "only", "together", "compiled")
    )
    chosen = [c for c in contenders(given, compiled) if not only or c.name in only]
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
