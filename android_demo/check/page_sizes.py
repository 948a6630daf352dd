"""Check whether the native libraries of an APK run on phones with memory pages of 16 KB.

    python android_demo/check/page_sizes.py app-release.apk

Android 15 and later may have such pages on 64-bit phones. A library is compatible if all of its
loadable segments are aligned to 16 KB, and if it lies in the APK either uncompressed at a multiple
of 16 KB, from where it is mapped, or compressed, so that it is unpacked first. Prints one line a
library; the exit status is 1 if one of them is not compatible.
"""

import argparse
import struct
import sys
import zipfile
from pathlib import Path

PAGE = 16 * 1024
WIDE_ABIS = ("arm64-v8a", "x86_64")  # 32-bit phones have pages of 4 KB
_ELF, _CLASS_64, _LITTLE_ENDIAN, _LOAD = b"\x7fELF", 2, 1, 1
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field


def problems(apk: Path) -> dict[str, list[str]]:
    """What is wrong with each native library for 64-bit phones."""
    found = {}
    with zipfile.ZipFile(apk) as archive, apk.open("rb") as file:
        for entry in archive.infolist():
            parts = entry.filename.split("/")
            if parts[0] != "lib" or parts[1] not in WIDE_ABIS or not entry.filename.endswith(".so"):
                continue
            wrong = []
            least = least_alignment(archive.read(entry))
            if least is None:
                wrong.append("it is not a 64-bit ELF file with loadable segments")
            elif least < PAGE:
                wrong.append(f"a segment is aligned to {least} bytes; use a newer version of it")
            if entry.compress_type == zipfile.ZIP_STORED and content_offset(file, entry) % PAGE:
                wrong.append("its place in the APK is no multiple of 16 KB; run zipalign -P 16 4")
            found[entry.filename] = wrong
    return found


def content_offset(file, entry: zipfile.ZipInfo) -> int:
    """Where the content of an entry begins in an archive."""
    file.seek(entry.header_offset)
    _, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return entry.header_offset + _LOCAL_HEADER.size + name + extra


def least_alignment(library: bytes) -> int | None:
    """Least alignment of the loadable segments of a 64-bit little-endian ELF file, in bytes."""
    if library[:6] != _ELF + bytes((_CLASS_64, _LITTLE_ENDIAN)):
        return None
    try:
        (table,) = struct.unpack_from("<Q", library, 32)  # e_phoff
        size, count = struct.unpack_from("<HH", library, 54)  # e_phentsize, e_phnum
        headers = [struct.unpack_from("<I44xQ", library, table + i * size) for i in range(count)]
    except struct.error:
        return None
    return min((alignment for kind, alignment in headers if kind == _LOAD), default=None)


def main(apk: Path) -> int:
    """Print the verdict on each library."""
    try:
        found = problems(apk)
    except (OSError, zipfile.BadZipFile) as error:
        print(f"{apk}: this is not an APK that can be read ({error}).", file=sys.stderr)
        return 2
    for library, wrong in found.items():
        print(f"{library}: {'; '.join(wrong) or 'runs with pages of 16 KB'}.")
    if not found:
        print(f"{apk}: it contains no native library for 64-bit phones.")
    return int(any(found.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("apk", type=Path, help="the APK")
    sys.exit(main(parser.parse_args().apk))
