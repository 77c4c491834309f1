"""Compare the top-1 accuracy of a classifier with that of a plain Keras script.

    python benchmarks/classification_peer.py FOLDER [--epochs 60] [--runs ours plain]

FOLDER contains train/, validation/ and test/, each with one folder per class. All runs train the
same architecture from scratch on the same images at the same size, for the same number of epochs of
the same batch size, and select the epoch that is best on the validation split. scikit-learn's
accuracy on the test split is reported. `plain` follows Keras's own guide:
`image_dataset_from_directory`, Adam with its default learning rate, `fit`; `plain-augmented` adds
Keras's random flip, zoom, translation and rotation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import visiongarden as vg  # first, so that TensorFlow uses oneDNN

# isort: split
import keras
import numpy as np
from sklearn.metrics import accuracy_score

from visiongarden.data import read
from visiongarden.evaluation import predict
from visiongarden.recipes import resolve, train

PARTS = {
    "backbone": {"type": "CSPDarknet", "depth": 0.33, "width": 0.25, "levels": ["p5"]},
    "decoder": {"type": "PassOn", "levels": ["p5"]},
}


def ours(args):
    recipe = resolve(
        {
            "model": PARTS | {"image_size": args.image_size},
            "data": {"path": args.folder, "format": "folders"},
            "training": {
                "epochs": args.epochs,
                "batch_size": args.batch_size,
                "validate_every": 2,
                "seed": args.seed,
                "tensorboard": False,
            },
        },
        overrides=args.overrides,
    )
    with tempfile.TemporaryDirectory() as scratch:
        model = train(recipe, output=Path(scratch) / "run").model()
    test = read(args.folder, split="test")
    predicted = [int(ranking.classes[0]) for ranking in predict(model, test.samples.paths)]
    return accuracy_score(test.samples.classes, predicted)


def plain(args, augmented):
    keras.utils.set_random_seed(args.seed)
    size = (args.image_size, args.image_size)
    train_set, val, test = (
        keras.utils.image_dataset_from_directory(
            next(p for p in Path(args.folder).iterdir() if p.name.startswith(split)),
            image_size=size,
            batch_size=args.batch_size,
            crop_to_aspect_ratio=True,
            shuffle=split == "train",
            seed=args.seed,
        )
        for split in ("train", "val", "test")
    )
    classes = len(train_set.class_names)
    graph = vg.Classifier(
        vg.backbones.CSPDarknet(depth=0.33, width=0.25, levels=("p5",)),
        vg.heads.Classification(num_classes=classes),
        image_size=size,
    )
    images = x = keras.Input((*size, 3))
    if augmented:
        for layer in (
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomZoom(0.2),
            keras.layers.RandomTranslation(0.1, 0.1),
            keras.layers.RandomRotation(0.05),
        ):
            x = layer(x)
    logits = graph(keras.layers.Rescaling(1 / 255)(x))["p5"]["classes"]
    model = keras.Model(images, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    with tempfile.TemporaryDirectory() as scratch:
        best = Path(scratch) / "best.weights.h5"
        keep = keras.callbacks.ModelCheckpoint(
            best, "val_accuracy", save_best_only=True, save_weights_only=True
        )
        model.fit(train_set, validation_data=val, epochs=args.epochs, callbacks=[keep], verbose=2)
        model.load_weights(best)
    ground_truth = np.concatenate([np.asarray(labels) for _, labels in test])
    return accuracy_score(ground_truth, model.predict(test, verbose=0).argmax(axis=1))


RUNS = {
    "ours": ours,
    "plain": lambda args: plain(args, augmented=False),
    "plain-augmented": lambda args: plain(args, augmented=True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument(
        "overrides", nargs="*", help="fields of the recipe, such as training.epochs=3"
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    args = parser.parse_args()
    for name in args.runs:
        start = time.monotonic()
        top1 = float(RUNS[name](args))
        seconds = round(time.monotonic() - start)
        print(json.dumps({"run": name, "top1": top1, "seed": args.seed, "seconds": seconds}))


if __name__ == "__main__":
    main()
