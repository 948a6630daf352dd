"""`iris-tf serve` prints its address, answers, and ends with Ctrl-C."""

import signal
import subprocess
import sys
import urllib.request

import pytest

COMMAND = [sys.executable, "-c", "from iris_tf.cli.app import main; main()", "serve"]


@pytest.fixture
def page(tmp_path):
    (tmp_path / "index.html").write_text("<p>page</p>")
    return tmp_path


def test_it_serves_until_it_is_interrupted(page):
    server = subprocess.Popen(
        [*COMMAND, page, "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert server.stdout.readline() == "Ctrl-C stops it.\n"
        with urllib.request.urlopen(url, timeout=10) as response:
            assert response.read() == b"<p>page</p>"
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=20)
    finally:
        server.kill()
    assert (server.returncode, errors) == (0, "")


def test_a_folder_without_a_page_is_one_sentence(tmp_path):
    done = subprocess.run([*COMMAND, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{tmp_path} has no index.html" in done.stderr.replace("\n", " ")
