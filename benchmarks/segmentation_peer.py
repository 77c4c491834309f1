"""Compare the mean IoU of a segmenter with that of a plain Keras U-Net.

    python benchmarks/segmentation_peer.py FOLDER [--epochs 20] [--runs ours plain]

FOLDER contains images/ and masks/, each with train/ and val/, and classes.yaml. If it does not
exist, 400 scenes of 128 × 128 pixels are generated in it. Both models train from scratch on the
same images at the same size, for the same number of epochs of the same batch size. The weights of
the last epoch are evaluated on the split "val" at the original size of the images, with Keras's
`MeanIoU`. `ours` is the default recipe; `plain` is the U-Net of figure 1 of its paper at a quarter
of the width, with batch normalization and Adam's default learning rate; `plain-flip` mirrors
half of the images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import visiongarden as vg  # first, so that TensorFlow uses oneDNN

# isort: split
import cv2
import keras
import numpy as np
from keras import layers

from visiongarden.data import read
from visiongarden.evaluation import predict
from visiongarden.recipes import resolve, train
from visiongarden.scenes import make_mask_scenes


def ours(args):
    recipe = resolve(
        {
            "model": {"image_size": args.image_size},
            "data": {"path": args.folder, "reader": "MaskFolders"},
            "training": {
                "epochs": args.epochs,
                "batch_size": args.batch_size,
                "validate_every": args.epochs,
                "seed": args.seed,
                "tensorboard": False,
            },
        },
        overrides=args.overrides,
    )
    with tempfile.TemporaryDirectory() as scratch:
        model = vg.load(train(recipe, output=Path(scratch) / "run").last)
    val = read(args.folder, split="val")
    images = [val.load(index).image for index in range(len(val))]
    predicted = [segments.classes for segments in predict(model, images)]
    return mean_iou(val, predicted), model.count_params()


def plain(args, flip):
    keras.utils.set_random_seed(args.seed)
    train_set, val = (read(args.folder, split=split) for split in ("train", "val"))
    images, masks = arrays(train_set, args.image_size)
    model = unet(args.image_size, len(train_set.class_map))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    model.compile("adam", loss)
    for epoch in range(args.epochs):
        flipped = np.random.default_rng((args.seed, epoch)).random(len(images)) < (flip / 2)
        flipped = flipped[:, None, None]
        inputs = np.where(flipped[..., None], images[:, :, ::-1], images)
        ground_truth = np.where(flipped, masks[:, :, ::-1], masks)
        model.fit(inputs, ground_truth, batch_size=args.batch_size, verbose=2)
    logits = model.predict(arrays(val, args.image_size)[0], args.batch_size, verbose=0)
    scores = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    predicted = []
    for index, plane in enumerate(scores):
        height, width = val.load(index).semantic.shape
        predicted.append(cv2.resize(plane, (width, height)).argmax(axis=-1))
    return mean_iou(val, predicted), model.count_params()


def unet(size, classes, width=16, depth=4):
    images = keras.Input((size, size, 3))
    x, skips = layers.Rescaling(1 / 255)(images), []

    def twice(x, filters):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        return x

    for level in range(depth):
        x = twice(x, width * 2**level)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = twice(x, width * 2**depth)
    for level in reversed(range(depth)):
        x = layers.Conv2DTranspose(width * 2**level, 2, strides=2)(x)
        x = twice(layers.Concatenate()([skips[level], x]), width * 2**level)
    return keras.Model(images, layers.Conv2D(classes, 1)(x))


def arrays(dataset, size):
    """All images and masks of a split, stretched to a square."""
    pairs = [dataset.load(index) for index in range(len(dataset))]
    pixels = [(one.image, one.semantic) for one in pairs]
    images = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image, _ in pixels]
    masks = [cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST) for _, mask in pixels]
    return np.stack(images), np.stack(masks)


def mean_iou(dataset, predicted):
    metric = keras.metrics.MeanIoU(len(dataset.class_map), ignore_class=255)
    for index, classes in enumerate(predicted):
        metric.update_state(dataset.load(index).semantic.astype("int32"), classes.astype("int32"))
    return float(metric.result())


RUNS = {
    "ours": ours,
    "plain": lambda args: plain(args, flip=False),
    "plain-flip": lambda args: plain(args, flip=True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "overrides", nargs="*", help="fields of the recipe, such as training.epochs=3"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    args = parser.parse_args()
    if not args.folder.exists():
        make_mask_scenes(args.folder)
    for name in args.runs:
        start = time.monotonic()
        iou, parameters = RUNS[name](args)
        row = {"run": name, "mIoU": round(iou, 4), "parameters": parameters}
        seconds = round(time.monotonic() - start)
        print(json.dumps(row | {"seed": args.seed, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
