"""`Function`: what it calls, imports and refuses."""

import pickle
import subprocess
import sys
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.config import dump_yaml, load_yaml
from visiongarden.data import Dataset, Loader
from visiongarden.errors import ConfigError, UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.transforms import Function, Policy, Transform
from visiongarden.transforms.function import _resolved

SIZE = (6, 8)


def darken(image, rng):
    return image // 2


def shift(sample, rng):
    matrix = np.array([[1, 0, 2], [0, 1, 0], [0, 0, 1]])
    image = np.roll(sample.image, 2, axis=1)
    return replace(sample, image=image, instances=sample.instances.warp(matrix, SIZE))


def noisy(x: np.ndarray, r):
    return x + r.integers(0, 5, x.shape).astype(x.dtype)


def annotated(x: "Sample", r):
    return x


class Callable:
    def __call__(self, image, rng):
        return image + 1


def sample():
    image = np.full((*SIZE, 3), 100, np.uint8)
    return Sample(ImageInfo(0, None, SIZE), image, Instances(SIZE, Boxes([[1, 1, 4, 4]]), [0]))


def applied(function, **fields):
    return Function(function=function, **fields).apply(sample(), None, np.random.default_rng(3))


def test_a_function_of_an_image():
    assert (applied(darken).image == 50).all()
    assert (applied(Callable()).image == 101).all()
    assert (applied(lambda image, rng: image).image == 100).all()
    expected = 100 + np.random.default_rng(3).integers(0, 5, (*SIZE, 3))
    assert (applied(noisy).image == expected).all()


def test_a_function_of_a_sample():
    assert np.asarray(applied(shift).instances.boxes).tolist() == [[3, 1, 6, 4]]
    assert len(applied(annotated).instances) == 1
    assert (applied(lambda x, rng: x, argument="sample").image == 100).all()
    assert (applied(lambda x, rng: x - 1, argument="image").image == 99).all()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working directory that is not imported yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    (tmp_path / "my_aug_module.py").write_text(
        "import pathlib\npathlib.Path('was_imported').touch()\nvalue = 3\n"
        "def darken(image, rng):\n    return image // 4\n"
        "class Tools:\n    @staticmethod\n    def darken(image, rng):\n        return image // 5\n"
    )
    yield tmp_path
    sys.modules.pop("my_aug_module", None)
    _resolved.cache_clear()


def test_a_name_is_imported_when_it_is_applied(module):
    text = dump_yaml({"transforms": [{"type": "Function", "function": "my_aug_module:darken"}]})
    transform = Transform.from_dict(load_yaml(text)["transforms"][0])
    assert transform.to_dict()["function"] == "my_aug_module:darken"
    transform.replace(probability=0.5)
    pickle.loads(pickle.dumps(transform))  # noqa: S301
    assert not (module / "was_imported").exists()
    assert (transform.apply(sample(), None, None).image == 25).all()
    assert (module / "was_imported").exists()
    assert (applied("my_aug_module:Tools.darken").image == 20).all()


@pytest.mark.parametrize(
    ("name", "message", "fix"),
    [
        ("my_aug_module:darker", "has no name 'darker'", "darken"),
        ("my_aug_module:value", "'my_aug_module:value' cannot be called", "def darken"),
        ("no_such_package.aug:darken", "ModuleNotFoundError", "start from the folder"),
        ("my_broken_module:darken", "ZeroDivisionError", "python -c 'import my_broken_module'"),
    ],
)
def test_what_cannot_be_imported(module, name, message, fix):
    (module / "my_broken_module.py").write_text("1 / 0\n")
    transform = Function(function=name)
    for call in (transform.resolve, lambda: transform.apply(sample(), None, None)):
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert name in str(caught.value)
        assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("my_package.aug.darken", "my_package.aug:darken"),
        ("my_package/aug.py:darken", "my_package.aug:darken"),
        ("darken", "my_package.aug:darken"),
        ("a:b:c", "my_package.aug:darken"),
        ("os:system('ls')", "my_package.aug:darken"),
        ("", "my_package.aug:darken"),
    ],
)
def test_invalid_names(name, fix):
    with pytest.raises(ConfigError, match="module:name") as caught:
        Function(function=name)
    assert fix in str(caught.value)


