"""Mutations of files: of bytes, of JSON and YAML values, of cells and of arrays.

Each takes the content of a valid file and a generator of random numbers, and returns the content
of a damaged or hostile one.
"""

import contextlib
import copy
import csv
import io
import json
import zipfile

import numpy as np

DEEP = 3000
HOSTILE_TEXTS = (
    "", "x" * 50_000, "../../../etc/passwd", "/etc/passwd", "\0", "a\nb", "\x1b[2J", "\ud800",
    "${oc.env:HOME}", "İı", "nan", "1e999", "-0", "=1+1", "<script>", "9" * 5000, "\u202e", "'",
)  # fmt: skip
HOSTILE_VALUES = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 10**30, 10**4000, -(10**400), 1e308, 5e-324,
    float("nan"), float("inf"), -float("inf"), [], {}, [[]], {"": None}, [1] * 5000, 0.5,
    *HOSTILE_TEXTS,
)  # fmt: skip
ALTERNATIVES = ([0, 1, 127, 128, 255], [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1])


def pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]


OVERWRITE, ALL = (0, 1, 2), tuple(range(7))


def of_bytes(content, rng, most=6, kinds=ALL):
    """Flip bits, overwrite bytes or words, cut, insert, repeat."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, most + 1))):
        kind, at = pick(rng, kinds), int(rng.integers(len(data) + 1))
        length = int(rng.integers(1, 64))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1 and at < len(data):
            data[at] = pick(rng, ALTERNATIVES[0])
        elif kind == 2:
            data[at : at + 4] = pick(rng, ALTERNATIVES[1]).to_bytes(4, "little")
        elif kind == 3 and rng.random() < 0.3:
            del data[at:]
        elif kind == 4:
            data[at:at] = rng.bytes(length)
        elif kind == 5:
            del data[at : at + length]
        else:
            data[at:at] = data[at : at + length]
    return bytes(data)


def _places(value, found):
    """Containers and keys of all values."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in list(items):
        found.append((value, key))
        if isinstance(part, dict | list):
            _places(part, found)
    return found


def of_values(values, rng):
    """Replace, remove or rename one to three values of nested dicts and lists, in place."""
    for _ in range(int(rng.integers(1, 4))):
        places = _places(values, [])
        if not places:
            return values
        container, key = pick(rng, places)
        kind = int(rng.integers(8))
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, dict):
            container[pick(rng, HOSTILE_TEXTS)] = container.pop(key)
        elif kind == 2:
            other, name = pick(rng, places)
            if (isinstance(other, dict) and name in other) or isinstance(other, list):
                container[key] = json.loads(json.dumps(other[name if other else 0]))
        elif kind == 3 and isinstance(container[key], int | float):
            factor = pick(rng, (-1, 10, 1000, 0.5))
            with contextlib.suppress(OverflowError):  # of an integer too large for a float
                container[key] = factor * container[key]
        else:
            container[key] = copy.deepcopy(pick(rng, HOSTILE_VALUES))
    return values


def of_json(content, rng):
    """Mutate values, text or depth of a JSON file."""
    kind = rng.random()
    if kind < 0.25:
        return of_bytes(content, rng)
    if kind < 0.3:
        return pick(rng, (b"[" * DEEP, b'{"a":' * DEEP, b"", b"null", b"9" * 5000, b"\xff\xfe"))
    import sys

    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        text = json.dumps(of_values(json.loads(content), rng))
    finally:
        sys.set_int_max_str_digits(limit)
    if kind > 0.95:
        text = text.replace("{", '{"a": ' + "[" * DEEP + "]" * DEEP + ", ", 1)
    return text.encode()


def of_table(content, rng):
    """Mutate cells, columns or bytes of a CSV file."""
    if rng.random() < 0.3:
        return of_bytes(content, rng)
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    for _ in range(int(rng.integers(1, 4))):
        row = pick(rng, rows)
        if not row:
            continue
        at, kind = int(rng.integers(len(row))), int(rng.integers(6))
        if kind == 0:
            del row[at]
        elif kind == 1:
            row.insert(at, str(pick(rng, HOSTILE_TEXTS)))
        elif kind == 2:
            rows.append(list(row))
        else:
            row[at] = str(pick(rng, HOSTILE_TEXTS))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def of_yaml(content, rng):
    """Mutate values, lines or bytes of a YAML file."""
    if rng.random() < 0.25:
        return of_bytes(content, rng)
    values = (
        "", "[", "{a: 1", "*missing", "&a [*a]", "!!python/name:os.system", "!!binary x", "${run}",
        "${oc.env:HOME}", "${", "[[1], [2]]", "{a: {b: c}}", "2001-99-99", ".nan", "-.inf", "1e999",
        "0x1F", "1_000", "on", "null", "9" * 5000, "[" * DEEP, "{a: " * 40, "|", "? ", "- ", "'",
        "-1", "0", "1e308", "true", "x" * 50_000, "\x07",
    )  # fmt: skip
    lines = content.decode().split("\n")
    for _ in range(int(rng.integers(1, 4))):
        at, kind = int(rng.integers(len(lines))), int(rng.integers(6))
        key, colon, _ = lines[at].partition(":")
        if kind == 0:
            lines[at] = " " * int(rng.integers(1, 9)) + lines[at]
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines.insert(at, pick(rng, lines) if lines else "")
        elif colon:
            lines[at] = f"{key}: {pick(rng, values)}"
        lines = lines or [""]
    return "\n".join(lines).encode()


def of_archive(content, rng, members):
    """Mutate a zip file: its bytes, or a member by one of `members` (function by suffix)."""
    if rng.random() < 0.25:
        return of_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, list(parts))
    suffix = name.rpartition(".")[2]
    kind = int(rng.integers(10))
    if kind == 0:
        del parts[name]
    elif kind == 1:
        parts[pick(rng, ("../x", "/x", "x/y", "config.json"))] = parts.pop(name)
    else:
        parts[name] = members.get(suffix, of_bytes)(parts[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as out:
        for name, data in parts.items():
            out.writestr(name, data)
    return buffer.getvalue()


def of_array(content, rng):
    """Mutate an ``.npy`` file: its bytes, or what its header declares."""
    if rng.random() < 0.3:
        return of_bytes(content, rng)
    array = np.lib.format.read_array(io.BytesIO(content))
    header = np.lib.format.header_data_from_array_1_0(array)
    if rng.random() < 0.5:
        header["shape"] = pick(rng, ((), (0,), (2**40,), (-1,), (3, 3), (2**31, 2**31)))
    else:
        header["descr"] = pick(rng, ("|O", "<f8", "<U1000000", "<M8[s]", "|b1", ">c16", "<f4"))
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + array.tobytes()
