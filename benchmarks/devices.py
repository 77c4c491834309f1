"""Measure what several devices and checkpoints cost in training, as ratios within one session.

Parts of one processor share its cores: two devices have nothing to gain, and should lose little.
"""

import argparse
import statistics

from benchmarks.harness import Contender, compare, machine, save_result, table

MODULE = "benchmarks.contenders.devices"
CASES = ("jax", "torch", "checkpoints")


def contenders(case, options, backend):
    """Return the contenders of a case, whose first one is the baseline."""
    one, two = {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}
    jax, torch = {"KERAS_BACKEND": "jax"}, {"KERAS_BACKEND": "torch"}
    if case == "jax":
        return [
            Contender("1 device", MODULE, options, jax),
            Contender("2 devices", MODULE, options | {"devices": 2}, jax),
        ]
    if case == "torch":
        return [
            Contender("1 process, 2 threads", MODULE, options, torch | two),
            Contender("2 processes, 1 thread", MODULE, options | {"processes": 2}, torch | one),
        ]
    environment = {"KERAS_BACKEND": backend}
    return [
        Contender("no checkpoint", MODULE, options, environment),
        Contender("1 checkpoint", MODULE, options | {"checkpoints": True}, environment),
    ]


def main():
    """Print a table for each case; save the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--backend", default="tensorflow", help="backend of the checkpoints")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--warmup", type=int, default=20, help="steps that are not measured")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of a turn")
    parser.add_argument(
        "--interval", type=float, default=60.0, help="seconds of a turn with one checkpoint"
    )
    args = parser.parse_args()
    options = {name: getattr(args, name) for name in ("size", "batch", "width", "warmup")}
    options["mode"] = "train"
    for case in args.only:
        entries = contenders(case, options, args.backend)
        seconds = args.interval if case == "checkpoints" else args.seconds
        rows = compare(entries, args.rounds, seconds, args.batch)
        title = f"{case}, {args.size} × {args.size}, batch {args.batch}, {machine()}"
        print(table(title, rows, entries[0].name))
        if all("rates" in row for row in rows):
            pairs = zip(*(row["rates"] for row in rows), strict=True)
            cost = statistics.median(before / after for before, after in pairs)
            print(f"\nthe time of a step is {cost:.3f} of that of {entries[0].name}\n", flush=True)
        save_result(f"devices_{case}_{args.size}_{args.batch}", {"options": options, "rows": rows})


if __name__ == "__main__":
    main()
