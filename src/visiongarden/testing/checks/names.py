"""Checks of names: no attribute that Keras reserves, and the same weight paths in every build."""

from __future__ import annotations

from collections import Counter
from typing import Any

from visiongarden.testing.explain import first_line, where
from visiongarden.testing.hooks import attributes_set
from visiongarden.testing.report import Finding, failed, passed
from visiongarden.testing.subject import Subject

_STABLE_NAMES = (
    'name sublayers by their position in this object (f"conv{i}" with i from enumerate), not by a '
    "global counter, a clock or a random number: saved weights are restored by their path"
)


def own_names(subject: Subject) -> Finding:
    """Check that no attribute has a name that Keras uses itself.

    Such an attribute may hide its layers and weights from saved files and optimizers.
    """
    if subject.is_part:
        return passed("a part does not inherit from a Keras layer")
    with attributes_set() as reserved:
        try:
            subject.call(subject.fresh())
        except AttributeError as error:
            name = _read_only(error)
            if name is not None:
                return _reserved(name, where(error))
        except Exception as error:
            if not reserved:
                return passed(f"not tested: {first_line(error, 80)}")
    if reserved:
        return _reserved(*reserved[0])
    return passed("no attribute name conflicts with Keras")


def stable_paths(subject: Subject) -> Finding:
    """Check that two builds from the same arguments give the same weight paths, shapes and order.

    Weights are found in checkpoints by path, so a path must not depend on a counter or a clock.
    """
    before, after = _paths(subject.main), _paths(subject.second_instance[0])
    if before == after:
        return passed(f"{len(before)} weights have the same paths in two builds")
    only = list((Counter(before) - Counter(after)).elements())
    new = list((Counter(after) - Counter(before)).elements())
    if not only or not new:
        return failed("the second build orders its weights differently", _STABLE_NAMES)
    return failed(f"the weight {only[0]} is called {new[0]} in the second build", _STABLE_NAMES)


def _paths(layer: Any) -> list[str]:
    return [f"{weight.path} {tuple(weight.shape)}" for weight in layer.weights]


def _reserved(name: str, place: str) -> Finding:
    return failed(
        f"self.{name} is assigned{place}, but Keras uses this attribute itself",
        f"choose another name, such as self.own{'' if name.startswith('_') else '_'}{name}",
    )


def _read_only(error: AttributeError) -> str | None:
    """Return the name of the read-only property that an assignment failed on, if any."""
    text = str(error)
    quoted = text.split("'")
    return quoted[1] if "has no setter" in text and len(quoted) > 1 else None
