"""`android_demo/check/android_check.py` and `page_sizes.py`, which need no Android tools here."""

import runpy
import struct
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

CHECK = Path(__file__).parents[2] / "android_demo" / "check"
KIB = 1024


def script(name):
    return SimpleNamespace(**runpy.run_path(str(CHECK / name)))


@pytest.fixture(scope="module")
def check():
    return script("android_check.py")


@pytest.fixture(scope="module")
def pages():
    return script("page_sizes.py")


def test_a_missing_tool_comes_with_its_package(check, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        check.Missing, match=r"^aapt2 is missing; install aapt \(Debian 12 and 13\)\.$"
    ):
        check.program("aapt2")
    with pytest.raises(
        check.Missing, match=r"openjdk-17-\S+ \(Debian 12\) or openjdk-21-\S+ \(Debian 13\)"
    ):
        check.program("javac")


def test_another_version_of_kotlin_does_not_count(check, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setitem(check.kotlin_home.__globals__, "TOOLS", tmp_path / "tools")
    for folder in (
        tmp_path / "bin",
        tmp_path / "tools" / "npm" / "node_modules" / "kotlin-compiler",
    ):
        folder.mkdir(parents=True)
    (tmp_path / "bin" / "kotlinc").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "kotlinc").chmod(0o755)
    (tmp_path / "build.txt").write_text("1.3.31-release-197")
    with pytest.raises(
        check.Missing, match=r"^Kotlin 2\.\S+ is missing; run `make android-tools`\.$"
    ):
        check.kotlin_home()
    [version] = [
        line.split('"')[1]
        for line in (CHECK.parent / "gradle" / "libs.versions.toml").read_text().splitlines()
        if line.startswith("kotlin = ")
    ]
    (tmp_path / "build.txt").write_text(f"{version}-release-1")
    assert check.kotlin_home() == tmp_path


def elf(*alignments):
    """A 64-bit ELF file of headers: one loadable segment for each alignment, and a note."""
    identification = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    count = len(alignments) + 1
    header = struct.pack(
        "<HHIQQQIHHHHHH", 3, 183, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0
    )  # the table of segments follows at offset 64
    segments = [struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, size) for size in alignments]
    note = struct.pack("<IIQQQQQQ", 4, 4, 0, 0, 0, 0, 0, 4)
    return identification + header + b"".join(segments) + note


def apk(path, entries, alignment=16 * KIB):
    """An APK whose stored entries begin at multiples of `alignment`, as zipalign places them."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content, kind in entries:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = kind
            end = archive.fp.tell() + 30 + len(name)
            entry.extra = bytes(-end % alignment)
            archive.writestr(entry, content)
    return path


STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def test_aligned_libraries_run_with_large_pages(pages, tmp_path, capsys):
    path = apk(tmp_path / "a.apk", [
        ("classes.dex", b"dex", DEFLATED),
        ("lib/arm64-v8a/libone.so", elf(16 * KIB, 64 * KIB), STORED),
        ("lib/x86_64/libone.so", elf(16 * KIB), DEFLATED),
        ("lib/armeabi-v7a/libone.so", b"32 bit", STORED),
        ("assets/lib/x.so", b"no library", STORED),
    ])  # fmt: skip
    assert pages.problems(path) == {"lib/arm64-v8a/libone.so": [], "lib/x86_64/libone.so": []}
    assert pages.main(path) == 0
    assert capsys.readouterr().out.count("runs with pages of 16 KB.") == 2


@pytest.mark.parametrize(
    ("content", "alignment", "said"),
    [
        (elf(16 * KIB, 4 * KIB), 16 * KIB, "aligned to 4096 bytes"),
        (elf(16 * KIB), 4, "no multiple of 16 KB"),
        (elf(), 16 * KIB, "not a 64-bit ELF file"),
        (elf(16 * KIB)[:70], 16 * KIB, "not a 64-bit ELF file"),
        (b"", 16 * KIB, "not a 64-bit ELF file"),
    ],
)
def test_other_libraries_do_not(pages, tmp_path, content, alignment, said):
    path = apk(tmp_path / "a.apk", [("lib/arm64-v8a/libx.so", content, STORED)], alignment)
    [[problem]] = pages.problems(path).values()
    assert said in problem
    assert pages.main(path) == 1


def test_what_is_no_apk_is_one_sentence(pages, tmp_path, capsys):
    (tmp_path / "a.apk").write_bytes(b"PK but no archive")
    for path in (tmp_path / "a.apk", tmp_path / "missing.apk"):
        assert pages.main(path) == 2
        assert str(path) in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="programs of other systems are no ELF files")
def test_a_library_of_this_machine_is_read(pages):
    library = Path(sys.executable).resolve().read_bytes()
    assert pages.least_alignment(library) in (4 * KIB, 16 * KIB, 64 * KIB, 2**21)
