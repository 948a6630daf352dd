"""Which packages an installation has; all else about it is in setup.cfg."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["iris_tf*"]), "iris_tf.models"],
    # A folder of files and no code. A link to it inside iris_tf/ would not survive a checkout
    # on Windows.
    package_dir={"iris_tf.models": "models"},
)
