"""The remaining batches of a run, from the step at which it is resumed."""

import itertools
from types import SimpleNamespace

import pytest

from visiongarden.data import from_source
from visiongarden.errors import DataError
from visiongarden.training.source import EpochBatches


class Numbers:
    """A loader whose batches are (epoch, index); epoch 1 has `second` of them."""

    def __init__(self, length, second=None):
        self.length, self.second = length, second

    def __len__(self):
        return self.length

    def epoch(self, number, epochs):
        places = range(self.second if number == 1 and self.second is not None else self.length)
        return (SimpleNamespace(images=number, targets=place) for place in places)


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
