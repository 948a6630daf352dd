"""One target for each format: valid files, how they are mutated, and what reads them.

A reader may accept a file or raise one of the project's exceptions with one short sentence. All
else is a defect: another exception, a crash, a hang.
"""

import contextlib
import functools
import json
import os
import signal
from pathlib import Path

import fuzz_images
import numpy as np

from fuzz import mutations
from fuzz.exchange_targets import EXCHANGE_TARGETS
from fuzz.network_targets import NETWORK_TARGETS
from fuzz.target import Target
from iris_tf.support.errors import IrisTfError

ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests" / "data" / "written_by_0_1_0"
RUN = EARLIER / "pipeline" / "student"
LONGEST_MESSAGE = 1500
CPU_SECONDS, WALL_SECONDS = 60, 600  # on a busy machine, a second of work may take a minute


def _files(*paths):
    return lambda folder: [path.read_bytes() for path in paths]


def _read_card(path):
    from iris_tf.tflite.model_card import ModelCard

    ModelCard.read(path).write(path.with_name("again.json"))


def _calibration(folder):
    from iris_tf.matching.calibration import Calibration, ImpostorEstimate

    thresholds = {"far_1e-2": 0.4, "far_1e-3": 0.5}
    methods = dict.fromkeys(thresholds, "empirical")
    estimate = ImpostorEstimate(100, 0.1, 20.0, thresholds, methods)
    matrix = np.eye(4, dtype=np.float32)
    made = Calibration("camera", "model", "ab" * 32, matrix, 9, None, {"no_iris": 1}, estimate)
    made.write(folder / "original.json")
    earlier = EARLIER / "templates" / "calibration.json"
    return [(folder / "original.json").read_bytes(), earlier.read_bytes()]


def _read_calibration(path):
    from iris_tf.matching.calibration import Calibration

    calibration = Calibration.read(path)
    assert calibration.id
    calibration.write(path.with_name("again.json"))


def _origin():
    from iris_tf.matching.template import Origin

    return Origin("model", "ab" * 32)


