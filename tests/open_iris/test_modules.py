import importlib
import pkgutil

import pytest

import iris_tf

pytest.importorskip("iris")


def names():
    return [module.name for module in pkgutil.walk_packages(iris_tf.__path__, "iris_tf.")]


@pytest.mark.parametrize("name", names())
def test_every_module_can_be_imported_beside_open_iris(name):
    importlib.import_module(name)


def test_versions_are_those_that_open_iris_allows():
    import cv2
    import numpy as np
    import tensorflow as tf

    assert np.__version__.startswith("1.")
    assert cv2.__version__.startswith("4.")
    assert tf.__version__.startswith("2.17.")
