"""The evaluation of the benchmarks, which compare with other libraries."""

import numpy as np
import pytest
from benchmarks import coco_map, learning
from benchmarks.peers.ultralytics_train import run_lengths

import visiongarden as vg
from visiongarden.scenes import make_scenes


def test_coco_metrics_of_both_libraries():
    class_map = vg.ClassMap(("a", "b", "c"))
    rows = coco_map.make(images=30, detections=20, classes=3)
    expected = coco_map.pycocotools(rows, class_map)
    assert 0.1 < expected[0] < 0.9
    assert coco_map.ours(rows, class_map) == pytest.approx(expected, abs=1e-9)


def results_of(dataset, with_masks):
    """Return the ground truth as COCO results, with ids and run lengths as the peer writes them."""
    names = dataset.class_map.names
    class_map = vg.ClassMap(names, ids=range(1, len(names) + 1))
    results = []
    for number, sample in enumerate(dataset):
        objects = sample.instances
        found = vg.samples.Instances(
            objects.size, objects.boxes, objects.classes, scores=np.full(len(objects), 0.9, "f4")
        )
        rows = found.to_coco(number, class_map)
        if with_masks and rows:
            for row, mask in zip(rows, objects.masks.bitmaps(), strict=True):
                row["segmentation"] = {"size": list(mask.shape), "counts": run_lengths(mask)}
        results += rows
    return results


@pytest.mark.parametrize("with_masks", [False, True])
def test_results_of_the_peer(tmp_path, with_masks):
    """Ids of images are indices, those of classes begin at 1."""
    scenes = make_scenes(tmp_path / "scenes", 4, (64, 64), val_share=0.0, masks=True)
    dataset = vg.read(scenes)
    results = results_of(dataset, with_masks)
    found = learning.evaluate_results(dataset, results, with_masks)
    names = ["AP", "mask_AP"] if with_masks else ["AP"]
    for name in names:
        assert found[name] == pytest.approx(1.0)
    for row in results:
        row["category_id"] = row["category_id"] % len(dataset.class_map) + 1
    wrong = learning.evaluate_results(dataset, results, with_masks)
    assert all(wrong[name] < 0.5 for name in names)


@pytest.mark.parametrize("with_masks", [False, True])
def test_labels_for_the_peer(tmp_path, with_masks):
    """Class and box, or class and polygon, as fractions of the image; a line for each object."""
    scenes = make_scenes(tmp_path / "scenes", 4, (64, 96), val_share=0.0, masks=True)
    dataset = vg.read(scenes)
    learning.write_yolo(tmp_path / "peer", {"train": dataset}, with_masks)
    files = sorted((tmp_path / "peer" / "labels" / "train").iterdir())
    for file, row in zip(files, dataset.rows(), strict=True):
        lines = [np.array(line.split(), float) for line in file.read_text().splitlines()]
        assert [int(line[0]) for line in lines] == row.classes.tolist()
        for line, (left, top, right, bottom) in zip(lines, row.boxes.tolist(), strict=True):
            points = line[1:].reshape(-1, 2) * (96, 64)
            if with_masks:
                # Polygons follow whole pixels, of which a box may contain parts.
                assert (points >= (left - 1, top - 1)).all()
                assert (points <= (right + 1, bottom + 1)).all()
                assert len(points) > 3
            else:
                corners = points[0] - points[1] / 2, points[0] + points[1] / 2
                assert np.ravel(corners) == pytest.approx([left, top, right, bottom], abs=0.01)


def test_a_missing_peer_is_noticed_before_training(monkeypatch, capsys):
    arguments = ["learning", "nuclei16", "--peer-python", "missing/python"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit):
        learning.main()
    assert "missing/python does not exist: add --only ours" in capsys.readouterr().err


def test_the_outline_of_an_object_is_its_largest_polygon():
    small, large = np.array([[1.5, 1], [3, 1], [3, 4]]), np.array([[5.0, 5], [9, 5], [9, 9.5]])
    masks = vg.samples.Masks.from_polygons([[small, large], [small]], (16, 16))
    instances = vg.samples.Instances((16, 16), classes=[0, 0], masks=masks)
    found = learning.outlines_of(instances)
    assert [outline.tolist() for outline in found] == [large.tolist(), small.tolist()]
