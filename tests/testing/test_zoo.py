"""Each faulty layer fails the check for its bug, and `lint` if the source shows it."""

from pathlib import Path

import pytest
from tests import zoo_of_bad_layers as zoo
from tests import zoo_of_subtle_bugs as subtle

from visiongarden.linting import lint
from visiongarden.testing import check, check_many


def reports_of(classes, **options):
    items = [{"source": cls} | classes.OPTIONS[cls] for cls in classes.ZOO]
    return dict(zip(classes.ZOO, check_many(items, **options), strict=True))


def assert_reported(reports, classes, cls):
    name, advice = classes.ZOO[cls]
    finding = reports[cls][name]
    assert finding.status == "failed", reports[cls]
    assert advice in finding.advice


def slow(cls):
    return pytest.param(cls, marks=pytest.mark.slow)


IN_ANOTHER_PROCESS = (zoo.HoldsALambdaLayer, zoo.DrawsAConstant)
"""Layers whose bug shows only where the file is opened in another process."""


@pytest.fixture(scope="module")
def reports():
    return reports_of(zoo, backends=(), skip=("onnx",))


# One worker makes all reports.
@pytest.mark.xdist_group("zoo")
@pytest.mark.parametrize(
    "cls", [cls for cls in zoo.ZOO if cls not in IN_ANOTHER_PROCESS], ids=lambda cls: cls.__name__
)
def test_the_bug_is_reported(reports, cls):
    assert_reported(reports, zoo, cls)


@pytest.fixture(scope="module")
def reports_with_all_backends():
    return reports_of(zoo, skip=("onnx",))


@pytest.mark.slow
@pytest.mark.xdist_group("zoo")
@pytest.mark.parametrize("cls", zoo.ZOO, ids=lambda cls: cls.__name__)
def test_the_bug_is_reported_with_all_backends(reports_with_all_backends, cls):
    assert_reported(reports_with_all_backends, zoo, cls)


@pytest.fixture(scope="module")
def subtle_reports():
    return reports_of(subtle, backends=())


@pytest.mark.xdist_group("subtle")
@pytest.mark.parametrize("cls", subtle.ZOO, ids=lambda cls: cls.__name__)
def test_the_subtle_bug_is_reported(subtle_reports, cls):
    assert_reported(subtle_reports, subtle, cls)


@pytest.mark.backends
@pytest.mark.parametrize(
    "cls",
    [
        subtle.PythonRandom,
        subtle.TensorMadeInBuild,
        *map(
            slow,
            (
                subtle.MultipliedList,
                subtle.ZeroGateOnZeroConv,
                subtle.UpdatesHalf,
                subtle.IntegerSeed,
                subtle.PrivateLayerList,
            ),
        ),
    ],
)
def test_the_subtle_bug_is_reported_on_every_backend(cls):
    name, advice = subtle.ZOO[cls]
    finding = check(cls, backends=(), **subtle.OPTIONS[cls])[name]
    assert finding.status == "failed"
    assert advice in finding.advice


@pytest.mark.backends
@pytest.mark.parametrize(
    "cls",
    [
        zoo.PythonIf,
        zoo.NumpyInCall,
        zoo.CountsInInference,
        *map(
            slow,
            (
                zoo.SublayerMadeInCall,
                zoo.FoldsTheBatch,
                zoo.BroadcastSkip,
                zoo.SoftmaxByHand,
                zoo.UnusedBranch,
                zoo.NeverDrops,
                zoo.HardCodedSides,
            ),
        ),
    ],
)
def test_the_bug_is_reported_on_every_backend(cls):
    name, advice = zoo.ZOO[cls]
    finding = check(cls, backends=(), **zoo.OPTIONS[cls])[name]
    assert finding.status == "failed"
    assert advice in finding.advice


@pytest.mark.parametrize("module", [zoo, subtle], ids=["zoo", "subtle"])
def test_lint_reports_the_marked_lines(module):
    source = Path(module.__file__)
    lines = source.read_text(encoding="utf-8").splitlines()
    marked = {
        (number, line.split("# error: ")[1])
        for number, line in enumerate(lines, start=1)
        if "# error: " in line
    }
    assert len(marked) > 20
    assert {(finding.line, finding.code) for finding in lint(source)} == marked
