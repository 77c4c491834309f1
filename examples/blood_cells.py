"""Boxes of blood cells, and as labels of the whole image which kinds of cells occur in it.

Train a model with one head for each:

    visiongarden train examples/blood_cells.yaml --import examples.blood_cells data.path=bccd
"""

from dataclasses import replace

import numpy as np

import visiongarden as vg
from visiongarden.data.readers.voc import VOC


@vg.register
class CellsAndKinds(vg.data.Reader):
    """Reader of Pascal VOC XML that makes the labels of each image from its boxes."""

    files = "Annotations/*.xml beside JPEGImages/"
    annotations = frozenset({"boxes", "labels"})

    def matches(self, source):
        return 0.0  # used only if it is named

    def splits(self, source):
        return VOC().splits(source)

    def read(self, source, split):
        found = VOC().read(source, split)
        kinds = np.arange(len(found.class_map))
        samples = [
            replace(sample, labels=np.isin(kinds, sample.instances.classes).astype(np.float32))
            for sample in map(found.annotated, range(len(found)))
        ]
        return vg.data.Dataset(found.class_map, samples, split, root=found.root)
