"""Exported files: ours beside the peer's, of the same architecture, on each runtime."""

import argparse
import importlib.util
import tempfile
from pathlib import Path

from benchmarks.contenders.ours import detector
from benchmarks.harness import PEER, Contender, compare, keep, machine, run_peer, table

ENGINES = ("onnxruntime", "openvino")


def files(folder, options):
    """Name -> ONNX file; the peer's where its environment is."""
    from visiongarden.exporters import to_onnx

    own = folder / "ours.onnx"
    to_onnx(detector({"size": options.size}), own)
    found = {"ours": own}
    if Path(options.peer_python).is_file():
        asked = {"file": str(folder / "peer.onnx"), "size": options.size, "batch": options.batch}
        run_peer(options.peer_python, "ultralytics_export.py", asked, folder)
        found["peer"] = folder / "peer.onnx"
    else:
        print(f"no peer: {options.peer_python} is missing")
    return found


def main():
    """Prints a table for each runtime and keeps JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one turn")
    parser.add_argument("--peer-python", default=str(PEER))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        written = files(Path(scratch), options)
        for engine in ENGINES:
            if importlib.util.find_spec(engine) is None:
                print(f"{engine} is not installed")
                continue
            given = {"engine": engine, "batch": options.batch, "size": options.size}
            chosen = [
                Contender(name, "benchmarks.contenders.exported", given | {"file": str(file)})
                for name, file in written.items()
            ]
            rows = compare(chosen, options.rounds, options.seconds, options.batch)
            title = f"{engine}, {options.size} × {options.size}, batch {options.batch}, {machine()}"
            print(table(title, rows, "peer"))
            keep(f"exports_{engine}_{options.size}_{options.batch}", {"rows": rows})


if __name__ == "__main__":
    main()
