"""Compare exported files with those of the peer, on each runtime."""

import argparse
import importlib.util
import tempfile
from pathlib import Path

from benchmarks.contenders.ours import detector
from benchmarks.harness import PEER, Contender, compare, machine, run_peer, save_result, table

ENGINES = ("onnxruntime", "openvino")


def files(folder, options):
    """Return contender -> ONNX file; without the peer if its environment does not exist."""
    from visiongarden.exporters import export

    path = folder / "ours.onnx"
    export(detector({"size": options.size}), path)
    paths = {"ours": path}
    if Path(options.peer_python).is_file():
        arguments = {
            "file": str(folder / "peer.onnx"),
            "size": options.size,
            "batch": options.batch,
        }
        run_peer(options.peer_python, "ultralytics_export.py", arguments, folder)
        paths["peer"] = folder / "peer.onnx"
    else:
        print(f"the peer is skipped: {options.peer_python} does not exist")
    return paths


def main():
    """Print a table for each runtime and save the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of a turn")
    parser.add_argument("--peer-python", default=str(PEER))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        written = files(Path(scratch), options)
        for engine in ENGINES:
            if importlib.util.find_spec(engine) is None:
                print(f"{engine} is not installed")
                continue
            shared = {"engine": engine, "batch": options.batch, "size": options.size}
            chosen = [
                Contender(name, "benchmarks.contenders.exported", shared | {"file": str(file)})
                for name, file in written.items()
            ]
            rows = compare(chosen, options.rounds, options.seconds, options.batch)
            title = f"{engine}, {options.size} × {options.size}, batch {options.batch}, {machine()}"
            print(table(title, rows, "peer"))
            save_result(f"exports_{engine}_{options.size}_{options.batch}", {"rows": rows})


if __name__ == "__main__":
    main()
