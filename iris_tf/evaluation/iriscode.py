"""Open-Iris's IrisCode as a baseline without trainable weights (extra ``open-iris``).

Geometry, normalisation, Gabor filters and validators are those of Open-Iris's stock pipeline, on
the masks of the segmenter that also made the crops. Distances are those of its
``HammingDistanceMatcher`` with stock parameters, computed for many pairs at a time.
"""

import collections
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from iris_tf.config.names import NO_SEGMENTER
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.failures import FailedImage
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.imaging.images import read_eye
from iris_tf.preparation.source_images import SourceImages
from iris_tf.segmentation.open_iris_segmenter import failure_reason, ir_image, require_open_iris
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import EvaluationError, ExtractionError, IrisTfError
from iris_tf.support.files import real_path
from iris_tf.support.parallel import one_opencv_thread, run_in_processes
from iris_tf.support.progress import StageProgress

COLUMNS = 256  # of a code, around the eye
BITS = 64  # of a column: 2 filters, 16 rows, real and imaginary part

# Parameters of Open-Iris's matcher; a test compares them with the library's.
_SHIFT = 15  # largest rotation in columns, in either direction
_NORM_MEAN, _NORM_GRADIENT = 0.45, 0.00005

_CHUNK = 8  # images per task
_PROBES, _GALLERY = 256, 1024  # codes of a block: 290 MB unpacked


@dataclass(frozen=True)
class IrisCodes:
    """Templates of images, as packed bits.

    Attributes
    ----------
    codes, masks : ndarray of shape (n, 256, 8), uint8
        Code, and which of its bits are valid; each column of the code is 64 bits.
    images : ndarray of shape (n,), int64
        Index of the image of each template, rising.
    failures : dict of str to int
        Number of images without a template, by `FailureReason`.
    errors : dict of str to int
        The same images by the error of Open-Iris or of the segmenter.
    """

    codes: np.ndarray
    masks: np.ndarray
    images: np.ndarray
    failures: dict[str, int]
    errors: dict[str, int]


