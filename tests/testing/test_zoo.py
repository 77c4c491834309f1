"""Each wrong layer of the zoo is caught by the check that names its fault."""

import pytest

from tests import zoo_of_bad_layers as zoo
from visiongarden.testing import check_many


@pytest.fixture(scope="module")
def reports():
    items = [{"source": cls} | zoo.OPTIONS[cls] for cls in zoo.ZOO]
    return dict(zip(zoo.ZOO, check_many(items, skip=("onnx",)), strict=True))


@pytest.mark.parametrize("cls", zoo.ZOO, ids=lambda cls: cls.__name__)
def test_the_fault_is_named(reports, cls):
    check, advice = zoo.ZOO[cls]
    finding = reports[cls][check]
    assert finding.status == "failed", reports[cls]
    assert advice in finding.advice
