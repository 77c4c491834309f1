"""Structure-aware mutations, which change a file where its reader looks."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from pathlib import PurePosixPath

INTEGERS = [0, 1, -1, 2, 127, 128, 255, 256, 65535, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63]
WORDS = [
    "", "0", "-1", "1e999", "nan", "inf", "-inf", "1e308", "99999999999999999999", "0x10", "1.5",
    "true", "null", "~", "[]", "{}", "../../x", "/etc/passwd", "a\0b", "\x1b[2J", "con", "é猫",
    "\ud800", "x" * 5000, "9" * 5000, "!!python/object/apply:os.system [id]", "${oc.env:HOME}",
    "&a [*a]", "%s%n", "'", '"', "<!DOCTYPE a>", "&lt;", "\n", "\t", ",", ":", "- ", "=", "[net]",
]  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, -1e308, float("inf"), float("nan"),
    "", "x", "x" * 3000, "../../x", "a\0b", "\ud800", [], [[]], {}, {"a": 1}, [None], ["x"],
    [1, 2], [[1, 2], [3]], {"class_name": "Lambda", "config": {}}, [0] * 1000,
]  # fmt: skip
TEXT = {".json", ".yaml", ".yml", ".xml", ".csv", ".txt", ".cfg", ".names"}


def mutated(raw: bytes, name: str, random) -> bytes:
    """A changed copy of a file, by its ending."""
    suffix = PurePosixPath(name).suffix
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if random.random() < 0.2:
            raw = any_bytes(raw, random)
        elif suffix == ".json":
            raw = any_json(raw, random)
        elif suffix in TEXT:
            raw = any_text(raw, random)
        elif suffix in (".zip", ".keras", ".pth", ".npz"):
            raw = any_zip(raw, random)
        elif suffix == ".safetensors":
            raw = any_safetensors(raw, random)
        elif suffix == ".png":
            raw = any_png(raw, random)
        elif suffix == ".onnx":
            raw = any_onnx(raw, random)
        else:
            raw = any_bytes(raw, random)
    return raw


def any_bytes(raw: bytes, random) -> bytes:
    if not raw:
        return bytes(random.randrange(256) for _ in range(random.randrange(40)))
    data, at = bytearray(raw), random.randrange(len(raw))
    # Headers are at either end.
    at = random.choice((at, at, at % 64, max(len(raw) - 1 - at % 128, 0)))
    kind = random.randrange(7)
    if kind == 0:
        data[at] ^= 1 << random.randrange(8)
    elif kind == 1:
        data[at] = random.choice((0, 255, 127, 128, random.randrange(256)))
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        del data[at : at + random.choice((1, 2, 4, 100))]
    elif kind == 4:
        data[at:at] = bytes(random.randrange(256) for _ in range(random.choice((1, 4, 50))))
    elif kind == 5:
        form = random.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
        size = struct.calcsize(form)
        value = random.choice(INTEGERS) % 2 ** (8 * size)
        data[at : at + size] = struct.pack(form, value)
    else:
        other = random.randrange(len(raw))
        part = data[other : other + random.choice((8, 64, 1000))]
        data[at : at + len(part)] = part
    return bytes(data)


def any_text(raw: bytes, random) -> bytes:
    text = raw.decode("utf-8", "surrogateescape")
    words = list(re.finditer(r"[^\s,:<>=\[\]{}\"']+", text))
    lines = text.splitlines(keepends=True)
    kind = random.randrange(6)
    if kind < 3 and words:
        word = random.choice(words)
        text = text[: word.start()] + random.choice(WORDS) + text[word.end() :]
    elif kind == 3 and lines:
        at = random.randrange(len(lines))
        lines[at:at] = [lines[random.randrange(len(lines))]] * random.choice((1, 2, 200))
        text = "".join(lines)
    elif kind == 4 and lines:
        del lines[random.randrange(len(lines))]
        text = "".join(lines)
    else:
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(WORDS) + text[at:]
    return text.encode("utf-8", "surrogatepass" if "\ud800" in text else "surrogateescape")


def any_json(raw: bytes, random) -> bytes:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return any_bytes(raw, random)
    spots = []  # (container, key)
    waiting = [data]
    while waiting:
        item = waiting.pop()
        pairs = list(item.items()) if isinstance(item, dict) else list(enumerate(item))
        for key, value in pairs:
            spots.append((item, key))
            if isinstance(value, (dict, list)):
                waiting.append(value)
    if not spots:
        return json.dumps(random.choice(VALUES)).encode()
    item, key = random.choice(spots)
    kind = random.randrange(8)
    if kind < 4:
        item[key] = random.choice(VALUES)
    elif kind == 4:
        del item[key]
    elif kind == 5:
        other, name = random.choice(spots)
        item[key] = (
            json.loads(json.dumps(other[name])) if name in range(1) else random.choice(VALUES)
        )
    elif kind == 6 and isinstance(item, dict):
        item[random.choice(WORDS)] = item.pop(key)
    elif isinstance(item[key], list):
        item[key] = item[key] * random.choice((2, 50))
    else:
        item[key] = [item[key]]
    return json.dumps(data).encode("utf-8", "surrogatepass")


def any_zip(raw: bytes, random) -> bytes:
    if random.random() < 0.3:
        return any_bytes(raw, random)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:
        return any_bytes(raw, random)
    if not members:
        return any_bytes(raw, random)
    name = random.choice(list(members))
    kind = random.randrange(8)
    stored = zipfile.ZIP_STORED
    if kind < 5:
        members[name] = mutated(members[name], name, random)
    elif kind == 5:
        members[random.choice([w for w in WORDS if "\ud800" not in w]) + name] = members.pop(name)
    elif kind == 6:
        del members[name]
    else:
        stored = zipfile.ZIP_DEFLATED
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", stored) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return stream.getvalue()


def any_safetensors(raw: bytes, random) -> bytes:
    if random.random() < 0.4 or len(raw) < 8:
        return any_bytes(raw, random)
    length = struct.unpack("<Q", raw[:8])[0]
    header = any_json(raw[8 : 8 + length], random)
    return struct.pack("<Q", len(header)) + header + raw[8 + length :]


def any_png(raw: bytes, random) -> bytes:
    """Changes a chunk and gives it the right checksum, so that what is inside is read."""
    if random.random() < 0.4 or not raw.startswith(b"\x89PNG"):
        return any_bytes(raw, random)
    chunks, at = [], 8
    while at + 12 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, at)
        chunks.append([raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length]])
        at += 12 + length
    if not chunks:
        return any_bytes(raw, random)
    chunk = random.choice(chunks)
    chunk[random.choice((1, 1, 1, 0))] = any_bytes(chunk[1], random)[:4096] or b"tEXt"
    if random.random() < 0.2:
        chunks.insert(random.randrange(len(chunks)), random.choice(chunks))
    parts = [raw[:8]]
    for kind, data in chunks:
        kind = (kind + b"tEXt")[:4]
        crc = zlib.crc32(kind + data)
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc))
    return b"".join(parts)


def any_onnx(raw: bytes, random) -> bytes:
    if random.random() < 0.3:
        return any_bytes(raw, random)
    import onnx

    try:
        model = onnx.load_from_string(raw)
    except Exception:
        return any_bytes(raw, random)
    graph = model.graph
    node = random.choice(graph.node) if graph.node else None
    kind = random.randrange(7)
    if node is None or kind == 0:
        for tensor in graph.initializer[:1]:
            tensor.dims.extend([random.choice(INTEGERS[:10])])
    elif kind < 4 and node.attribute:
        attribute = random.choice(node.attribute)
        value = random.choice([0, -1, 2**31, 1.5, "x", [1, 2], [0.5], [2**40] * 3, [-1] * 4])
        changed = onnx.helper.make_attribute(attribute.name, value)
        attribute.CopyFrom(changed)
    elif kind == 4:
        node.op_type = random.choice(["Conv", "Concat", "Split", "Resize", "Pad", "Clip", "x", ""])
    elif kind == 5 and node.input:
        node.input[random.randrange(len(node.input))] = random.choice([*node.output, "", "x"])
    else:
        graph.node.remove(node)
    return model.SerializeToString()
