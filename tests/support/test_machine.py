import json
import platform
import socket

import numpy as np

import iris_tf
from iris_tf.support.machine import machine_description, package_version


def test_the_machine_is_described_in_json_values():
    machine = machine_description()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cores"] >= 1
    assert machine["cpu"]
    assert machine["os"]
    assert machine["memory_bytes"] is None or machine["memory_bytes"] > 2**28
    assert machine["python"] == platform.python_version()
    assert machine["iris_tf"] == iris_tf.__version__
    assert machine["packages"]["numpy"] == np.__version__
    # Results are passed on, and whose machine it is belongs to nobody else.
    assert socket.gethostname() not in json.dumps(machine)


def test_a_package_that_is_not_installed_has_no_version():
    assert package_version("iris-tf-no-such-package") is None
