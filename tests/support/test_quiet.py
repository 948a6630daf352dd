import os
import subprocess
import sys

import pytest

from iris_tf.support.quiet import quiet


def test_only_the_block_and_the_named_descriptor_are_silent(capfd):
    os.write(2, b"before ")
    with quiet(2):
        os.write(2, b"inside")
        os.write(1, b"output")
    os.write(2, b"after")
    assert capfd.readouterr() == ("output", "before after")


def test_an_error_restores_the_descriptors(capfd):
    with pytest.raises(KeyError), quiet(1, 2):
        raise KeyError
    os.write(1, b"heard")
    assert capfd.readouterr().out == "heard"


def test_what_python_buffers_stays_on_its_side():
    code = (
        "from iris_tf.support.quiet import quiet\nprint('before')\n"
        "with quiet(1): print('inside')\nprint('after')"
    )
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert process.stdout == b"before\nafter\n"


def test_a_closed_descriptor_is_left_alone():
    code = (
        "import os\nfrom iris_tf.support.quiet import quiet\nos.close(2)\n"
        "with quiet(1, 2): print('inside', flush=True)\nprint('after')"
    )
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert process.stdout == b"after\n"
