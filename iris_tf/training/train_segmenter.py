"""Training of the embedded segmentation network on samples of synthetic eyes."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.segmenter_recipe import SegmenterPart, SegmenterRecipe
from iris_tf.networks.segmentation_network import build_segmentation_network
from iris_tf.objectives.mask_loss import MaskLoss
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.support.files import atomic_path, replace_folder, write_json
from iris_tf.support.parallel import run_in_processes
from iris_tf.support.progress import StageProgress
from iris_tf.synthetic.segmentation_samples import (
    COVERAGE_STEPS,
    sample_size,
    write_samples,
)
from iris_tf.training.callbacks import check_finite
from iris_tf.training.optimizer import OwnStepsAdamW
from iris_tf.training.saved_variables import load_variables, save_variables
from iris_tf.training.warmup_cosine import WarmupCosine

_EYES_A_FILE = 250
_VALIDATION_FILES_FROM = 1_000_000  # file numbers seed the eyes: these are never trained on
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
    """Draw training samples into files, or resume an interrupted drawing.

    Parameters
    ----------
    folder : Path
    seed, eyes : int
    height : int
        Of a sample, in pixels.
    looks : sequence of str
        Samples of each eye, of `iris_tf.synthetic.segmentation_samples.LOOKS`.
    first : int, optional
        Number of the first file; together with `seed` it decides the eyes.
    jobs : int, optional
        Processes; -1 for one a core.

    Returns
    -------
    list of Path
        See `iris_tf.synthetic.segmentation_samples.draw_samples`.
    """
    lots = [min(_EYES_A_FILE, eyes - start) for start in range(0, eyes, _EYES_A_FILE)]
    # The number of eyes is part of the name: a last, smaller lot is no whole one.
    files = [
        folder / f"lessons-{seed}-{first + index:07d}-{lot}.npy" for index, lot in enumerate(lots)
    ]
    missing = [index for index, file in enumerate(files) if not file.exists()]
    with StageProgress("Drawing lessons", len(files), len(files) - len(missing)) as progress:
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
    """Training samples of several files, read from disk as needed.

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
        """Packed samples (n, height, width, 3), uint8, by number."""
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
    """Folder of one part of a segmenter's training: samples, history and newest state."""

    path: Path

    @property
    def model(self) -> Path:
        """The network after the last complete epoch."""
        return self.path / "segmenter.keras"

    @property
    def lessons(self) -> Path:
        """Folder of the samples, some gigabytes; made again where it is missing."""
        return self.path / "lessons"

    @property
    def state(self) -> Path:
        """Folder with all that a resumed training needs."""
        return self.path / "checkpoint"

    def history(self) -> list[dict[str, float | None]]:
        """One entry a complete epoch."""
        file = self.state / "history.json"
        return json.loads(file.read_text("utf-8")) if file.is_file() else []


class _EachEpoch(keras.callbacks.Callback):
    """Validate, and keep network and optimiser as one folder that appears by a rename."""

    def __init__(self, run: SegmenterRun, validation: np.ndarray, progress: StageProgress):
        super().__init__()
        self.run, self.validation, self.progress = run, validation, progress
        self.rows = run.history()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.progress.advance(note=f"loss {float(logs['loss']):.4f}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        found = mask_overlap(self.model, self.validation)
        self.rows.append({"epoch": epoch + 1, "loss": float(logs["loss"]), **found})
        check_finite(self.model, epoch)
        # The state last: a kill in between repeats the epoch.
        with atomic_path(self.run.model) as temporary:
            self.model.save(temporary)
        with replace_folder(self.run.state) as folder:
            save_variables(folder / "variables.npz", _state(self.model))
            write_json(folder / "history.json", self.rows)


def mask_overlap(model: keras.Model, packed: np.ndarray) -> dict[str, float | None]:
    """Mean intersection over union of each channel over samples that show it, 0..1.

    None where none does.
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
    """Train the segmentation network part by part, or go on at the epoch that was running.

    Parameters
    ----------
    recipe : SegmenterRecipe

    Returns
    -------
    SegmenterRun
        Of the last part.

    Raises
    ------
    DatasetError
        When a process that draws is killed; run again to go on.
    TrainingError
        When the training diverges.
    OSError
        When a file cannot be written.
    """
    before, first = None, 0
    for part, run in zip(recipe.parts.values(), segmenter_runs(recipe), strict=True):
        _train_part(recipe, part, run, first, before)
        before = run
        first += math.ceil(part.eyes / _EYES_A_FILE)  # the next part has other eyes
    return run


def segmenter_runs(recipe: SegmenterRecipe) -> list[SegmenterRun]:
    """The parts of a training, each in a folder of its name."""
    return [SegmenterRun(Path(recipe.run) / name) for name in recipe.parts]


def _train_part(
    recipe: SegmenterRecipe,
    part: SegmenterPart,
    run: SegmenterRun,
    first: int,
    before: SegmenterRun | None,
) -> None:
    done = len(run.history())
    if done >= part.epochs:
        return
    keras.backend.clear_session()

    def lessons(eyes: int, first: int) -> SampleStore:
        return SampleStore(
            write_sample_files(run.lessons, recipe.seed, eyes, part.height, part.looks, first)
        )

    store = lessons(part.eyes, first)
    stored = lessons(recipe.validation_eyes, _VALIDATION_FILES_FROM)
    validation = stored.take(np.arange(len(stored)))
    steps = len(store) // recipe.batch
    size = sample_size(part.height)
    model = build_segmentation_network(size, len(CHANNELS), recipe.seed)
    if before:
        model.set_weights(keras.saving.load_model(before.model, compile=False).get_weights())
    rate = WarmupCosine(
        part.learning_rate, part.learning_rate / 100, recipe.warm_steps, steps * part.epochs
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
        lambda: _sample_batches(store, recipe.batch, recipe.seed, range(done, part.epochs)),
        output_signature=tf.TensorSpec((recipe.batch, *size, 3), tf.uint8),
    ).map(unpack, num_parallel_calls=1)
    title = f"Training segmenter, {run.path.name}"
    with StageProgress(title, steps * part.epochs, steps * done) as progress:
        model.fit(
            batches.prefetch(4),
            epochs=part.epochs,
            initial_epoch=done,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[_EachEpoch(run, validation, progress)],
        )