def test_other_values_are_refused():
    with pytest.raises(ConfigError, match="function is not valid"):
        Function(function=3)
    with pytest.raises(ConfigError, match="argument"):
        Function(function=darken, argument="picture")
    with pytest.raises(ConfigError, match="function"):
        Function()


def test_names_of_functions():
    assert Function(function=darken).to_dict()["function"] == f"{__name__}:darken"

    def inner(image, rng):
        return image

    for function in (lambda image, rng: image, inner, Callable()):
        with pytest.raises(ConfigError, match="cannot be saved") as caught:
            Function(function=function).to_dict()
        assert "my_package.aug:change" in caught.value.fix


def wrong_dtype(image, rng):
    return image * 0.5


def wrong_size(image, rng):
    return image[:, :4]


def nothing(image, rng):
    image // 2


def in_place(image, rng):
    image[...] = 0
    return image


def in_place_by_opencv(image, rng):
    return cv2.rectangle(image, (0, 0), (2, 2), (0, 0, 0))


def no_sample(sample, rng):
    return sample.image


def other_channels(sample, rng):
    return replace(sample, image=sample.image[..., :1])


def smaller(sample, rng):
    return replace(sample, image=sample.image[:3])


def undecoded(sample, rng):
    return replace(sample, image=None)


def one_argument(image):
    return image


def unclear(x, rng):
    return x


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (wrong_dtype, "expected.*\n.*uint8\n.*float64\n.*astype"),
        (wrong_size, r"\(6, 8, 3\).*\n.*\(6, 4, 3\)"),
        (nothing, "an array\n.*NoneType\n.*return image"),
        (in_place, "changes its argument in place"),
        (in_place_by_opencv, "changes its argument in place"),
        (no_sample, "a Sample\n.*ndarray"),
        (other_channels, "3 channels.*\n.*1 channels"),
        (smaller, r"\(3, 8\)\n.*\(6, 8\)"),
        (undecoded, "with an image"),
        (one_argument, "cannot be called with two arguments"),
        (unclear, 'image or a sample(.*\n)*.*argument="image"'),
    ],
)
def test_wrong_functions(function, message):
    with pytest.raises(UserError, match=message) as caught:
        applied(function)
    assert f"'{function.__name__}'" in str(caught.value)
    assert caught.value.fix


def failing(image, rng):
    raise KeyError("mine")


def test_an_error_inside_names_the_function():
    with pytest.raises(KeyError, match="mine") as caught:
        applied(failing)
    assert "'failing'" in caught.value.__notes__[0]


def test_reading_imports_nothing(module):
    code = (
        "import sys; from visiongarden.transforms import Transform;"
        "Transform.from_dict({'type': 'Function', 'function': 'my_aug_module:darken'}).to_dict();"
        "print('my_aug_module' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_object_that_cannot_be_hashed():
    @dataclass
    class Darken:
        by: int

        def __call__(self, image, rng):
            return image - self.by

    image = np.full((2, 2, 3), 9, np.uint8)
    dark = Function(function=Darken(4))
    given = Sample(ImageInfo(0, None, (2, 2)), image)
    assert dark.apply(given, None, np.random.default_rng(0)).image.max() == 5


def test_a_loader_resolves_functions_before_the_first_batch():
    data = Dataset(vg.ClassMap(("cat",)), [sample()])
    missing = Function(function="tests.transforms.test_function:no_such_function")
    with pytest.raises(UserError, match="no_such_function"):
        Loader(data, (32, 32), 1, [missing])
    with pytest.raises(UserError, match="no_such_function"):
        Loader(data, (32, 32), 1, [First(transforms=(missing,), probability=0.1)])
    Loader(data, (32, 32), 1, [Function(function=darken)])


class First(Policy):
    transforms: tuple[Transform, ...]

    def choose(self, rng):
        return self.transforms[:1]
