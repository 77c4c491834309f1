"""The remaining batches of a run, from the step at which it is resumed."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from visiongarden.data import Loader, from_source
from visiongarden.data.shares import Share
from visiongarden.errors import DataError
from visiongarden.training.source import EpochBatches
from visiongarden.transforms import HorizontalFlip


class Numbers:
    """A loader whose batches are (epoch, index); epoch 1 has `second` of them."""

    def __init__(self, length, second=None):
        self.length, self.second = length, second

    def __len__(self):
        return self.length

    def epoch(self, number, epochs):
        places = range(self.second if number == 1 and self.second is not None else self.length)
        return (SimpleNamespace(images=number, targets=place) for place in places)


@pytest.mark.parametrize(("step", "rank"), [(0, 0), (3, 0), (3, 1)])
def test_a_resumed_epoch_reads_no_image_before_its_step(step, rank):
    """Images are shuffled and mirrored as in the whole epoch; the first ones are not decoded."""
    pixels = np.random.default_rng(0).integers(0, 255, (16, 8, 8, 3)).astype(np.uint8)
    read = []

    class Source:
        def __len__(self):
            return 16

        def __getitem__(self, index):
            read.append(index)
            objects = {"bbox": [[0.2, 0.1, 0.8, 0.5]], "label": [0]}
            return {"image": pixels[index], "objects": objects}

    def batches(first, share):
        data = from_source(Source(), ["cat"], 1)
        loader = Loader(data, (32, 32), 4, [HorizontalFlip()], shuffle=True, drop_remainder=True)
        return [images for images, _ in EpochBatches(loader, 0, first, 1, share=share)]

    share = Share(rank, 1 + rank)
    expected, whole = batches(0, share)[step:], batches(0, Share())[step:]
    for images, alone in zip(expected, whole, strict=True):
        # The randomness of an image depends on its place in the epoch, not on the process.
        assert np.array_equal(images, alone[rank :: share.processes])
    read.clear()
    found = batches(step, share)
    assert len(found) == len(expected) == 4 - step
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(read) == (4 - step) * 4 // share.processes


def test_every_epoch_has_all_batches_and_the_first_begins_at_its_step():
    expected = [(0, 2), *itertools.product((1, 2), range(3))]
    assert list(EpochBatches(Numbers(3), 0, 2, 3)) == expected


@pytest.mark.parametrize("count", [0, 2])
def test_an_epoch_that_ends_early_is_an_error(count):
    source = EpochBatches(Numbers(3, second=count), 0, 0, 3)
    seen = list(itertools.islice(source, 3 + count))
    assert seen[-1] == ((1, count - 1) if count else (0, 2))
    with pytest.raises(DataError, match=rf"epoch 2 .* ended after {count} of 3 batches") as error:
        next(source)
    assert source.error is error.value


def test_a_resumed_epoch_counts_the_batches_before_it():
    with pytest.raises(DataError, match=r"epoch 2 .* ended after 1 of 3"):
        next(EpochBatches(Numbers(3, second=1), 1, 2, 3))


def test_batches_beyond_the_length_do_not_move_into_the_next_epoch():
    source = EpochBatches(Numbers(2, second=5), 0, 0, 3)
    assert list(source) == list(itertools.product(range(3), range(2)))


def test_a_source_shorter_than_its_length_names_the_record():
    class Short:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return [][index]

    with pytest.raises(DataError, match="record 3: the source has no such record"):
        from_source(Short(), ["cat"], 1)[3]
