"""Measure the time of `repeats`, which should be nearly linear: 1,000 layers in under 2 s."""

from __future__ import annotations

import random
import time
from itertools import pairwise

from visiongarden.graphs import Graph, Op, graph
from visiongarden.repetition import repeats_of

LAYERS = (1_000, 2_000, 4_000, 8_000)


def network(layers: int, kinds: int, seed: int = 0) -> Graph:
    """Return a graph of stages of two-branch residual units, of `kinds` types in random order."""
    chance = random.Random(seed)
    ops = [Op("input", ())]

    def add(kind: str, *reads: int, width: int | None = None, kernel: int = 1) -> int:
        ops.append(Op(kind, reads, (("kernel", (kernel, kernel)),), width))
        return len(ops) - 1

    x = 0
    while len(ops) < layers:
        width, kind = 2 ** chance.randint(4, 9), chance.randrange(kinds)
        x = add("conv", x, width=width, kernel=3)
        for _ in range(chance.randint(1, 6)):
            y = x
            for step in range(2 + kind % 3):
                y = add("conv", y, width=width, kernel=1 + 2 * ((kind >> step) % 3))
            z = add("conv", x, width=width // 2)
            x = add("add", x, add("conv", add("concat", y, z), width=width))
    return graph(ops, [x])


def main() -> None:
    for title, kinds in (("one type of unit", 1), ("12 types of units", 12)):
        times = []
        for layers in LAYERS:
            net = network(layers, kinds)
            start = time.process_time()
            report = repeats_of(net)
            times.append(time.process_time() - start)
            print(
                f"{title}: {layers:5,} layers {times[-1]:6.2f} s of one core, "
                f"{len(report.repeats)} repeats"
            )
        growth = [b / a for a, b in pairwise(times)]
        print(f"{title}: twice the layers cost " + ", ".join(f"×{g:.1f}" for g in growth))
        print(f"{title}: 1,000 layers under 2 s: {'yes' if times[0] < 2 else 'NO'}")


if __name__ == "__main__":
    main()
