"""Training images a second and core: our pipeline beside OpenCV's functions and beside the peer.

Mosaic of four, scale, shift, flip, hue, saturation and value, with the labels; one thread each,
seconds of the processor. The images are photographs' size, 640 × 480 JPEG.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.harness import PEER, Contender, compare, keep, machine, table


def contenders(options, peer):
    """Ours, plain OpenCV, and the peer."""
    module = "benchmarks.contenders.pipeline"
    return [
        Contender("ours", module, options | {"which": "ours"}),
        Contender("opencv", module, options | {"which": "plain"}),
        Contender(
            "ultralytics", "benchmarks.peers.ultralytics_pipeline", options, python=str(peer)
        ),
    ]


def make(folder, count):
    """Drawn scenes as YOLO labels beside JPEG files; returns data.yaml."""
    import cv2

    from visiongarden.data import read
    from visiongarden.scenes import make_scenes

    images = folder / "images" / "train"
    labels = folder / "labels" / "train"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    scenes = read(make_scenes(folder / "scenes", count, (480, 640), val_share=0.0), "coco")
    for number, example in enumerate(scenes):
        cv2.imwrite(str(images / f"{number}.jpg"), scenes.load(number).image[..., ::-1])
        x1, y1, x2, y2 = (example.boxes / [640, 480, 640, 480]).T
        rows = zip(example.classes, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, strict=True)
        text = "".join(f"{c} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for c, x, y, w, h in rows)
        (labels / f"{number}.txt").write_text(text)
    file = folder / "data.yaml"
    names = list(scenes.class_map.names)
    file.write_text(f"path: {folder}\ntrain: images/train\nval: images/train\nnames: {names}\n")
    return file


def main():
    """Prints one table for each size, with images in memory and from files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[320, 640])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn")
    parser.add_argument("--peer", type=Path, default=PEER, help="interpreter of the peer")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = make(Path(folder), given.images)
        for size in given.sizes:
            for cached in (True, False):
                options = {
                    "data": str(data),
                    "size": size,
                    "cached": cached,
                    "warmup": given.images,
                }
                chosen = contenders(options, given.peer)
                rows = compare(chosen, given.rounds, given.seconds, 1)
                where = "in memory" if cached else "from files"
                print(table(f"{size} × {size}, images {where}, {machine()}", rows, "ours"))
                keep(f"pipeline_{size}_{'memory' if cached else 'files'}", {"rows": rows})


if __name__ == "__main__":
    main()
