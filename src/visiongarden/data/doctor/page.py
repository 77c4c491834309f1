"""The doctor's report as one HTML page: numbers, histograms, pictures; it loads nothing."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.doctor.report import KINDS, LEVELS, Report
from visiongarden.data.draw import draw_example
from visiongarden.data.faults import printable
from visiongarden.errors import DataError
from visiongarden.types import Example

_ROWS = 50
_PICTURES = 12
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
    """Writes the page; every name from the data set is escaped."""
    body = "\n".join([*_head(report), *_findings(report), *_charts(report), *_pictures(report)])
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_safe(report.root)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    path.write_text(text, encoding="utf-8")


def _safe(text: object) -> str:
    return escape(printable(str(text)))


def _head(report: Report) -> Iterator[str]:
    yield f"<h1>{_safe(report.root)}</h1>"
    counts = " ".join(
        f'<span class="level {level}">{report.count(level):,} {level}s</span>' for level in LEVELS
    )
    yield f"<p>Format {_safe(report.format)}. {counts}</p>"
    splits = report.datasets
    names = list(dict.fromkeys(n for d in splits.values() for n in d.class_map.names))
    yield '<table><tr><th></th><th class="n">images</th><th class="n">without a box</th>'
    yield '<th class="n">boxes</th><th>image sizes</th></tr>'
    for split, dataset in splits.items():
        counts_ = dataset.counts()
        cells = f"{len(dataset):,}", f"{int((counts_ == 0).sum()):,}", f"{int(counts_.sum()):,}"
        numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        yield f"<tr><th>{_safe(split)}</th>{numbers}<td>{_sizes(dataset)}</td></tr>"
    yield "</table><h2>Boxes of each class</h2><table><tr><th>class</th>"
    yield "".join(f'<th class="n">{_safe(split)}</th>' for split in splits) + "</tr>"
    per_class = [
        Counter(d.class_map.names[int(i)] for e in d for i in e.classes) for d in splits.values()
    ]
    for name in names:
        cells_ = "".join(f'<td class="n">{count[name]:,}</td>' for count in per_class)
        yield f"<tr><td>{_safe(name)}</td>{cells_}</tr>"
    yield "</table>"


def _sizes(dataset: DetectionDataset) -> str:
    counts = Counter(example.size for example in dataset if example.size)
    most = [f"{w} × {h} ({n:,})" for (h, w), n in counts.most_common(3)]
    return ", ".join(most) + (f" and {len(counts) - 3} more" if len(counts) > 3 else "")


def _findings(report: Report) -> Iterator[str]:
    yield "<h2>Findings</h2>"
    if not report.findings:
        yield "<p>Nothing to remark.</p>"
    for (level, kind), found in report.groups().items():
        shown = "".join(
            f"<li>{f'[{_safe(finding.split)}] ' if finding.split else ''}{_safe(finding)}</li>"
            for finding in found[:_ROWS]
        )
        rest = len(found) - _ROWS
        more = f'<p class="more">… and {rest:,} more, in the JSON file</p>' if rest > 0 else ""
        yield (
            f"<details{' open' if level == 'error' else ''}><summary>"
            f'<span class="level {level}">{level}</span> {_safe(KINDS[kind])} ({len(found):,})'
            f"</summary><ul>{shown}</ul>{more}</details>"
        )


def _charts(report: Report) -> Iterator[str]:
    examples = [example for dataset in report.datasets.values() for example in dataset]
    if not examples:
        return
    counts = np.array([len(example.boxes) for example in examples])
    sides, ratios, middles = [], [], []
    for example in examples:
        if len(example.boxes) and example.size:
            height, width = example.size
            box = example.boxes[:, 2:] - example.boxes[:, :2]
            sides.append(np.sqrt(box.prod(axis=1) / (height * width)))
            ratios.append(np.log2(box[:, 0] / np.maximum(box[:, 1], 1e-6)))
            centre = (example.boxes[:, 2:] + example.boxes[:, :2]) / 2
            middles.append(centre / np.array([width, height]))
    yield '<h2>Distributions</h2><div class="charts">'
    yield _histogram("boxes an image", counts, _steps(counts))
    if sides:
        marks = [0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
        yield _histogram("side of a box, share of the image", np.concatenate(sides), marks)
        ratio = np.clip(2 ** np.concatenate(ratios), 1 / 32, 32)
        marks = [1 / 32, 1 / 8, 1 / 4, 1 / 2, 0.67, 0.8, 1.25, 1.5, 2, 4, 8, 32]
        yield _histogram("width over height of a box", ratio, marks)
        yield _heat("where the boxes' middles lie", np.concatenate(middles))
    yield "</div>"


def _steps(counts: np.ndarray) -> list[float]:
    most = int(counts.max()) + 1
    step = max(-(-most // 14), 1)
    return [float(v) for v in range(0, most + step, step)]


def _histogram(title: str, values: np.ndarray, marks: Sequence[float]) -> str:
    """Bars between marks, the last one with its end."""
    counts, _ = np.histogram(values, bins=np.asarray(marks, np.float64))
    width, height, most = 320 / len(counts), 120, max(int(counts.max()), 1)
    bars = []
    for i, count in enumerate(counts.tolist()):
        tall = height * count / most
        x, y = 10 + i * width, 140 - tall
        label = f"{marks[i]:.3g} to {marks[i + 1]:.3g}: {count:,}"
        bars.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width - 2, 1):.1f}" height="{tall:.1f}">'
            f"<title>{label}</title></rect>"
        )
        if i % 2 == 0:
            bars.append(f'<text x="{x:.1f}" y="154">{marks[i]:.2g}</text>')
    text = f'<text x="330" y="14" text-anchor="end">{len(values):,} in all, most {most:,}</text>'
    return (
        f'<figure><svg viewBox="0 0 340 160">{"".join(bars)}{text}</svg>{_caption(title)}</figure>'
    )


def _heat(title: str, middles: np.ndarray) -> str:
    counts, _, _ = np.histogram2d(
        middles[:, 1].clip(0, 1), middles[:, 0].clip(0, 1), bins=(12, 24), range=((0, 1), (0, 1))
    )
    most = max(counts.max(), 1)
    cells = "".join(
        f'<rect x="{10 + 13.3 * x:.1f}" y="{4 + 12 * y:.1f}" width="13.4" height="12.1" '
        f'fill-opacity="{0.05 + 0.95 * counts[y, x] / most:.3f}"/>'
        for y in range(12)
        for x in range(24)
    )
    return f'<figure><svg viewBox="0 0 340 160">{cells}</svg>{_caption(title)}</figure>'


def _caption(text: str) -> str:
    return f"<figcaption>{_safe(text)}</figcaption>"


def _pictures(report: Report) -> Iterator[str]:
    """Images with something to see, one a kind of finding, then others of each split."""
    places = {
        (split, str(example.path)): (dataset, i)
        for split, dataset in report.datasets.items()
        for i, example in enumerate(dataset)
    }
    chosen: dict[tuple[str, str], str] = {}
    for (_, kind), found in report.groups().items():
        for finding in found:
            key = (finding.split, finding.where)
            if key in places and key not in chosen:
                chosen[key] = KINDS[kind]
                break
    random = np.random.default_rng(0)
    for split, dataset in report.datasets.items():
        for i in random.permutation(len(dataset))[:4]:
            chosen.setdefault((split, str(dataset[int(i)].path)), "")
    yield '<h2>Pictures</h2><div class="pictures">'
    for key, kind in list(chosen.items())[:_PICTURES]:
        dataset, index = places[key]
        source = _thumbnail(dataset, index)
        if source:
            caption = f"{key[0]}: {Path(key[1]).name}" + (f" ({kind})" if kind else "")
            yield f'<figure><img alt="" src="{source}">{_caption(caption)}</figure>'
    yield "</div>"


def _thumbnail(dataset: DetectionDataset, index: int) -> str:
    """The image with its labels as a data: address; "" where it cannot be decoded."""
    try:
        example = dataset.load(index)
    except DataError:
        return ""
    picture = shrunk(example, dataset, _SIDE)
    raw = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(raw.tobytes()).decode()}"


def shrunk(example: Example, dataset: DetectionDataset, side: int) -> np.ndarray:
    """The image no larger than `side`, with its labels drawn at that size."""
    image = np.asarray(example.image)
    ratio = min(side / max(image.shape[:2]), 1.0)
    small = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    scaled = Example(example.boxes * ratio, example.classes, crowd=example.crowd)
    return draw_example(np.asarray(small, np.uint8), scaled, dataset.class_map)
