import csv
import dataclasses
import itertools
import json

import numpy as np
import pytest

from iris_tf.data.layouts import read_layout
from iris_tf.data.manifest import read_manifest, write_manifest
from iris_tf.data.splits import split_rows
from iris_tf.evaluation.failures import FailedImage, generalised_rates
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.evaluation.protocols import EveryPair, PairLists
from iris_tf.metrics.counts import ScoreCounts, count_scores
from iris_tf.metrics.scales import SIMILARITIES
from iris_tf.metrics.scores import label_images, similarity_blocks
from iris_tf.support.errors import EvaluationError


@pytest.mark.parametrize("protocol", ["all-pairs", "same-eye"])
def test_a_comparison_with_a_failed_image_is_no_match(population, protocol):
    embeddings, rows = population(6, 4)
    failed = set(range(0, 48, 5))
    kept = [i for i in range(48) if i not in failed]
    labels = label_images([rows[i] for i in kept], protocol)
    counts = count_scores(similarity_blocks(embeddings[kept]), labels).counts
    assert isinstance(counts, ScoreCounts)
    attempts = EveryPair(protocol).attempts(
        [rows[i] for i in kept],
        [FailedImage(rows[i], "occluded" if i else "no_iris") for i in sorted(failed)],
    )
    found = generalised_rates(attempts, counts, {"here": 0.4})
    matches = {True: [], False: []}
    for i, j in itertools.combinations(range(48), 2):
        if protocol == "same-eye" and rows[i].eye != rows[j].eye:
            continue
        score = SIMILARITIES.rounded([embeddings[i].astype(float) @ embeddings[j].astype(float)])[0]
        matches[rows[i].identity == rows[j].identity].append(score >= 0.4 and not failed & {i, j})
    assert found["failures"] == {"no_iris": 1, "occluded": 9}
    assert found["failure_rate"] == pytest.approx(10 / 48)
    assert found["genuine_attempts"] == len(matches[True]) == 12 * 6
    assert found["impostor_attempts"] == len(matches[False])
    assert found["points"]["here"] == {
        "gfrr": pytest.approx(1 - np.mean(matches[True])),
        "gfar": pytest.approx(np.mean(matches[False])),
    }


def test_listed_comparisons_with_a_failed_image_are_attempts(rows_of):
    reasons = ("no_iris", "occluded", "no_pupil")
    failed = list(map(FailedImage, rows_of([("a", "L")] * 3), reasons))
    # Images 0 to 3 could be compared, 4 and 6 failed and are listed, 5 failed and is not.
    genuine, impostor = [[0, 1], [2, 3], [0, 4]], [[0, 2], [1, 3], [4, 6], [1, 2]]
    counts = ScoreCounts.of_scores([0.9, 0.3], [0.5, 0.1, 0.2])
    lists = PairLists(np.array(genuine), np.array(impostor))
    attempts = lists.attempts(rows_of([("b", "L")] * 4), failed)
    found = generalised_rates(attempts, counts, {"here": 0.4})
    assert found == {
        "failures": {"no_iris": 1, "no_pupil": 1},
        "failure_rate": pytest.approx(2 / 6),
        "genuine_attempts": 3,
        "impostor_attempts": 4,
        "points": {"here": {"gfar": 1 / 4, "gfrr": pytest.approx(2 / 3)}},
    }


@pytest.fixture
def dataset(tmp_path):
    """A dataset of 10 persons of which some images failed, one person's all."""
    for person, eye, sample in itertools.product(range(10), "LR", range(3)):
        path = tmp_path / "eyes" / f"{person:03d}" / eye / f"S5{person:03d}{eye}{sample:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    rows = split_rows(read_layout(tmp_path / "eyes", "casia-thousand").rows, "person", 3)
    gone = next(row.subject for row in rows if row.split == "test")
    bad = [row for row in rows if row.subject == gone or row.sample in ("01", "S5001R02")]
    bad = bad or rows[:3]
    write_manifest(tmp_path / "manifest.csv", [
        dataclasses.replace(row, roi=f"roi/{row.image}") for row in rows if row not in bad
    ])  # fmt: skip
    with open(tmp_path / "failures.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "reason", "detail"))
        for i, row in enumerate(bad):
            writer.writerow((row.image, "duplicate" if i == 0 else "occluded", "x, y"))
    (tmp_path / "dataset.json").write_text(json.dumps({"settings": {
        "images": "eyes", "layout": "casia-thousand", "segmenter": "opencv", "synthetic": False,
        "roi_mode": "aligned", "split_by": "person", "seed": 3,
    }}))  # fmt: skip
    return tmp_path, rows, bad


def test_failed_images_belong_to_the_split_of_their_person(dataset):
    folder, rows, bad = dataset
    prepared = PreparedSet.read(folder / "manifest.csv")
    for split in ("train", "val", "test"):
        found = prepared.failed_of_split(split)
        wanted = [row.image for row in bad[1:] if row.split == split]
        assert [row.image for row, _ in found] == wanted
        assert all(row.split == split for row, _ in found)
    found = prepared.failed_of_split("all")
    assert [row.identity for row, _ in found] == [row.identity for row in bad[1:]]
    assert {reason for _, reason in found} == {"occluded"}
    assert len(read_manifest(folder / "manifest.csv")) == len(rows) - len(bad)


def test_without_a_table_nothing_is_known(dataset):
    folder, _, _ = dataset
    (folder / "failures.csv").write_text("a,b\n1,2\n")
    with pytest.raises(EvaluationError, match=r"failures\.csv: is not a table of image, reason"):
        PreparedSet.read(folder / "manifest.csv")
    (folder / "failures.csv").unlink()
    assert PreparedSet.read(folder / "manifest.csv").failed_of_split("test") is None
