import sys

import pytest
from prepared_eyes import draw_folder, prepare

from iris_tf.segmentation import segmenter as segmenter_module


@pytest.fixture(scope="session")
def eyes(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("eyes"))


@pytest.fixture(scope="session")
def prepared(eyes, tmp_path_factory):
    return prepare(eyes, tmp_path_factory.mktemp("prepared") / "out", jobs=1)


@pytest.fixture
def made_segmenter(monkeypatch):
    """Register a function as the segmenter of the returned name, for this process."""

    def register(function, name):
        module = type(sys)(f"segmenter_of_a_test_{name}")
        function.version = "1"
        module.Segmenter = lambda: function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(segmenter_module.SEGMENTERS, name, (module.__name__, "Segmenter"))
        return name

    return register
