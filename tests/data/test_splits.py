import collections
import random

import pytest
from sklearn.model_selection import train_test_split

from iris_tf.data.manifest import ManifestRow
from iris_tf.data.splits import split_rows
from iris_tf.support.errors import DatasetError


def table(persons, images=3, dataset="set"):
    return [
        ManifestRow(f"{p}/{eye}{i}.png", dataset, f"p{p:04d}", eye, f"p{p:04d}_{eye}", str(i))
        for p in range(persons)
        for eye in "LR"
        for i in range(images)
    ]


def groups_of(rows, field):
    groups = collections.defaultdict(set)
    for row in rows:
        groups[row.split].add(getattr(row, field))
    return groups


def sizes(rows, field):
    groups = groups_of(rows, field)
    return tuple(len(groups[split]) for split in ("train", "val", "test"))


def test_1997_identities_split_as_in_the_paper():
    rows = table(1000, images=1)[:1997]
    assert sizes(split_rows(rows, by="identity"), "identity") == (1397, 300, 300)


@pytest.mark.parametrize(
    "by, field", (("subject", "subject"), ("person", "subject"), ("identity", "identity"))
)
@pytest.mark.parametrize("persons", (4, 7, 10, 33, 100))
def test_groups_are_disjoint_and_sized_as_scikit_learn_does(by, field, persons):
    rows = split_rows(table(persons), by=by)
    groups = groups_of(rows, field)
    names = sorted(set().union(*groups.values()))
    assert sum(len(g) for g in groups.values()) == len(names)
    train, held_out = train_test_split(names, test_size=0.3)
    val, test = train_test_split(held_out, test_size=0.5)
    assert sizes(rows, field) == (len(train), len(val), len(test))


def test_both_eyes_of_a_person_stay_together_only_by_person():
    together = groups_of(split_rows(table(50), by="subject"), "subject")
    assert not together["train"] & together["test"]
    apart = groups_of(split_rows(table(50), by="identity"), "subject")
    assert apart["train"] & apart["test"]


def test_order_of_rows_and_number_of_images_do_not_matter():
    split_of = {row.image: row.split for row in split_rows(table(20), seed=5)}
    shuffled = table(20)
    random.Random(1).shuffle(shuffled)
    result = split_rows(shuffled, seed=5)
    assert [row.image for row in result] == [row.image for row in shuffled]
    assert {row.image: row.split for row in result} == split_of
    fewer = split_rows(table(20, images=1), seed=5)
    assert all(split_of[row.image] == row.split for row in fewer)


def test_seeds_differ_and_repeat():
    assert split_rows(table(20), seed=1) == split_rows(table(20), seed=1)
    assert split_rows(table(20), seed=1) != split_rows(table(20), seed=2)


def test_one_more_person_moves_few():
    before = {row.subject: row.split for row in split_rows(table(100))}
    after = {row.subject: row.split for row in split_rows(table(101))}
    assert sum(before[s] != after[s] for s in before) <= 2


def test_the_same_subject_name_in_two_datasets_is_two_persons():
    rows = split_rows(table(2, dataset="a") + table(2, dataset="b"))
    assert all(any(row.split == split for row in rows) for split in ("train", "val", "test"))


def test_three_persons_give_one_each():
    assert sizes(split_rows(table(3)), "subject") == (1, 1, 1)


@pytest.mark.parametrize("persons", (0, 1, 2))
def test_too_few_persons_are_an_error(persons):
    with pytest.raises(DatasetError, match=rf"^{persons} subject.*at least 3 subjects"):
        split_rows(table(persons))


def test_two_persons_are_enough_identities():
    assert sizes(split_rows(table(2), by="identity"), "identity") == (2, 1, 1)


def test_unknown_groups_are_an_error():
    with pytest.raises(DatasetError, match="subject, identity"):
        split_rows(table(5), by="session")
