import csv

import pytest


@pytest.fixture(scope="session")
def small_images(tmp_path_factory):
    """Synthetic eyes of 12 persons, 4 images an eye. Not to be changed."""
    from iris_tf.datasets.synthetic.writer import synthesize

    return synthesize(tmp_path_factory.mktemp("small") / "images", 12, 4, seed=3, jobs=1)


@pytest.fixture(scope="session")
def small_dataset(small_images):
    """The dataset prepared from them. Not to be changed, but for its packed crops."""
    from iris_tf.segmentation.prepare import prepare

    return prepare(small_images, small_images.parent / "dataset", jobs=1).folder


@pytest.fixture
def tiny(monkeypatch):
    """Name of the network of `tiny_network`, registered for one test."""
    import tiny_network

    monkeypatch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
    return tiny_network.NAME


@pytest.fixture
def run_cli(monkeypatch, capfd):
    """Runs `iris-tf` in this process: (exit status, standard output, standard error)."""

    def run(*arguments):
        from iris_tf.cli import main

        monkeypatch.setattr("sys.argv", ["iris-tf", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def read_history():
    def read(run):
        with open(run / "history.csv", newline="", encoding="utf-8") as file:
            return [
                {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
            ]

    return read
