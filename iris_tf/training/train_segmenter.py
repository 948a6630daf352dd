"""Training of the bundled segmentation network on synthetic eyes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.segmenter_recipe import SegmenterRecipe, SegmenterStage
from iris_tf.networks.keras_files import load_keras_file
from iris_tf.networks.segmentation_network import build_segmentation_network
from iris_tf.objectives.mask_loss import MaskLoss
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.support.array_files import map_array
from iris_tf.support.errors import TrainingError
from iris_tf.support.files import atomic_path, replace_folder, write_json
from iris_tf.support.foreign_files import read_json
from iris_tf.support.parallel import run_in_processes
from iris_tf.support.progress import StageProgress
from iris_tf.synthetic.segmentation_samples import (
    COVERAGE_STEPS,
    PACKED,
    sample_size,
    write_samples,
)
from iris_tf.training.divergence import SEGMENTER_ADVICE, DivergenceCheck
from iris_tf.training.optimizer import OwnStepsAdamW
from iris_tf.training.saved_variables import load_variables, save_variables
from iris_tf.training.warmup_cosine import WarmupCosine

_EYES_PER_FILE = 250
_VALIDATION_FILES_FROM = 1_000_000  # file numbers seed the eyes; these are never trained on
_PREDICT_BATCH = 32


def write_sample_files(
    folder: Path,
    seed: int,
    eyes: int,
    height: int,
    looks: Sequence[str],
    first: int = 0,
    jobs: int = -1,
) -> list[Path]:
    """Render training samples into files; intact files of an earlier run are kept.

    Parameters
    ----------
    folder : Path
    seed, eyes : int
        Random seed and number of eyes.
    height : int
        Height of a sample, in pixels.
    looks : sequence of str
        Windows per eye, from `iris_tf.synthetic.segmentation_samples.LOOKS`.
    first : int, optional
        Number of the first file; together with `seed` it determines the eyes.
    jobs : int, optional
        Number of processes; -1 for one per core.

    Returns
    -------
    list of Path
        See `iris_tf.synthetic.segmentation_samples.draw_samples`.
    """
    lots = [min(_EYES_PER_FILE, eyes - start) for start in range(0, eyes, _EYES_PER_FILE)]
    # The number of eyes is part of the name, to distinguish a smaller last file from a full one.
    files = [
        folder / f"lessons-{seed}-{first + index:07d}-{lot}.npy" for index, lot in enumerate(lots)
    ]
    # Also files that a full disk or a power cut has left short.
    shapes = [(lot * len(looks), *sample_size(height), PACKED) for lot in lots]
    missing = [
        index
        for index, (file, shape) in enumerate(zip(files, shapes, strict=True))
        if map_array(file, shape, np.uint8) is None
    ]
    title = "Rendering training samples"
    with StageProgress(title, len(files), len(files) - len(missing)) as progress:
        calls = (
            joblib.delayed(write_samples)(
                files[index], seed, first + index, lots[index], height, looks
            )
            for index in missing
        )
        for _ in run_in_processes(calls, jobs, folder):
            progress.advance()
    return files


class SampleStore:
    """Training samples from several files, memory-mapped.

    Parameters
    ----------
    files : list of Path
    """

    def __init__(self, files: list[Path]):
        self._parts = [np.load(file, mmap_mode="r") for file in files]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Packed samples (n, height, width, 3), uint8, by index."""
        parts = np.searchsorted(self._starts, indices, side="right") - 1
        return np.stack(
            [
                self._parts[part][index - self._starts[part]]
                for part, index in zip(parts, indices, strict=True)
            ]
        )


