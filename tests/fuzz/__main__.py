"""`python -m tests.fuzz --count 100000`: fuzzes every reader; failing files are kept."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("VISIONGARDEN_CACHE", "off")

from tests.fuzz.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="files, of all readers together")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", default=[], help="may be repeated")
    parser.add_argument("--keep", type=Path, default=None, help="folder for files that fail")
    parser.add_argument("--torch", action="store_true", help="PyTorch's files too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        counted, failures = fuzz(
            Path(scratch), given.count, given.reader, given.seed, given.seconds, given.keep,
            given.torch,
        )  # fmt: skip
    for failure in failures:
        print(failure)
    print(f"{sum(counted.values()):,} files, {len(failures)} failures: {dict(counted)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
