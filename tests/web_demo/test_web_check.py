"""The checks of `web_demo/` say what is missing, and its packages are those of the project."""

import json
import re
import runpy
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from iris_tf.support.version import __version__

DEMO = Path(__file__).parents[2] / "web_demo"
APP = DEMO.parent / "android_demo"


@pytest.fixture
def check():
    return SimpleNamespace(**runpy.run_path(str(DEMO / "check" / "web_check.py")))


def package(name):
    return json.loads((DEMO / name).read_text("utf-8"))


def test_versions_agree():
    manifest = package("package.json")
    assert manifest["version"] == __version__
    catalog = tomllib.loads((APP / "gradle" / "libs.versions.toml").read_text("utf-8"))
    assert manifest["devDependencies"]["kotlin-compiler"] == catalog["versions"]["kotlin"]


def test_packages_are_pinned_and_name_no_registry():
    manifest = package("package.json")
    for versions in (manifest["dependencies"], manifest["devDependencies"]):
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values())
    lock = package("package-lock.json")["packages"].values()
    assert not [entry for entry in lock if "resolved" in entry]


def test_the_core_without_the_jvm_uses_nothing_of_the_jvm():
    shared = APP / "core" / "src" / "main" / "kotlin" / "org" / "iristf" / "core"
    sources = {file.name: file.read_text("utf-8") for file in shared.glob("*.kt")}
    assert len(sources) > 20
    found = {
        name: re.findall(r"\bjava\.|\bMath\.|\.format\(|\.javaClass|\bCloseable\b", text)
        for name, text in sources.items()
    }
    assert not {name: uses for name, uses in found.items() if uses}


def test_a_missing_tool_comes_with_its_packages(check, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(check.Missing, match=r"^npm is missing; install nodejs .* and chromium\.$"):
        check.program("npm")


def test_an_old_node_is_refused(check, monkeypatch, tmp_path):
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.19.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(check.Missing, match=r"^Node\.js v18\.19\.0 is too old"):
        check.packages()


def test_a_failed_step_shows_what_it_printed(check, tmp_path):
    with pytest.raises(check.check_steps.Failed, match=r"ended with status 3:\n.*wrong"):
        check.run(["sh", "-c", "echo something is wrong; exit 3"])


def test_continuous_integration_skips_without_node(tmp_path):
    for name in ("dirname", "bash"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        ["/bin/bash", DEMO / "check" / "ci.sh"],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.startswith("web-check skipped: Node.js with npm is missing")