def unpack(packed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Unpack samples (n, h, w, 3) into images (n, h, w, 1) and coverages (n, h, w, 4)."""
    halves = [part for byte in (packed[..., 1], packed[..., 2]) for part in (byte % 16, byte // 16)]
    targets = tf.stack([tf.cast(half, tf.float32) for half in halves], axis=-1)
    return tf.cast(packed[..., :1], tf.float32), targets / COVERAGE_STEPS


def _sample_batches(
    store: SampleStore, batch: int, seed: int, epochs: range
) -> Iterator[np.ndarray]:
    for epoch in epochs:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(store))
        for start in range(0, len(store) - batch + 1, batch):
            packed = store.take(order[start : start + batch])
            mirrored = rng.random(batch) < 0.5
            packed[mirrored] = packed[mirrored, :, ::-1]
            yield packed


@dataclass
class SegmenterRun:
    """Folder of one stage of segmenter training: samples, history and latest checkpoint."""

    path: Path

    @property
    def model(self) -> Path:
        """File of the network after the last completed epoch."""
        return self.path / "segmenter.keras"

    @property
    def samples(self) -> Path:
        """Folder of the samples, some gigabytes; rendered again if it is missing."""
        return self.path / "lessons"

    @property
    def state(self) -> Path:
        """Folder with the checkpoint needed to resume training."""
        return self.path / "checkpoint"

    def history(self) -> list[dict[str, float | None]]:
        """One entry per completed epoch."""
        file = self.state / "history.json"
        try:
            rows = read_json(file) if file.is_file() else []
        except ValueError:
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TrainingError(
                f"{file}: the state of the run is damaged; remove {self.path} and train again."
            )
        return rows


class _EachEpoch(keras.callbacks.Callback):
    """Validate after each epoch, and save network and optimiser atomically as one folder."""

    def __init__(self, run: SegmenterRun, validation: np.ndarray, progress: StageProgress):
        super().__init__()
        self.run, self.validation, self.progress = run, validation, progress
        self.rows = run.history()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.progress.advance(note=f"loss {float(logs['loss']):.4f}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        found = mask_overlap(self.model, self.validation)
        self.rows.append({"epoch": epoch + 1, "loss": float(logs["loss"]), **found})
        # The checkpoint is written last: a run killed in between repeats the epoch.
        with atomic_path(self.run.model) as temporary:
            self.model.save(temporary)
        with replace_folder(self.run.state) as folder:
            save_variables(folder / "variables.npz", _state(self.model))
            write_json(folder / "history.json", self.rows)


def mask_overlap(model: keras.Model, packed: np.ndarray) -> dict[str, float | None]:
    """Mean intersection over union of each channel, 0..1, over the samples that show it.

    None if no sample does.
    """
    overlaps: dict[str, list[float]] = {name: [] for name in CHANNELS}
    for start in range(0, len(packed), _PREDICT_BATCH):
        images, targets = unpack(tf.constant(packed[start : start + _PREDICT_BATCH]))
        found = model(images, training=False).numpy() > 0.0
        wanted = targets.numpy() > 0.5
        for index, name in enumerate(CHANNELS):
            common = (found & wanted)[..., index].sum(axis=(1, 2))
            either = (found | wanted)[..., index].sum(axis=(1, 2))
            shown = wanted[..., index].any(axis=(1, 2))
            overlaps[name].extend(common[shown] / either[shown])
    return {
        f"iou_{name}": float(np.mean(values)) if values else None
        for name, values in overlaps.items()
    }


def _state(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


def train_segmenter(recipe: SegmenterRecipe) -> SegmenterRun:
    """Train the segmentation network stage by stage; an interrupted training is resumed.

    Parameters
    ----------
    recipe : SegmenterRecipe

    Returns
    -------
    SegmenterRun
        Folder of the last stage.

    Raises
    ------
    DatasetError
        If a rendering process is killed; run again to resume.
    TrainingError
        If the training diverges.
    OSError
        If a file cannot be written.
    """
    before, first = None, 0
    for stage, run in zip(recipe.parts.values(), segmenter_runs(recipe), strict=True):
        _train_stage(recipe, stage, run, first, before)
        before = run
        first += math.ceil(stage.eyes / _EYES_PER_FILE)  # the next stage has other eyes
    return run


def segmenter_runs(recipe: SegmenterRecipe) -> list[SegmenterRun]:
    """Run folders of the stages of a training, named after the stages."""
    return [SegmenterRun(Path(recipe.run) / name) for name in recipe.parts]


def _train_stage(
    recipe: SegmenterRecipe,
    stage: SegmenterStage,
    run: SegmenterRun,
    first: int,
    before: SegmenterRun | None,
) -> None:
    done = len(run.history())
    if done >= stage.epochs:
        return
    keras.backend.clear_session()

    def samples(eyes: int, first: int) -> SampleStore:
        return SampleStore(
            write_sample_files(run.samples, recipe.seed, eyes, stage.height, stage.looks, first)
        )

    store = samples(stage.eyes, first)
    stored = samples(recipe.validation_eyes, _VALIDATION_FILES_FROM)
    validation = stored.take(np.arange(len(stored)))
    steps = len(store) // recipe.batch
    size = sample_size(stage.height)
    model = build_segmentation_network(size, len(CHANNELS), recipe.seed)
    if before:
        model.set_weights(load_keras_file(before.model).get_weights())
    rate = WarmupCosine(
        stage.learning_rate, stage.learning_rate / 100, recipe.warm_steps, steps * stage.epochs
    )
    model.compile(
        OwnStepsAdamW(rate, weight_decay=recipe.weight_decay, clipnorm=1.0),
        MaskLoss(),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    if done:
        load_variables(run.state / "variables.npz", _state(model))
    batches = tf.data.Dataset.from_generator(
        lambda: _sample_batches(store, recipe.batch, recipe.seed, range(done, stage.epochs)),
        output_signature=tf.TensorSpec((recipe.batch, *size, 3), tf.uint8),
    ).map(unpack, num_parallel_calls=1)
    title = f"Training segmenter, {run.path.name}"
    with StageProgress(title, steps * stage.epochs, steps * done) as progress:
        model.fit(
            batches.prefetch(4),
            epochs=stage.epochs,
            initial_epoch=done,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[
                DivergenceCheck(model, SEGMENTER_ADVICE),
                _EachEpoch(run, validation, progress),
            ],
        )