def _units(count):
    vectors = np.random.default_rng(1).normal(size=(count, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _template(folder):
    from iris_tf.matching.template import Template
    from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

    layout = PhaseCodeLayout(4, 2, 0)
    Template(_units(1)[0], _origin()).save(folder / "original.npz")
    Template(_units(1)[0], _origin(), layout=layout).save(folder / "packed.npz")
    originals = [folder / "original.npz", folder / "packed.npz"]
    originals += sorted((EARLIER / "templates").glob("of_*.npz"))
    return [path.read_bytes() for path in originals]


def _read_template(path):
    from iris_tf.matching.template import Template

    Template.load(path).save(path.with_name("again.npz"))


def _gallery(folder):
    from iris_tf.matching.gallery import Gallery

    names = ("ann", "bea", "bea")
    Gallery(_units(3), names, ("a.png", "b.png", ""), _origin()).save(folder / "original.npz")
    earlier = EARLIER / "templates" / "gallery.npz"
    return [(folder / "original.npz").read_bytes(), earlier.read_bytes()]


def _read_gallery(path):
    from iris_tf.matching.gallery import Gallery
    from iris_tf.matching.matcher import Matcher

    gallery = Gallery.load(path)
    gallery.similarities(gallery.embeddings[0], Matcher())
    gallery.save(path.with_name("again.npz"))


def _key():
    from iris_tf.matching.secret_keys import SecretKey

    return SecretKey(b"\x01" * 32)


def _sealed(folder):
    from iris_tf.matching.gallery import Gallery
    from iris_tf.matching.template import Template

    names = ("ann", "bea", "bea")
    Template(_units(1)[0], _origin()).save(folder / "eye.npz", _key())
    Gallery(_units(3), names, ("a.png", "b.png", ""), _origin()).save(folder / "all.npz", _key())
    return [(folder / name).read_bytes() for name in ("eye.npz", "all.npz")]


def _read_sealed(path):
    from iris_tf.matching.gallery import Gallery
    from iris_tf.matching.protected_files import FileProtection
    from iris_tf.matching.sealed_files import rewrap
    from iris_tf.matching.secret_keys import SecretKey
    from iris_tf.matching.template import Template

    kind = FileProtection.of(path).kind
    (Gallery if kind == "gallery" else Template).load(path, _key())
    rewrap(path, _key(), SecretKey(b"\x02" * 32))


def _resealed(content, rng):
    """What somebody with the key could make: a mutated archive, encrypted."""
    from iris_tf.matching.sealed_files import DataKey

    inside = _mutated_arrays(content, rng)
    header = json.dumps({"kind": "template"}).encode()
    start = b"IRTFSEAL\x01\0\0\0" + len(header).to_bytes(4) + len(inside).to_bytes(8) + header
    data_key = DataKey(b"\x03" * 32)
    return start + data_key.wrap(_key()) + data_key.seal(inside, start)


def _read_resealed(path):
    from iris_tf.matching.sealed_files import is_sealed
    from iris_tf.matching.template import Template

    Template.load(path, _key() if is_sealed(path) else None)


def _key_file(folder):
    return [_key().secret.hex().encode() + b"\n"]


def _read_key(path):
    from iris_tf.matching.secret_keys import SecretKey

    path.chmod(0o600)
    SecretKey.read(path)


def _read_manifest(path):
    from iris_tf.data.manifest import write_manifest
    from iris_tf.evaluation.prepared_sets import PreparedSet
    from iris_tf.report.report_data import count_splits

    prepared = PreparedSet.read(path)
    for row in prepared.of_split("all"):
        inside = Path(os.path.realpath(prepared.crop(row)))
        assert inside.is_relative_to(os.path.realpath(path.parent))
    count_splits(prepared.rows)
    write_manifest(path.with_name("again.csv"), prepared.rows)


def _read_description(path):
    from iris_tf.data.manifest import canonical_settings, read_settings
    from iris_tf.evaluation.prepared_sets import PreparedSet
    from iris_tf.preparation.dataset_description import is_complete, read_description

    settings = canonical_settings(json.loads((RUN / "dataset.json").read_text())["settings"])
    is_complete(read_description(path.parent, settings), settings)
    (path.parent / "manifest.csv").write_bytes((RUN / "manifest.csv").read_bytes())
    PreparedSet.read(path.parent / "manifest.csv")
    read_settings(path)


def _recipe_schemas():
    from iris_tf.config.pipeline_recipe import PipelineRecipe
    from iris_tf.config.release_recipe import ReleaseRecipe
    from iris_tf.config.segmenter_recipe import SegmenterRecipe
    from iris_tf.config.training_recipe import TrainRecipe

    return {
        "training": TrainRecipe, "pipeline": PipelineRecipe, "release": ReleaseRecipe,
        "segmenter": SegmenterRecipe,
    }  # fmt: skip


def _read_recipe(kind, path):
    from iris_tf.config.load_recipe import load_recipe, recipe_yaml

    recipe_yaml(load_recipe(path, _recipe_schemas()[kind]))


def _recipes(kind, folder):
    """Shipped recipes of a kind."""
    path, contents = folder / "original.yaml", []
    for shipped in (*sorted((ROOT / "pipelines").glob("*.yaml")), RUN / "recipe.yaml"):
        path.write_bytes(shipped.read_bytes())
        with contextlib.suppress(IrisTfError):  # of another kind, or needs values to be given
            _read_recipe(kind, path)
            contents.append(path.read_bytes())
    path.unlink()
    assert contents, f"No shipped recipe is a {kind} recipe."
    return contents


def _recipe_target(kind):
    # A quarter of the usual numbers for each of four kinds.
    return Target(
        "recipe.yaml", functools.partial(_recipes, kind), mutations.of_yaml,
        functools.partial(_read_recipe, kind), 125, 2_500,
    )  # fmt: skip


def _read_history(path):
    from iris_tf.report.report_data import TrainingCurve

    TrainingCurve.read("model", path)


def _state(folder):
    history = [{"epoch": n, "loss": 1.0 / n, "val_eer": 0.1} for n in (1, 2)]
    values = {"epochs_done": 2, "history": history, "best_epoch": 2, "best_value": 0.1}
    return [json.dumps(values).encode()]


def _read_state(path):
    from iris_tf.training.run_folder import RunFolder

    run = RunFolder(path.parent)
    (path.parent / "recipe.yaml").write_bytes((RUN / "recipe.yaml").read_bytes())
    folder = run.checkpoints / "epoch-0002"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.json").write_bytes(path.read_bytes())
    state = run.state()
    run.write_history(state)
    run.is_complete()


def _read_environment(path):
    from iris_tf.training.run_folder import RunFolder

    (path.parent / "recipe.yaml").write_bytes((RUN / "recipe.yaml").read_bytes())
    RunFolder(path.parent).dataset()


def _rows():
    from iris_tf.data.manifest import read_manifest

    return read_manifest(RUN / "manifest.csv")


def _pairs(folder):
    rows, identities = _rows(), {}
    for row in rows:
        identities.setdefault(row.identity, []).append(row.image)
    lines = [f"{images[0]},{images[1]}" for images in identities.values() if len(images) > 1]
    return ["\n".join(lines).encode()]


def _read_pairs(path):
    from iris_tf.evaluation.pair_lists import read_pairs

    read_pairs(path, _rows(), genuine=True)


def _read_failures(path):
    from iris_tf.evaluation.failures import failures_of_split, read_failures

    failed = read_failures(path, "casia-thousand")
    failures_of_split(failed, "test", _rows(), {"split_by": "subject", "seed": 4})


def _splits(folder):
    rows = dict.fromkeys((row.identity, row.split) for row in _rows())
    return ["\n".join(["identity,split", *map(",".join, rows)]).encode()]


def _read_splits(path):
    from iris_tf.data.split_file import split_by_table

    split_by_table(_rows(), path, "identity")


def _images(folder):
    rng = np.random.default_rng(0)
    return [(kind, fuzz_images.encoded(kind, rng)) for kind in fuzz_images.FORMATS]


def _read_image(path):
    from iris_tf.imaging.images import read_eye
    from iris_tf.segmentation.roi_modes import crop_roi
    from iris_tf.segmentation.segmenter import segmenter_by_name

    for channels in (3, 1):
        pixels = read_eye(path, channels).pixels
    crop_roi(pixels, segmenter_by_name("opencv")(pixels), "unrolled")


def _mutated_image(original, rng):
    kind, content = original
    return fuzz_images.mutated(content, kind, rng)


def _mutated_tflite(content, rng):
    return mutations.of_bytes(content, rng, most=2, kinds=mutations.OVERWRITE)


def _read_tflite(path):
    from iris_tf.tflite.cost import model_cost
    from iris_tf.tflite.operators import operator_names
    from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

    embedder = TFLiteEmbedder(path)
    shape = embedder.input_size if embedder.channels == 1 else (*embedder.input_size, 3)
    embedder.embed([np.full(shape, 100, np.uint8)])
    model_cost(path)
    operator_names(path)


def _read_keras(path):
    from iris_tf.networks.embed_rois import load_embedding_model

    # Also calls the model. `embed_rois` compiles each for seconds.
    load_embedding_model(path)


def _mutated_keras(content, rng):
    return mutations.of_archive(content, rng, {"json": mutations.of_json})


def _mutated_arrays(content, rng):
    return mutations.of_archive(content, rng, {"npy": mutations.of_array})


TFLITE = sorted(EARLIER.rglob("*.tflite"))
KERAS = sorted(EARLIER.rglob("*.keras"))
CARDS = [
    ROOT / "models" / "mobiiris" / "model_card.json",
    *sorted(EARLIER.rglob("model_card.json")),
]

TARGETS = {
    "image": Target("eye.image", _images, _mutated_image, _read_image),
    "tflite": Target("model.tflite", _files(*TFLITE), _mutated_tflite, _read_tflite),
    "keras": Target("model.keras", _files(*KERAS), _mutated_keras, _read_keras, in_suite=250),
    "card": Target("model_card.json", _files(*CARDS), mutations.of_json, _read_card),
    "calibration": Target("camera.json", _calibration, mutations.of_json, _read_calibration),
    "template": Target("eye.npz", _template, _mutated_arrays, _read_template),
    "gallery": Target("gallery.npz", _gallery, _mutated_arrays, _read_gallery),
    "sealed": Target("eye.npz", _sealed, mutations.of_bytes, _read_sealed),
    "resealed": Target("eye.npz", _template, _resealed, _read_resealed),
    "key": Target("key", _key_file, mutations.of_bytes, _read_key),
    "manifest": Target(
        "manifest.csv", _files(RUN / "manifest.csv"), mutations.of_table, _read_manifest
    ),
    "failures": Target(
        "failures.csv", _files(EARLIER / "pipeline" / "dataset" / "failures.csv"),
        mutations.of_table, _read_failures,
    ),
    **{
        f"{kind}_recipe": _recipe_target(kind)
        for kind in ("training", "pipeline", "release", "segmenter")
    },
    "dataset": Target(
        "dataset.json", _files(EARLIER / "pipeline" / "dataset" / "dataset.json"),
        mutations.of_json, _read_description,
    ),
    "history": Target(
        "history.csv", _files(RUN / "history.csv"), mutations.of_table, _read_history
    ),
    "state": Target("mutant.json", _state, mutations.of_json, _read_state),
    "environment": Target(
        "environment.json", _files(RUN / "environment.json"), mutations.of_json,
        _read_environment, in_suite=125,
    ),
    "splits": Target("splits.csv", _splits, mutations.of_table, _read_splits),
    "pairs": Target("genuine.csv", _pairs, mutations.of_table, _read_pairs),
    **EXCHANGE_TARGETS,
    **NETWORK_TARGETS,
}  # fmt: skip


class Hang(BaseException):
    """A reader that does not end."""


def _hang(number, frame):
    raise Hang


def run(name, seed, count, folder, note=lambda number: None):
    """Read the valid files of a format, which must succeed, and `count` mutants.

    Parameters
    ----------
    name : str
        A key of `TARGETS`.
    seed, count : int
        Mutant ``i`` depends on `seed` and ``i`` only.
    folder : Path
        An empty folder, in a folder of its own that must stay as it is.
    note : callable, optional
        Called with the number of each mutant before it is read.

    Returns
    -------
    accepted : int
        Number of mutants that were read without an error.
    defects : list of str
        What went wrong, with the number of the mutant.
    """
    target, accepted, defects = TARGETS[name], 0, []
    folder.mkdir(parents=True, exist_ok=True)
    originals = target.originals(folder)
    before = {number: signal.signal(number, _hang) for number in (signal.SIGALRM, signal.SIGPROF)}
    path = folder / target.name
    try:
        for content in originals:
            path.write_bytes(content if isinstance(content, bytes) else content[1])
            target.read(path)
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            path.write_bytes(target.mutate(originals[number % len(originals)], rng))
            note(number)
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            signal.alarm(WALL_SECONDS)
            try:
                target.read(path)
                accepted += 1
            except IrisTfError as error:
                text = str(error)
                if "\n" in text or len(text) > LONGEST_MESSAGE or not text.endswith((".", ").")):
                    defects.append(
                        f"{name} {seed} {number}: not one short sentence: {text[:300]!r}"
                    )
            except (Exception, Hang) as error:
                defects.append(f"{name} {seed} {number}: {type(error).__name__}: {error!s:.300}")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.alarm(0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return accepted, defects
