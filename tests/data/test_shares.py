"""Every process reads its own images, each image once, in the batches of one process."""

import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data import Loader, from_source
from visiongarden.data.decoded import CACHE_BYTES
from visiongarden.data.shares import Share


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("count", range(16, 25))
def test_batches_have_the_images_of_one_process(count, processes):
    batch = 8
    shares = [Share(rank, processes, "rows") for rank in range(processes)]
    places = [share.places(count, batch) for share in shares]
    assert sorted(np.concatenate(places)) == list(range(count))
    for number in range(count // batch):  # the steps of every process
        here = shares[0].size(batch)
        rows = [each[number * here : (number + 1) * here] for each in places]
        assert {len(each) for each in rows} == {here}
        assert sorted(np.concatenate(rows)) == list(range(number * batch, (number + 1) * batch))


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", range(1, 10))
def test_an_evaluation_reads_each_image_once_in_whole_batches(count, processes):
    batch, seen = 2, []
    for rank in range(processes):
        share = Share(rank, processes, "batches")
        numbers = [n for n in range(-(-count // batch)) if share.takes(n)]
        expected = [p for n in numbers for p in range(n * batch, min((n + 1) * batch, count))]
        assert share.places(count, batch).tolist() == expected
        seen += expected
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize(("workers", "local_processes", "parts"), [(0, 1, 1), (0, 4, 4), (3, 2, 6)])
def test_the_memory_for_images_is_divided_among_the_processes_of_a_host(
    workers, local_processes, parts
):
    """Four processes that each keep two gigabytes would use up the memory of the host."""
    record = {"image": np.zeros((8, 8, 3), np.uint8), "objects": {"bbox": [], "label": []}}
    data = from_source([record] * 4, ["cat"], 1)
    loader = Loader(data, (8, 8), 2, workers=workers, local_processes=local_processes)
    assert loader.samples.max_bytes == CACHE_BYTES // parts
    assert loader.samples.max_kept == 4


def test_processes_augment_an_image_as_one_process_does():
    """Random changes depend on seed, epoch and place: no two processes repeat the same ones."""
    rng = np.random.default_rng(0)
    records = [
        {
            "image": rng.integers(0, 255, (16, 16, 3)).astype(np.uint8),
            "objects": {"bbox": [[0.1, 0.2, 0.6, 0.7]], "label": [0]},
        }
        for _ in range(9)
    ]
    transforms = (vg.transforms.HorizontalFlip(), vg.transforms.HSV())
    data = from_source(records, ["cat"], 1)
    loader = Loader(data, (16, 16), 4, transforms=transforms, shuffle=True, drop_remainder=True)
    whole = [batch.images for batch in loader.epoch(1)]
    assert len(whole) == 2
    for rank in range(2):
        share = Share(rank, 2, "rows")
        for mine, images in zip(loader.epoch(1, share=share), whole, strict=True):
            assert np.array_equal(mine.images, images[rank::2])
