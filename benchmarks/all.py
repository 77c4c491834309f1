"""Every benchmark that needs nothing but the environment of the tests, one after the other."""

import subprocess
import sys

RUNS = (
    ("benchmarks.speed", "--mode", "infer"),
    ("benchmarks.speed", "--mode", "graph"),
    ("benchmarks.speed", "--mode", "train"),
    ("benchmarks.transfer",),
    ("benchmarks.repeats",),
    ("benchmarks.show",),
    ("benchmarks.coco_map",),
    ("benchmarks.first_epoch",),
    ("benchmarks.startup", "--rounds", "2"),
    ("benchmarks.memory", "--steps", "200"),
    ("benchmarks.growth",),
)
"""Those that need data, or a peer's environment, are run by hand: benchmarks/README.md."""


def main():
    """Runs all; exit code 1 where one failed."""
    failed = []
    for run in RUNS:
        print(f"\n== {' '.join(run)}", flush=True)
        if subprocess.run([sys.executable, "-m", *run], check=False).returncode:
            failed.append(run[0])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