def pack_template(template: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pack the bits of an ``iris.IrisTemplate``.

    Parameters
    ----------
    template : iris.IrisTemplate
        Of the stock pipeline: codes and masks of shape (16, 256, 2) for each of 2 filters.

    Returns
    -------
    code, mask : ndarray of shape (256, 8), uint8
    """
    code, mask = (
        np.packbits(np.stack(bits).transpose(2, 0, 1, 3).reshape(COLUMNS, BITS), axis=1)
        for bits in (template.iris_codes, template.mask_codes)
    )
    return code, mask


@dataclass(frozen=True)
class IrisCodeBaseline:
    """Templates of a prepared dataset, and how they were made.

    Attributes
    ----------
    codes : IrisCodes
        The templates.
    version : str
        Version of Open-Iris.
    segmenter, segmenter_version : str
        Segmenter of the masks.
    """

    codes: IrisCodes
    version: str
    segmenter: str
    segmenter_version: str

    def failed(self, rows: Sequence[ManifestRow]) -> list[FailedImage]:
        """Those of the encoded images that gave no template; reasons are not matched to images."""
        without = np.setdiff1d(np.arange(len(rows)), self.codes.images)
        reasons = collections.Counter(self.codes.failures).elements()
        return [FailedImage(rows[i], reason) for i, reason in zip(without, reasons, strict=True)]


def iriscode_of_dataset(
    rows: Sequence[ManifestRow],
    prepared: PreparedSet,
    segmenter_model: str | Path | None = None,
    jobs: int = -1,
) -> IrisCodeBaseline:
    """Encode images of a prepared dataset with the masks that its crops were cut by.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Images of the dataset.
    prepared : PreparedSet
        The dataset, whose settings state the image folder and the segmenter.
    segmenter_model : str or Path, optional
        File with the segmenter's network, unless it was the built-in one.
    jobs : int
        Processes; -1 for one per core.

    Raises
    ------
    EvaluationError
        If the segmenter is not the one that made the crops, and as `encode_images`.
    DatasetError
        If an image is not the one that was prepared, and as `encode_images`.
    ModelError
        As `encode_images`.
    """
    version = require_open_iris("The baseline IrisCode")
    settings = prepared.settings
    if settings is None:
        raise EvaluationError(
            f"{prepared.manifest}: there is no dataset.json beside it, which states the folder of "
            "the eye images; prepare the dataset again."
        )
    if settings["segmenter"] == NO_SEGMENTER:
        raise EvaluationError(
            f"{prepared.manifest}: its crops were made without a segmenter, which IrisCode needs; "
            "prepare eye images with a segmenter, or leave out the baseline."
        )
    model = None if segmenter_model is None else str(real_path(segmenter_model))
    segmenter = segmenter_by_name(settings["segmenter"], model)
    wanted = settings.get("segmenter_version", segmenter.version)
    if segmenter.version != wanted:
        raise EvaluationError(
            f"{prepared.manifest}: the crops were cut by version {wanted} of the segmenter "
            f"{segmenter.name!r}, but this is {segmenter.version}; name its network with "
            "`--segmenter-model`, or prepare the dataset again."
        )
    SourceImages(prepared.manifest.parent, settings).require(rows)
    codes = encode_images(rows, settings["images"], segmenter.name, model, jobs)
    return IrisCodeBaseline(codes, version, segmenter.name, wanted)


def encode_images(
    rows: Sequence[ManifestRow],
    images: str | Path,
    segmenter: str,
    model: str | None = None,
    jobs: int = -1,
) -> IrisCodes:
    """Run Open-Iris's pipeline on eye images.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Images, of which `ManifestRow.image` is read.
    images : str or Path
        Folder that their paths are relative to.
    segmenter : str
        Key of ``SEGMENTERS``; one that finds the eyelids.
    model : str, optional
        File with the segmenter's network.
    jobs : int
        Processes; -1 for one per core.

    Returns
    -------
    IrisCodes

    Raises
    ------
    EvaluationError
        If the folder is missing or no image gives a template.
    ModelError, DatasetError
        If the segmenter cannot be used or does not find the eyelids, or a worker process is
        killed.
    """
    images = Path(images)
    if not images.is_dir():
        raise EvaluationError(
            f"{images}: the image folder that the dataset was prepared from is missing, and "
            "IrisCode needs the whole eye images; restore it, or prepare the dataset again."
        )
    paths = [images / row.image for row in rows]
    calls = (
        joblib.delayed(_encode_chunk)(paths[start : start + _CHUNK], segmenter, model)
        for start in range(0, len(paths), _CHUNK)
    )
    templates: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    failed: list[tuple[str, str]] = []
    with StageProgress("Encoding with Open-Iris", len(paths)) as progress:
        done = 0
        for chunk in run_in_processes(calls, jobs, images):
            for i, result in enumerate(chunk, start=done):
                if isinstance(result, _Failure):
                    failed.append((result.reason, result.error))
                else:
                    templates[i] = result
            done += len(chunk)
            progress.advance(len(chunk), note=f"{len(failed)} failed")
    failures = _counted(reason for reason, _ in failed)
    if not templates:
        reasons = ", ".join(f"{n} {reason}" for reason, n in failures.items())
        raise EvaluationError(
            f"{images}: Open-Iris made a template from none of the {len(paths)} images "
            f"({reasons}); leave out the baseline."
        )
    codes, masks = (np.stack(part) for part in zip(*templates.values(), strict=True))
    errors = _counted(error for _, error in failed)
    return IrisCodes(codes, masks, np.array(list(templates)), failures, errors)


@dataclass(frozen=True)
class _Failure:
    reason: str
    error: str


def _counted(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(collections.Counter(names).items()))


def _encode_chunk(
    paths: Sequence[Path], segmenter: str, model: str | None
) -> list[tuple[np.ndarray, np.ndarray] | _Failure]:
    with one_opencv_thread():
        pipeline = _cached_pipeline(segmenter, model)
        return [_encode(path, pipeline) for path in paths]


@functools.lru_cache(maxsize=1)
def _cached_pipeline(segmenter: str, model: str | None) -> Any:
    # Imports Open-Iris, which only this baseline needs.
    from iris_tf.segmentation.open_iris_node import open_iris_pipeline

    return open_iris_pipeline(segmenter, model)


def _encode(path: Path, pipeline: Any) -> tuple[np.ndarray, np.ndarray] | _Failure:
    try:
        pixels = read_eye(path).pixels
    except ExtractionError as error:
        return _Failure(str(error.reason), type(error).__name__)
    output = pipeline(ir_image(pixels))
    failed = pipeline.call_trace.get_error()
    if isinstance(failed, IrisTfError) and not isinstance(failed, ExtractionError):
        raise failed  # the same for every image, so not a failure of this one
    if failed is not None:
        return _Failure(str(failure_reason(failed)), type(failed).__name__)
    return pack_template(output["iris_template"])


def hamming_distances(codes: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Distances of all pairs of templates by Open-Iris's ``HammingDistanceMatcher``.

    With b disagreeing bits among m common unmasked bits, the normalised distance of a component
    is max(0, 0.45 - (0.45 - b / m) (0.00005 m + 1/2)). The distance of two templates is the mean
    of two terms: that of the whole code (all bits counted twice, as in the library), and the mean
    of those of its two halves (likewise) weighted by m; the minimum over rotations by -15 to 15
    columns is taken, limited to 1.

    The halves are those of the gallery's code, so the library's distance depends slightly on
    which image is the probe. Here it is the one with the smaller index, and the distance is used
    for both directions.

    Parameters
    ----------
    codes, masks : ndarray of shape (n, 256, 8), uint8
        See `IrisCodes`.

    Returns
    -------
    ndarray of shape (n, n), float32
        Symmetric, 0..1; the diagonal is 0.
    """
    n = len(codes)
    distances = np.zeros((n, n), np.float32)
    pairs = n * (n - 1) // 2
    with StageProgress("Comparing IrisCodes", pairs) as progress:
        for right in range(0, n, _GALLERY):
            gallery = _unpack(codes[right : right + _GALLERY], masks[right : right + _GALLERY])
            for top in range(0, min(right + _GALLERY, n), _PROBES):
                part = slice(top, top + _PROBES)
                block = _block(_unpack(codes[part], masks[part]), gallery)
                rows = np.arange(top, top + len(block))[:, None]
                columns = np.arange(right, right + block.shape[1])[None, :]
                above = rows < columns
                distances[part, right : right + _GALLERY][above] = block[above]
                progress.advance(int(above.sum()))
    for top in range(0, n, _GALLERY):  # in blocks, because a second whole copy may not fit
        below = slice(top, top + _GALLERY)
        distances[below, :top] = distances[:top, below].T
        block = distances[below, below]
        np.maximum(block, block.T.copy(), out=block)
    return distances


def _unpack(codes: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Valid bits as -1 and 1 (0 for others), and the mask as 0 and 1: (n, 256, 64) float32."""
    mask = np.unpackbits(masks, axis=-1).astype(np.float32)
    signs = np.unpackbits(codes, axis=-1).astype(np.float32) * 2.0 - 1.0
    return signs * mask, mask


def _block(
    probes: tuple[np.ndarray, np.ndarray], gallery: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Distances (probes, gallery), float64."""
    # With repeated columns each shift is a window, which needs no copy.
    wrapped = [np.concatenate([p[:, -_SHIFT:], p, p[:, :_SHIFT]], axis=1) for p in probes]
    half = COLUMNS // 2
    best = np.ones((len(probes[0]), len(gallery[0])))
    for shift in range(-_SHIFT, _SHIFT + 1):
        counts = []  # twice the differing and the common bits, of the second and the first half
        for begin in (half, 0):
            shifted = begin + _SHIFT - shift
            # Agreeing minus differing bits, and common bits.
            surplus, common = (
                _dot(probe[:, shifted : shifted + half], code[:, begin : begin + half])
                for probe, code in zip(wrapped, gallery, strict=True)
            )
            counts.append((common - surplus, 2.0 * common))
        np.minimum(best, _distance(*counts), out=best)
    return best


def _dot(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    # Integers below 2**24 are exact in float32.
    product = probes.reshape(len(probes), -1) @ gallery.reshape(len(gallery), -1).T
    return product.astype(np.float64)


def _distance(
    second: tuple[np.ndarray, np.ndarray], first: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Open-Iris's normalised distance of halves with (differing, common) bits; inf for none."""
    differing, common = second[0] + first[0], second[1] + first[1]
    halves = sum(
        # The library checks only the second half for common bits.
        np.where(second[1] > 0, _normalised(*part), _NORM_MEAN) * part[1]
        for part in (second, first)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = (_normalised(differing, common) + halves / common) / 2.0
    return np.where(common > 0, distance, np.inf)


def _normalised(differing: np.ndarray, common: np.ndarray) -> np.ndarray:
    share = np.divide(differing, common, out=np.zeros_like(common), where=common > 0)
    return np.maximum(0.0, _NORM_MEAN - (_NORM_MEAN - share) * (_NORM_GRADIENT * common + 0.5))
