"""Find damaged, rotated, identical and similar images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from visiongarden.data.depth import together
from visiongarden.data.error_list import Finding
from visiongarden.data.layout import Layout
from visiongarden.doctor.images import Look, same
from visiongarden.doctor.labeling import Labeling
from visiongarden.terminal import counted

NEAR = 3
"""Largest number of differing bits, of 64, between the hashes of similar images."""

_MAX_ALIKE = 64
"""Largest number of images with the same 16 bits that an image is compared with."""

_ALIKE = 4.0
"""Largest mean difference of gray values between the 16 × 16 thumbnails of similar images."""


def findings(
    looks: Sequence[Look], datasets: Mapping[str, Any], labeling: Labeling
) -> Iterator[Finding]:
    """Yield findings about damaged, rotated, 16-bit, identical and similar images.

    Args:
        looks: properties of all images.
        datasets: dataset of each split.
        labeling: rules for the type of labels.
    """
    for look in looks:
        if look.error:
            yield Finding("error", "image", "", look.error, look.split, look.fix)
        elif look.orientation != 1:
            what = f"EXIF orientation {look.orientation}: {labeling.rotation_note}"
            yield Finding("note", "exif", look.path, what, look.split)
    yield from _of_depth(looks)
    valid = [look for look in looks if not look.error]
    yield from _of_layouts(valid)
    for first, copies in same(valid):
        for copy in copies:
            differ = labeling.differ(
                datasets[first.split], first.index, datasets[copy.split], copy.index
            )
            level, kind = "warning", "duplicate-image"
            conflict = labeling.conflict(
                datasets[first.split], first.index, datasets[copy.split], copy.index
            )
            if differ:
                level, kind = labeling.contradiction, "two-labels"
            if conflict:
                what = f"the same image as {first.path}, with different labels: {conflict}"
                yield Finding("error", "two-labels", copy.path, what, copy.split)
            what = _copied(first, copy) + (f": {differ}" if differ else "")
            yield Finding(level, kind, copy.path, what, copy.split)
    for one, other in _near(valid):
        across = one.split != other.split
        what = f"looks like {one.path}" + (f", which is in {one.split}" if across else "")
        level = "warning" if across else "note"
        yield Finding(level, "near-duplicate", other.path, what, other.split)


def _of_depth(looks: Sequence[Look]) -> Iterator[Finding]:
    """Report the value range of 16-bit images, with a warning if they become nearly black."""
    for split in dict.fromkeys(look.split for look in looks):
        wide = [look for look in looks if look.split == split and look.depth is not None]
        depth = together(look.depth for look in wide if look.depth is not None)
        if depth is not None:
            level = "warning" if depth.is_dark else "note"
            yield Finding(
                level, "depth", wide[0].path, f"{counted(len(wide), 'image')}: {depth}", split
            )


def _of_layouts(looks: Sequence[Look]) -> Iterator[Finding]:
    """Report the first image of each number of channels or type that differs from the others'."""
    first: dict[Layout, Look] = {}
    for look in looks:
        first.setdefault(look.layout, look)
    found = list(first.values())
    for other in found[1:]:
        what = f"the image has {other.layout}, but {found[0].path} has {found[0].layout}"
        yield Finding("error", "channels", other.path, what, other.split)


def _copied(first: Look, copy: Look) -> str:
    across = first.split != copy.split
    what = f"the same image as {first.path}" + (f", which is in {first.split}" if across else "")
    if copy.path == first.path:
        what = f"the image is also in {first.split}"
    return what + ("; metrics are too high if splits share images" if across else "")


def _near(looks: Sequence[Look]) -> Iterator[tuple[Look, Look]]:
    """Yield pairs of similar images that are not identical, at most one for each second image."""
    # Two hashes that differ in at most three bits agree in at least one of four groups of sixteen
    # bits, so an image is compared only with those in the same buckets, not with all.
    seen: dict[tuple[int, int], list[Look]] = {}
    for look in looks:
        if not 8 <= look.hash.bit_count() <= 56:
            continue  # nearly uniform images all have similar hashes
        keys = [(part, look.hash >> (16 * part) & 0xFFFF) for part in range(4)]
        near = (o for key in keys for o in seen.get(key, ()) if _alike(o, look))
        other = next(near, None)
        if other is not None:
            # Identical images are reported as such already.
            if other.content != look.content:
                yield other, look
            continue
        for key in keys:
            bucket = seen.setdefault(key, [])
            # Without a limit, thousands of similar images would be compared pair by pair.
            if len(bucket) < _MAX_ALIKE:
                bucket.append(look)


def _alike(a: Look, b: Look) -> bool:
    if (a.hash ^ b.hash).bit_count() > NEAR:
        return False
    # Hashes encode only the sign of brightness differences and can coincide for different images,
    # so the thumbnails are compared too (as int16, because differences of uint8 wrap around).
    difference = np.abs(a.small.astype(np.int16) - b.small.astype(np.int16))
    return float(difference.mean()) <= _ALIKE
