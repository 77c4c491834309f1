"""Run every benchmark that needs only the environment of the tests."""

import subprocess
import sys

RUNS = (
    ("benchmarks.speed", "--mode", "infer"),
    ("benchmarks.speed", "--mode", "graph"),
    ("benchmarks.speed", "--mode", "train"),
    ("benchmarks.speed", "--mode", "infer", "--dtype", "mixed_bfloat16"),
    ("benchmarks.speed", "--mode", "train", "--dtype", "mixed_bfloat16"),
    ("benchmarks.transfer",),
    ("benchmarks.repeats",),
    ("benchmarks.show",),
    ("benchmarks.coco_map",),
    ("benchmarks.mask_encoding",),
    ("benchmarks.first_epoch",),
    ("benchmarks.startup", "--rounds", "2"),
    ("benchmarks.memory", "--steps", "200"),
    ("benchmarks.growth",),
)
"""benchmarks/README.md lists the others, which need data or the environment of a peer."""


def main():
    """Run all; exit with code 1 if one failed."""
    failed = []
    for run in RUNS:
        print(f"\n== {' '.join(run)}", flush=True)
        if subprocess.run([sys.executable, "-m", *run], check=False).returncode:
            failed.append(run[0])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
