"""Compare training images per second and core with plain OpenCV and with the peer.

Each image is a mosaic of four with scale, translation, flip, hue, saturation and value, and with
its labels. Each contender has one thread, and processor time counts. The images are JPEG files of
640 × 480 pixels.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.harness import PEER, Contender, compare, machine, save_result, table


def contenders(options, peer):
    """Return the contenders: visiongarden, plain OpenCV and the peer."""
    module = "benchmarks.contenders.pipeline"
    return [
        Contender("ours", module, options | {"which": "ours"}),
        Contender("opencv", module, options | {"which": "plain"}),
        Contender(
            "ultralytics", "benchmarks.peers.ultralytics_pipeline", options, python=str(peer)
        ),
    ]


def make(folder, count):
    """Write generated scenes as JPEG files with YOLO labels; return data.yaml."""
    import cv2

    from visiongarden.data import read
    from visiongarden.scenes import make_scenes

    images = folder / "images" / "train"
    labels = folder / "labels" / "train"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    scenes = read(make_scenes(folder / "scenes", count, (480, 640), val_share=0.0), reader="COCO")
    for number, row in enumerate(scenes.rows()):
        cv2.imwrite(str(images / f"{number}.jpg"), scenes.load(number).image[..., ::-1])
        x1, y1, x2, y2 = (row.boxes / [640, 480, 640, 480]).T
        rows = zip(row.classes, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, strict=True)
        text = "".join(f"{c} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for c, x, y, w, h in rows)
        (labels / f"{number}.txt").write_text(text)
    file = folder / "data.yaml"
    names = list(scenes.class_map.names)
    file.write_text(f"path: {folder}\ntrain: images/train\nval: images/train\nnames: {names}\n")
    return file


def main():
    """Print a table for each size, for images in memory and from files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[320, 640])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of a turn")
    parser.add_argument("--peer", type=Path, default=PEER, help="interpreter of the peer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = make(Path(folder), args.images)
        for size in args.sizes:
            for cached in (True, False):
                options = {
                    "data": str(data),
                    "size": size,
                    "cached": cached,
                    "warmup": args.images,
                }
                chosen = contenders(options, args.peer)
                rows = compare(chosen, args.rounds, args.seconds, 1)
                where = "in memory" if cached else "from files"
                print(table(f"{size} × {size}, images {where}, {machine()}", rows, "ours"))
                save_result(f"pipeline_{size}_{'memory' if cached else 'files'}", {"rows": rows})


if __name__ == "__main__":
    main()
