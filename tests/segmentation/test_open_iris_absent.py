import pytest

from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.machine import package_version

pytestmark = pytest.mark.skipif(
    package_version("open-iris") is not None, reason="Open-Iris is installed"
)


def test_one_sentence_names_the_extra(run_cli, tmp_path):
    status, out, err = run_cli(
        "prepare", "--segmenter", "open-iris", "--images", tmp_path, "--out", tmp_path / "out"
    )
    assert (status, out) == (2, "")
    assert err == (
        "Error: The segmenter 'open-iris' needs the library Open-Iris, which is not installed; "
        "install the package with its extra, iris_tf[open-iris].\n"
    )


def test_other_segmenters_do_not_need_it():
    assert segmenter_by_name("opencv").name == "opencv"
