"""Combinations of fields that the anchor-based head refuses."""

import pytest

from visiongarden.errors import ConfigError
from visiongarden.heads import AnchorBased


def test_rep_conv_requires_hidden_conv():
    with pytest.raises(ConfigError, match="rep_conv is True, but hidden_conv is False") as error:
        AnchorBased(num_classes=2, hidden_conv=False, rep_conv=True)
    assert error.value.fix == "rep_conv=False, or hidden_conv=True"


@pytest.mark.parametrize(("hidden", "rep"), [(True, True), (True, False), (False, False)])
def test_other_combinations_are_valid(hidden, rep):
    head = AnchorBased(num_classes=2, hidden_conv=hidden, rep_conv=rep)
    assert (head.hidden_conv, head.rep_conv) == (hidden, rep)
