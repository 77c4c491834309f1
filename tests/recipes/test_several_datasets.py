"""Recipes with a list of datasets."""

import cv2
import numpy as np
import pytest

from visiongarden.errors import ConfigError, UserError
from visiongarden.recipes.recipe import Recipe, datasets_of
from visiongarden.recipes.resolution import resolve
from visiongarden.recipes.splits import read_split

NAMES = {"cats": ("cat", "dog"), "foxes": ("dog", "fox")}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two datasets with a training and a validation split."""
    monkeypatch.chdir(tmp_path)
    for folder, names in NAMES.items():
        for split in ("train", "val"):
            images, labels = (tmp_path / folder / kind / split for kind in ("images", "labels"))
            images.mkdir(parents=True)
            labels.mkdir(parents=True)
            for number in range(2):
                pixels = np.full((64, 64, 3), number, np.uint8)
                cv2.imwrite(str(images / f"{number}.png"), pixels)
                (labels / f"{number}.txt").write_text(f"{number} 0.5 0.5 0.5 0.5\n")
        text = f"train: images/train\nval: images/val\nnames: {list(names)}\n"
        (tmp_path / folder / "data.yaml").write_text(text)
    return tmp_path


def fields(*data):
    return {"data": [{"path": "cats", "weight": 2}, {"path": "foxes", "reader": "YOLO"}, *data]}


def test_classes_of_all_datasets(folders):
    recipe = resolve(fields())
    assert recipe.task == "detection"
    assert recipe.model.head.num_classes == 3
    assert [data.weight for data in recipe.datasets] == [2, 1]
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    train = read_split(recipe.kind, recipe.data, "train")
    assert train.class_map.names == ("cat", "dog", "fox")
    assert train.images_per_epoch == 6
    assert len(read_split(recipe.kind, recipe.data, "val")) == 4


def test_options_apply_to_all_datasets(folders):
    recipe = resolve(fields(), invalid_boxes="drop", reader="YOLO")
    assert [data.invalid_boxes for data in recipe.datasets] == ["drop", "drop"]
    recipe = resolve(fields(), overrides=["data.1.weight=0.5", "data[0].train=val"])
    assert [data.weight for data in recipe.datasets] == [2, 0.5]
    assert recipe.datasets[0].train == "val"


def test_one_dataset_with_a_weight(folders):
    recipe = resolve({"data": {"path": "cats", "weight": 3, "classes": ["cat", "dog"]}})
    assert read_split(recipe.kind, recipe.data, "train").images_per_epoch == 6


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ([], "list of datasets is empty"),
        ([{"path": "cats"}, {"weight": 2}], "data.1.path"),
        ([{"path": "cats", "weight": 0}], "data.0.weight"),
        ([{"path": "cats", "wieght": 1}], "data.0 .*unknown field 'wieght'"),
        ([{"path": "cats"}, {"path": "foxes", "min_visibility": 0.5}], "min_visibility"),
    ],
)
def test_invalid_lists(folders, data, what):
    head = {"type": "AnchorFree", "num_classes": 3}
    with pytest.raises(ConfigError, match=what):
        resolve({"task": "detection", "model": {"head": head}, "data": data})


def test_errors_are_spelled_for_the_dataset(folders):
    (folders / "foxes" / "labels" / "train" / "0.txt").write_text("0 0.9 0.5 0.5 0.5\n")
    with pytest.raises(UserError) as caught:
        resolve(fields())
    assert "data.1.invalid_boxes=drop" in caught.value.fix


def test_the_field_data_alone(folders):
    assert [str(each.path) for each in datasets_of(fields()["data"])] == ["cats", "foxes"]
    with pytest.raises(ConfigError, match="list of datasets is empty"):
        datasets_of([])
