"""What the Gradle build and `make android-check` have in common, without running either."""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "android_demo"
CHECK = DEMO / "check"
# Published by Gradle: https://gradle.org/release-checksums/
WRAPPER_JARS = {"8.14.3": "7d3a4ac4de1c32b59bc6a4eb8ecb8e612ccd0cf1ae1e99f66902da64df296172"}
DISTRIBUTIONS = {"8.14.3": "bd71102213493060956ec229d946beee57158dbd89d0e62b91bca0fa2c5f3531"}

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts need bash")


def test_the_wrapper_is_the_one_that_gradle_published():
    folder = DEMO / "gradle" / "wrapper"
    properties = dict(
        line.split("=", 1)
        for line in (folder / "gradle-wrapper.properties").read_text("utf-8").splitlines()
    )
    [version] = re.findall(r"gradle-([\d.]+)-bin\.zip", properties["distributionUrl"])
    assert properties["distributionSha256Sum"] == DISTRIBUTIONS[version]
    jar = (folder / "gradle-wrapper.jar").read_bytes()
    assert hashlib.sha256(jar).hexdigest() == WRAPPER_JARS[version]
    assert os.access(DEMO / "gradlew", os.X_OK)
    assert b"\r\n" in (DEMO / "gradlew.bat").read_bytes()


def test_kotlin_has_one_version():
    catalog = (DEMO / "gradle" / "libs.versions.toml").read_text("utf-8")
    kotlin = tomllib.loads(catalog)["versions"]["kotlin"]
    assert f'\nkotlin = "{kotlin}"\n' in catalog  # as tools.sh reads it
    for path in DEMO.rglob("*"):
        if path.suffix in (".kts", ".sh", ".py", ".properties") and "build" not in path.parts[:-1]:
            assert kotlin not in path.read_text("utf-8"), path


def packages(release: str, path: Path | str) -> dict[str, str]:
    done = subprocess.run(
        ["bash", CHECK / "missing_packages.sh", release],
        env={"PATH": str(path)}, check=True, text=True, capture_output=True,
    )  # fmt: skip
    return dict(line.split("\t") for line in done.stdout.splitlines())


@pytest.fixture
def bare(tmp_path):
    """A search path with what the script itself runs."""
    for name in ("bash", "awk", "grep", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


@needs_bash
@pytest.mark.parametrize(("release", "jdk"), [("12", 17), ("13", 21), ("1", 17), ("99", 17)])
def test_missing_packages_are_named_by_release(bare, release, jdk):
    found = packages(release, bare)
    assert found[f"openjdk-{jdk}-jdk-headless"].startswith("compiling")
    assert {"aapt", "zipalign", "apksigner"} < found.keys()
    assert not [name for name in found if name.startswith("openjdk") and str(jdk) not in name]


@needs_bash
def test_present_packages_are_not_named(bare):
    for name in ("javac", "aapt2"):
        (bare / name).write_text("#!/bin/sh\n")
        (bare / name).chmod(0o755)
    found = packages("12", bare)
    assert "zipalign" in found
    assert not {"aapt", "openjdk-17-jdk-headless"} & found.keys()


def test_the_readme_names_all_packages():
    readme = (DEMO / "README.md").read_text("utf-8")
    for line in (CHECK / "debian_packages.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            _, package, _, purpose = line.split(maxsplit=3)
            assert re.search(rf"\| `{package}`[^|]*\| .*{re.escape(purpose)}", readme), package
