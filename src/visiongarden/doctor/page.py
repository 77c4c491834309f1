"""Render a report as a self-contained HTML page with counts, charts and images."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from visiongarden.data.error_list import fixes_of
from visiongarden.data.readers.division import stem_of
from visiongarden.data.writers.images import name_of
from visiongarden.doctor.charts import caption
from visiongarden.doctor.report import KINDS, LEVELS, Report
from visiongarden.errors import DataError
from visiongarden.markup import safe
from visiongarden.storage import atomic_write

_MAX_ROWS = 50
_MAX_PER_KIND = 3
_MAX_WITHOUT_FINDING = 4
_MAX_IMAGES = 60
_LINE = re.compile(r":\d+$")
_SIDE = 360

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --error: #d33; --warning: #c80; --note: #48c }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse } td, th { padding: .25rem .8rem .25rem 0; text-align: left }
th { border-bottom: 1px solid var(--line) } td.n, th.n { text-align: right }
.level { color: #fff; border-radius: .25rem; padding: .05rem .45rem; font-size: .85rem }
.error { background: var(--error) } .warning { background: var(--warning) }
.note { background: var(--note) }
details { border-bottom: 1px solid var(--line); padding: .35rem 0 } summary { cursor: pointer }
li { overflow-wrap: anywhere; font-size: .9rem } .more { opacity: .7 }
.charts, .pictures { display: grid; gap: 1rem }
.charts { grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)) }
.pictures { grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)) }
figure { margin: 0 } figcaption { font-size: .85rem; overflow-wrap: anywhere; opacity: .8 }
img { max-width: 100%; border-radius: .3rem } svg { width: 100%; height: auto }
svg text { font-size: 11px; fill: currentColor } svg rect { fill: var(--note) }
"""


def write_page(report: Report, path: Path) -> None:
    """Write the report as an HTML page; all text from the dataset is escaped."""
    body = "\n".join([*_head(report), *_findings(report), *_charts(report), *_pictures(report)])
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        # A second barrier behind the escaping: the browser runs no script and loads nothing, even
        # if a name from the dataset reached the page unescaped.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{safe(report.root)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    atomic_write(path, text)


def _head(report: Report) -> Iterator[str]:
    yield f"<h1>{safe(report.root)}</h1>"
    counts = " ".join(
        f'<span class="level {level}">{report.count(level):,} {level}s</span>' for level in LEVELS
    )
    yield f"<p>Reader {safe(report.reader)}. {counts}</p>"
    rows = {
        split: report.labeling.columns(dataset, report.tallies[split])
        for split, dataset in report.datasets.items()
    }
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    heads = "".join(f'<th class="n">{safe(name)}</th>' for name in names)
    yield f"<table><tr><th></th>{heads}<th>image sizes</th></tr>"
    for split, row in rows.items():
        numbers = "".join(f'<td class="n">{row.get(name, 0):,}</td>' for name in names)
        yield f"<tr><th>{safe(split)}</th>{numbers}<td>{_sizes(report, split)}</td></tr>"
    unit = report.labeling.unit.capitalize()
    yield f"</table><h2>{unit} per class</h2><table><tr><th>class</th>"
    per_class = report.counts()
    yield "".join(f'<th class="n">{safe(split)}</th>' for split in per_class) + "</tr>"
    for name in dict.fromkeys(name for count in per_class.values() for name in count):
        cells = "".join(f'<td class="n">{c.get(name, 0):,}</td>' for c in per_class.values())
        yield f"<tr><td>{safe(name)}</td>{cells}</tr>"
    yield "</table>"


def _sizes(report: Report, split: str) -> str:
    counts = report.sizes.get(split, Counter())
    shown = [f"{w} × {h} ({n:,})" for (h, w), n in counts.most_common(3)]
    return ", ".join(shown) + (f" and {len(counts) - 3} more" if len(counts) > 3 else "")


def _findings(report: Report) -> Iterator[str]:
    yield "<h2>Findings</h2>"
    if not report.findings:
        yield "<p>No issues found.</p>"
    for (level, kind), found in report.groups().items():
        shown = "".join(
            f"<li>{f'[{safe(finding.split)}] ' if finding.split else ''}{safe(finding)}</li>"
            for finding in found[:_MAX_ROWS]
        )
        rest = len(found) - _MAX_ROWS
        more = f'<p class="more">… and {rest:,} more, in the JSON file</p>' if rest > 0 else ""
        more += "".join(f"<p>Fix: {safe(fix)}</p>" for fix in fixes_of(found))
        title = f"{safe(KINDS.get(kind, kind))} ({len(found):,})"
        yield (
            f"<details{' open' if level == 'error' else ''}><summary>"
            f'<span class="level {level}">{level}</span> {title}'
            f"</summary><ul>{shown}</ul>{more}</details>"
        )


def _charts(report: Report) -> Iterator[str]:
    if any(map(len, report.datasets.values())):
        yield '<h2>Distributions</h2><div class="charts">'
        yield from report.labeling.charts(report)
        yield "</div>"


def _pictures(report: Report) -> Iterator[str]:
    """Yield thumbnails: up to three for each kind of finding, then random ones of each split."""
    chosen = _chosen(report)
    for split, dataset in report.datasets.items():
        random = np.random.default_rng(0)  # fixed, so that a second page shows the same images
        for i in random.permutation(len(dataset))[:_MAX_WITHOUT_FINDING]:
            chosen.setdefault((split, int(i)), "")
    yield '<h2>Images</h2><div class="pictures">'
    for (split, index), kind in list(chosen.items())[:_MAX_IMAGES]:
        dataset = report.datasets[split]
        source = _thumbnail(report, split, index)
        if source:
            name = name_of(dataset.row(index), index)
            text = f"{split}: {name}" + (f" ({kind})" if kind else "")
            yield f'<figure><img alt="" src="{source}">{caption(text)}</figure>'
    yield "</div>"


def _chosen(report: Report) -> dict[tuple[str, int], str]:
    """Choose images with findings: (split, index) -> description of the finding."""
    places: dict[tuple[str, str], int] = {}
    for split, dataset in report.datasets.items():
        for i in range(len(dataset)):
            path = dataset.image_path(i)
            places[split, str(path)] = i
            # A finding may name the label file or mask, which have the name of the image.
            places.setdefault((split, stem_of(path)), i)
    chosen: dict[tuple[str, int], str] = {}
    for (_, kind), found in report.groups().items():
        shown = 0
        for finding in found:
            file = _LINE.sub("", finding.where)
            index = places.get((finding.split, file))
            if index is None:
                index = places.get((finding.split, Path(file).stem))
            if index is not None and (finding.split, index) not in chosen:
                chosen[finding.split, index] = KINDS.get(kind, kind)
                shown += 1
            if shown == _MAX_PER_KIND:
                break
    return chosen


def _thumbnail(report: Report, split: str, index: int) -> str:
    """Return an image with its labels as a `data:` URL; "" if it cannot be decoded."""
    try:
        picture = report.labeling.picture(report.datasets[split], index, _SIDE)
    except DataError:
        return ""
    raw = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(raw.tobytes()).decode()}"
