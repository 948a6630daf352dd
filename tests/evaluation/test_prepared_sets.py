import json
from pathlib import Path

import pytest

from iris_tf.evaluation.prepared_sets import prepared_sets
from iris_tf.support.errors import EvaluationError

SETTINGS = {
    "images": "eyes", "layout": "folder", "segmenter": "network", "synthetic": False,
    "roi_mode": "unrolled", "split_by": "subject", "seed": 0, "channels": 1,
}  # fmt: skip


@pytest.fixture
def manifest(tmp_path):
    def manifest(name, **changes):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        content = {"settings": SETTINGS | changes, "counts": {"failures": {"occluded": 2}}}
        (folder / "dataset.json").write_text(json.dumps(content))
        return folder / "manifest.csv"

    return manifest


def test_one_set_keeps_its_names(manifest, rows_of, tmp_path):
    [only] = prepared_sets([manifest("one")])
    assert only.settings == SETTINGS
    assert only.failures == {"occluded": 2}
    [row] = only.named(rows_of([("a", "L")]))
    assert (row.dataset, row.image, row.roi) == ("set", "0.png", "")


def test_several_are_told_apart_by_their_folders(manifest, rows_of, tmp_path):
    sets = prepared_sets([manifest("one"), manifest("two", segmenter="network")])
    for each, name in zip(sets, ("one", "two"), strict=True):
        rows = rows_of([("a", "L"), ("a", "R")])
        rows[1] = type(rows[1])(**vars(rows[1]) | {"roi": "roi/1.png"})
        without, with_crop = each.named(rows)
        assert (without.dataset, without.image, without.roi) == (name, f"{name}/0.png", "")
        assert Path(with_crop.roi) == tmp_path / name / "roi/1.png"


def test_sets_that_cannot_be_compared(manifest):
    with pytest.raises(EvaluationError, match="2 of the datasets lie in a folder called one"):
        prepared_sets([manifest("one"), manifest("deep/one"), manifest("two")])
    with pytest.raises(EvaluationError, match=r"roi_mode unrolled, but .*five.* with aligned"):
        prepared_sets([manifest("four"), manifest("five", roi_mode="aligned")])
    with pytest.raises(EvaluationError, match=r"segmenter_version 3, but .*seven.* with 4"):
        prepared_sets(
            [manifest("six", segmenter_version="3"), manifest("seven", segmenter_version="4")]
        )
