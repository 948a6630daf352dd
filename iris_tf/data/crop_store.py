"""ROI crops of a prepared dataset, resized once and packed into one file.

Decoding thousands of small PNG files is slower than training a small network on them; gathering
from one memory-mapped array costs almost nothing.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.imaging.images import read_image, resize_roi
from iris_tf.support.array_files import map_array
from iris_tf.support.errors import DatasetError, ExtractionError
from iris_tf.support.files import atomic_path
from iris_tf.support.foreign_files import Inside
from iris_tf.support.progress import track

# Part of the name, so that copies packed by an older version are not reused.
_FORMAT = "iris_tf packed crops 1"


def load_rois(
    rows: Sequence[ManifestRow],
    dataset_dir: str | os.PathLike,
    size: tuple[int, int],
    channels: int = 1,
) -> np.ndarray:
    """Load all crops of `rows` at one size, from a packed copy that is created on first use.

    The copy is stored in ``dataset_dir/packed/``. Its name encodes the size, the list of crops
    and the length and modification time of each crop file. If crops have changed, their old
    copy is removed; copies of other lists are kept.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Rows with a `roi` path. Row ``i`` of the result belongs to ``rows[i]``.
    dataset_dir : path
        Folder of the manifest, which the `roi` paths are relative to.
    size : tuple of int
        Height and width in pixels.
    channels : {1, 3}, optional
        Of the dataset, see `iris_tf.data.manifest.read_settings`.

    Returns
    -------
    ndarray of shape (n_rows, height, width) or (n_rows, height, width, 3), uint8
        Read-only and memory-mapped; the latter with three channels.

    Raises
    ------
    DatasetError
        If there are no rows, a row has no crop, or a crop file is missing, not an image or not in
        the dataset's folder.
    OSError
        If the packed copy cannot be written, e.g. on a full disk.
    """
    dataset_dir, (height, width) = Path(dataset_dir), size
    if not rows:
        raise DatasetError(
            f"{dataset_dir}: there are no crops to load; check that the requested split of the "
            "manifest has images."
        )
    files = _crop_files(rows, dataset_dir)
    shape = (height, width) if channels == 1 else (height, width, channels)
    stem = f"{'x'.join(map(str, shape))}-{_hash(_FORMAT, *(row.roi for row in rows))}"
    packed = dataset_dir / "packed" / f"{stem}-{_hash(*map(_state, files))}.npy"
    if (stored := map_array(packed, (len(files), *shape), np.uint8)) is not None:
        return stored
    _pack(files, shape, packed)
    for outdated in set(packed.parent.glob(f"{stem}-*.npy")) - {packed}:
        outdated.unlink(missing_ok=True)
    return np.load(packed, mmap_mode="r")


def _crop_files(rows: Sequence[ManifestRow], dataset_dir: Path) -> list[Path]:
    for row in rows:
        if not row.roi:
            raise DatasetError(
                f"{dataset_dir}: the manifest names no ROI crop for {row.image}; "
                "run `iris-tf prepare` on the image folder."
            )
    dataset = Inside(dataset_dir)
    return [crop_path(row, dataset) for row in rows]


def crop_path(row: ManifestRow, dataset: Inside) -> Path:
    """Path of an image's crop, which lies in the dataset's folder.

    Raises
    ------
    DatasetError
        If it lies elsewhere, also through a link: a report on a dataset from others could show
        images of the user's own.
    """
    try:
        return dataset(row.roi)
    except ValueError as problem:
        raise DatasetError(
            f"{dataset.folder / 'manifest.csv'}: the ROI crop {problem}; move the crops into the "
            "dataset's folder, or run `iris-tf prepare` again."
        ) from None


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _state(file: Path) -> str:
    try:
        status = file.stat()
    except FileNotFoundError:
        raise DatasetError(
            f"{file}: the manifest names this ROI crop but there is no such file; "
            "run `iris-tf prepare` again."
        ) from None
    return f"{status.st_size} {status.st_mtime_ns}"


def read_crop(file: Path, channels: int = 1) -> np.ndarray:
    """Read one ROI crop of a dataset at its native size.

    Parameters
    ----------
    file : Path
        Crop file, as in the manifest column `roi`.
    channels : {1, 3}, optional
        Of the dataset.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8

    Raises
    ------
    DatasetError
        If the file is missing or damaged.
    """
    try:
        return read_image(file, channels).pixels
    except ExtractionError as error:
        raise DatasetError(
            f"{file}: this ROI crop cannot be read ({error}); delete it and run "
            "`iris-tf prepare` again."
        ) from error


def _pack(files: list[Path], shape: tuple[int, ...], packed: Path) -> None:
    size, channels = (shape[0], shape[1]), 1 if len(shape) == 2 else shape[2]
    # Written as a stream, not through a writable memory map: a full disk then raises an
    # OSError instead of killing the process with SIGBUS.
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *shape)}
    with atomic_path(packed) as temporary, open(temporary, "wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        # Decoding and resizing run without the GIL, so threads are enough.
        with ThreadPoolExecutor() as pool:
            crops = pool.map(lambda file: resize_roi(read_crop(file, channels), size), files)
            for crop in track(crops, f"Packing crops at {size[0]}x{size[1]}", len(files)):
                out.write(np.ascontiguousarray(crop, np.uint8).data)
