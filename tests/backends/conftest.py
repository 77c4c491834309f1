"""Fixtures that pretend versions of Keras and the backends for which nothing was tested."""

import pytest

from visiongarden.backends import versions
from visiongarden.backends.assumptions import require
from visiongarden.backends.switches import is_on

CACHES = (is_on, require, versions.is_tested, versions.warn_of_untested)


@pytest.fixture
def forget():
    """Read versions and switches again, in the test and after it."""
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture
def untested(forget, monkeypatch):
    monkeypatch.setattr(versions, "version_of", lambda library: "99.1.0")
