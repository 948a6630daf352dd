import pytest

from iris_tf.data.dataset_title import dataset_title


@pytest.mark.parametrize(
    ("layout", "synthetic", "expected"),
    [
        ("folder", False, "mine"),
        ("eye-folders", False, "mine"),
        ("casia-thousand", False, "casia-thousand"),
        ("casia-thousand", True, "synthetic eyes"),
    ],
)
def test_a_dataset_is_called_by_its_publisher_or_its_folder(layout, synthetic, expected):
    settings = {"layout": layout, "synthetic": synthetic, "images": "/data/mine"}
    assert dataset_title(settings) == expected
