import os
import subprocess
import sys
import threading
import warnings

import pytest

from iris_tf.support.quiet import no_warnings, quiet


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


def test_overlapping_blocks_of_two_threads_restore_the_descriptor(capfd):
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def second():
        first_is_in.wait()
        with quiet(2):
            second_is_in.set()
            first_is_out.wait()
            os.write(2, b"inside the second block")

    thread = threading.Thread(target=second)
    thread.start()
    with quiet(2):
        first_is_in.set()
        second_is_in.wait()
    first_is_out.set()
    thread.join()
    os.write(2, b"after both")
    assert capfd.readouterr().err == "after both"


def test_many_threads_leave_no_descriptor_behind(capfd):
    before = len(os.listdir("/proc/self/fd"))

    def repeat():
        for _ in range(200):
            with quiet(1, 2):
                pass

    threads = [threading.Thread(target=repeat) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == before
    os.write(1, b"out")
    os.write(2, b"err")
    assert capfd.readouterr() == ("out", "err")


def test_warnings_are_given_again_after_overlapping_blocks():
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def second():
        first_is_in.wait()
        with no_warnings():
            second_is_in.set()
            first_is_out.wait()
            warnings.warn("inside the second block", stacklevel=1)

    before = list(warnings.filters)
    thread = threading.Thread(target=second)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        thread.start()
        with no_warnings():
            first_is_in.set()
            second_is_in.wait()
            warnings.warn("inside both", stacklevel=1)
        first_is_out.set()
        thread.join()
        warnings.warn("after both", stacklevel=1)
    assert [str(warning.message) for warning in given] == ["after both"]
    assert warnings.filters == before
