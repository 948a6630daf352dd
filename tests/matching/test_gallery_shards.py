"""A gallery in several folders is searched as if it were in one."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, LAYOUT, LEARNED, MATCHER, mates, strangers

from iris_tf.matching.gallery_folder import CANDIDATES, GalleryFolder
from iris_tf.matching.gallery_journal import EnrolledImage
from iris_tf.matching.gallery_search import Search
from iris_tf.matching.gallery_shards import open_shards, shards_in
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_signs import nearest, phase_signs, sign_distances
from iris_tf.matching.template import Origin, Template
from iris_tf.matching.template_records import TemplateKind
from iris_tf.support import cluster as cluster_module
from iris_tf.support.errors import ArgumentError, DatasetError, IrisTfError, ModelError

# 700 and 500 are fewer than the candidates of a search, 1,800 are more.
PARTS = (slice(0, 700), slice(700, 2_500), slice(2_500, 3_000))


def filled(path, rows, embeddings, kind=KIND):
    gallery = GalleryFolder.make(path, kind)
    with gallery.writing() as writer:
        images = [EnrolledImage(f"p{row // 2}", f"{row}.png") for row in range(3_000)[rows]]
        writer.add(images, embeddings[rows])
    return gallery


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """3,000 images in one gallery, and in three shards; a shard without any; 2,000 probes."""
    folder = tmp_path_factory.mktemp("galleries")
    enrolled, probes = mates(11, 3_000)
    enrolled[1_500:1_510] = enrolled[0]  # equally near
    filled(folder / "whole", slice(0, 3_000), enrolled)
    for number, part in enumerate(PARTS):
        filled(folder / "shards" / f"{number}", part, enrolled)
    GalleryFolder.make(folder / "shards" / "9", KIND)
    return folder, probes


def require_same(found, expected):
    assert found.searched == expected.searched
    assert found.identities == expected.identities
    assert found.images == expected.images
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


SEARCHES = ({}, {"wide": True}, {"exact": True}, {"exact": True, "by_score": False})


def search(probe, by_score=True, **how):
    return Search(probe, MATCHER, by_score, **how)


@pytest.mark.parametrize("how", SEARCHES, ids=str)
def test_shards_give_what_one_gallery_gives(divided, how):
    folder, probes = divided
    whole = GalleryFolder(folder / "whole")
    with open_shards(shards_in(folder / "shards")) as gallery:
        assert (len(gallery), gallery.count_identities()) == (3_000, 1_500)
        for number in (0, 1, 699, 1_503, 2_999):
            expected = whole.compared(search(probes[number], **how))
            assert len(expected) == CANDIDATES
            require_same(gallery.compared(search(probes[number], **how)), expected)


def test_few_images_are_all_compared(divided):
    folder, probes = divided
    with open_shards([folder / "shards" / "0"]) as gallery:
        expected = GalleryFolder(folder / "shards" / "0").compared(search(probes[3]))
        assert len(expected) == 700
        require_same(gallery.compared(search(probes[3])), expected)


def test_removed_images_take_no_places(divided, tmp_path):
    """One gallery and its shards return the same, also where much has been removed."""
    enrolled, probes = mates(12, 3_000)
    whole = filled(tmp_path / "whole", slice(0, 3_000), enrolled)
    shards = [filled(tmp_path / f"{n}", part, enrolled) for n, part in enumerate(PARTS)]
    for gallery in (whole, *shards):
        with gallery.writing() as writer:
            writer.remove([f"p{number}" for number in range(300, 1_000)])
    # Signs that were erased are nearest of all to a code without a positive entry.
    negative = enrolled[3].copy()
    negative[LEARNED:] = -np.abs(negative[LEARNED:])
    with open_shards([shard.path for shard in shards]) as gallery:
        for probe in (probes[10], negative):
            expected = whole.compared(search(probe))
            assert len(expected) == CANDIDATES
            require_same(gallery.compared(search(probe)), expected)


def test_distances_of_few_are_those_of_faiss():
    codes = strangers(3, 80)[:, LEARNED:]
    signs = phase_signs(codes)
    for wide in (False, True):
        rows, distances = nearest(codes[5], signs, LAYOUT, 80, wide)
        np.testing.assert_array_equal(
            sign_distances(codes[5], signs, LAYOUT, wide)[rows], distances
        )


def test_without_a_phase_code_the_most_similar_are_merged(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3_000, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    kind = TemplateKind(Origin("m", "cd" * 32), 8, None)
    whole = filled(tmp_path / "whole", slice(0, 3_000), vectors, kind)
    for number, part in enumerate(PARTS):
        filled(tmp_path / "shards" / f"{number}", part, vectors, kind)
    probe = Search(vectors[77], Matcher(), by_score=False)
    with open_shards(shards_in(tmp_path / "shards")) as gallery:
        found, expected = gallery.compared(probe), whole.compared(probe)
    assert found.images == expected.images
    assert found.images[0] == "77.png"
    assert found.scores is None


def test_shards_that_do_not_belong_together_are_refused(divided, tmp_path):
    folder, _ = divided
    first = folder / "shards" / "0"
    other = TemplateKind(Origin("mobiiris", "cd" * 32), KIND.embedding_size, LAYOUT)
    wider = dataclasses.replace(KIND, layout=dataclasses.replace(LAYOUT, turns=4))
    GalleryFolder.make(tmp_path / "other", other)
    GalleryFolder.make(tmp_path / "wider", wider)
    filled(tmp_path / "copy", PARTS[0], mates(11, 3_000)[0])
    (tmp_path / "link").symlink_to(folder / "shards" / "9")
    cases = [
        ([], "needs a folder"),
        ([first, tmp_path / "missing"], "no such gallery"),
        ([first, tmp_path / "other"], "another model file"),
        ([first, tmp_path / "wider"], "another kind"),
        ([first, first], "or a copy of it; give each shard once"),
        ([first, tmp_path / "copy"], "or a copy of it"),
        ([folder / "shards" / "9", tmp_path / "link"], "or a copy of it"),
    ]
    for paths, message in cases:
        with pytest.raises((ModelError, ArgumentError), match=message), open_shards(paths):
            pass


def test_a_folder_of_shards_must_hold_nothing_else(divided, tmp_path):
    folder, probes = divided
    assert [path.name for path in shards_in(folder / "shards")] == ["0", "1", "2", "9"]
    assert shards_in(tmp_path) == shards_in(folder / "missing") == []
    GalleryFolder.make(tmp_path / "a", KIND)
    (tmp_path / ".unfinished").mkdir()
    with (
        open_shards(shards_in(tmp_path)) as gallery,
        pytest.raises(ModelError, match="all shards are empty"),
    ):
        gallery.compared(search(probes[0]))
    (tmp_path / "b").mkdir()
    with pytest.raises(ModelError, match=r"b: is no gallery, but lies among the shards"):
        shards_in(tmp_path)


def test_the_threshold_follows_the_size_of_all_shards(divided):
    from iris_tf.recognition.operating_points import OperatingPoints
    from iris_tf.recognition.recognizer import IrisRecognizer

    class Card:
        name, embedding_size, score = "drawn", KIND.embedding_size, MATCHER.score_model

    recognizer = IrisRecognizer.__new__(IrisRecognizer)
    recognizer.card, recognizer.matcher, recognizer.origin = Card(), MATCHER, KIND.origin
    thresholds, recognizer.calibration = dict(MATCHER.score_model.thresholds), None
    recognizer._points = OperatingPoints(thresholds, "drawn", True, "far_1e-3")
    folder, probes = divided
    probe = Template(probes[800], KIND.origin)
    expected = recognizer.identify(probe, GalleryFolder(folder / "whole"))
    with open_shards(shards_in(folder / "shards")) as gallery:
        found = recognizer.identify(probe, gallery)
    assert found.identity == expected.identity == "p400"
    assert [match.identity for match in found.matches] == [
        match.identity for match in expected.matches
    ]
    # The threshold of one comparison, and the logarithm of the number of images times the slope.
    model = MATCHER.score_model
    assert found.threshold == pytest.approx(
        model.thresholds["fmr_1e-4"] + model.slope * np.log(3_000)
    )
    assert (found.images, found.threshold) == (3_000, expected.threshold)


# --- on a cluster


@pytest.fixture(scope="module")
def two_workers():
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as local:
        yield local.scheduler_address


def die_once_while_searching(mark):
    """Have this worker be killed (-9) in the first stage of its next search."""
    from iris_tf.matching import gallery_moment

    search_signs = gallery_moment.nearest

    def killed(*arguments):
        if not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return search_signs(*arguments)

    gallery_moment.nearest = killed


def test_a_cluster_gives_what_one_gallery_gives(divided, two_workers):
    folder, probes = divided
    whole = GalleryFolder(folder / "whole")
    with open_shards(shards_in(folder / "shards"), two_workers) as gallery:
        assert (len(gallery), gallery.count_identities()) == (3_000, 1_500)
        for how in SEARCHES:
            expected = whole.compared(search(probes[1_503], **how))
            require_same(gallery.compared(search(probes[1_503], **how)), expected)


def test_an_answer_is_complete_though_a_worker_is_killed_during_the_search(
    divided, two_workers, tmp_path
):
    import distributed

    folder, probes = divided
    expected = GalleryFolder(folder / "whole").compared(search(probes[5]))
    with distributed.Client(two_workers, set_as_default=False) as client:
        client.run(die_once_while_searching, str(tmp_path / "killed"))
    with open_shards(shards_in(folder / "shards"), two_workers) as gallery:
        require_same(gallery.compared(search(probes[5])), expected)
        assert (tmp_path / "killed").exists()
        require_same(gallery.compared(search(probes[5])), expected)


def test_errors_of_shards_come_through(divided, two_workers, tmp_path):
    folder, probes = divided
    with (
        pytest.raises(ModelError, match=r"missing: no worker of tcp://.* has this gallery"),
        open_shards([folder / "shards" / "0", tmp_path / "missing"], two_workers),
    ):
        pass
    filled(tmp_path / "damaged", PARTS[0], mates(13, 3_000)[0])
    with open_shards([folder / "shards" / "0", tmp_path / "damaged"], two_workers) as gallery:
        gallery.compared(search(probes[0]))
        os.truncate(tmp_path / "damaged" / "records-000001.bin", 100)
        with pytest.raises(ModelError, match=r"damaged: the gallery is damaged"):
            gallery.compared(search(probes[0]))


@pytest.fixture
def two_machines(tmp_path, monkeypatch):
    """A scheduler, and two workers that nobody restarts, with addresses of their own."""
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr(cluster_module, "_CHECKS", 2)
    running = []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # with this module

    def start(*arguments):
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        with open(tmp_path / f"{len(running)}.log", "w") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        return running[-1]

    file = tmp_path / "scheduler.json"
    start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, (tmp_path / "0.log").read_text()
        time.sleep(0.1)
    workers = [
        start(
            "worker", "--scheduler-file", str(file), "--no-nanny", "--no-dashboard",
            "--nthreads", "1", "--host", f"127.0.0.{number}",
        )
        for number in (1, 2)
    ]  # fmt: skip
    import distributed

    with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        address = client.scheduler_info()["address"]
    yield address, workers, running[0]
    for process in running:
        process.kill()
        process.wait()


def wait_then_return(path, mark):
    """A call that is running when its mark appears."""
    open(f"{mark}-{os.getpid()}", "w").close()
    time.sleep(2.0)
    return path


def test_a_machine_that_is_lost_during_a_search_is_an_error(two_machines, divided, tmp_path):
    from iris_tf.support.cluster import open_cluster

    address, workers, _ = two_machines
    folder, probes = divided
    shards = shards_in(folder / "shards")
    with open_cluster(address, "The search") as cluster:
        calls = [([f"127.0.0.{n}"], (wait_then_return, n, str(tmp_path / "m"))) for n in (1, 2)]
        assert cluster.on_hosts(calls) == [1, 2]
        marks = [tmp_path / f"m-{worker.pid}" for worker in workers]
        assert all(mark.exists() for mark in marks)
        marks[1].unlink()

        import threading

        def kill():
            while not marks[1].exists():
                time.sleep(0.02)
            workers[1].send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(DatasetError) as raised:
            cluster.on_hosts(calls)
        killer.join()
        assert "The search is not complete" in str(raised.value)
        assert "has no more workers on 127.0.0.2; start them again" in str(raised.value)
        assert cluster.on_hosts([(["127.0.0.1", "127.0.0.2"], (abs, -3))]) == [3]
    expected = GalleryFolder(folder / "whole").compared(search(probes[5]))
    with open_shards(shards, address) as gallery:
        require_same(gallery.compared(search(probes[5])), expected)
        workers[0].send_signal(signal.SIGKILL)
        with pytest.raises(DatasetError, match=r"not complete.*no more workers on 127\.0\.0\.1"):
            gallery.compared(search(probes[5]))


def test_a_scheduler_that_is_lost_is_an_error(two_machines, divided):
    address, _, scheduler = two_machines
    folder, probes = divided
    with open_shards(shards_in(folder / "shards"), address) as gallery:
        scheduler.send_signal(signal.SIGKILL)
        with pytest.raises(IrisTfError, match=r"connection to the cluster tcp://.* was lost"):
            gallery.compared(search(probes[5]))


def test_one_path_with_different_galleries_on_two_machines_is_refused(divided):
    """Nobody can tell which of them a search would read."""
    from iris_tf.matching.gallery_shards import _located, _Shard

    folder, _ = divided
    first, second = (_Shard.of(GalleryFolder(folder / "shards" / name)) for name in "01")
    assert _located("g", [("a", {"g": first}), ("b", {"g": first})], "s") == (["a", "b"], first)
    with pytest.raises(ModelError, match="g: the machines a, b have different galleries"):
        _located("g", [("a", {"g": first}), ("b", {"g": second})], "s")
    # A machine where some workers cannot read it takes no part in its searches.
    seen = [("a", {"g": first}), ("a", {}), ("b", {"g": first})]
    assert _located("g", seen, "s") == (["b"], first)
