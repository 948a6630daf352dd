"""Open-Iris's segmentation network as a segmenter (extra ``open-iris``).

The network predicts four classes, independently of each other: eyeball, iris (including the
pupil), pupil and eyelashes. The `iris_mask` and `pupil_mask` of MobiIris Algorithm 1 are the
binarised classes ``filled_iris_mask`` and ``pupil_mask`` of Open-Iris.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.plausibility import (
    check_geometry,
    check_visible,
    expected_overlap,
)
from iris_tf.segmentation.polar import fit_ellipse
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError, FailureReason, ModelError, first_line
from iris_tf.support.files import real_path, sha256
from iris_tf.support.machine import package_version

HUB_FILE = "iris_semseg_upp_scse_mobilenetv2.onnx"
INPUT_SIZE = (640, 480)  # (width, height) to which the library resizes every image
_CHANNELS = 3

_BUFFER = 0.01  # of the iris diameter: closer to eyelids or eyelashes, an edge is theirs
_MIN_FREE = 0.2  # share of outline pixels that must be clear of eyelids and eyelashes
# Masks of a network are smooth, so the ellipse needs little regularisation towards a circle.
_PUPIL_RIDGE, _IRIS_RIDGE = 0.002, 0.01

_REASONS = {
    "GeometryEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "GeometryRefinementError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "EyeCentersEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "EyeCentersInsideImageValidatorError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "EyeOrientationEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "ExtrapolatedPolygonsInsideImageValidatorError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "IsPupilInsideIrisValidatorError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "PupilIrisPropertyEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "Pupil2IrisValidatorErrorConstriction": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "Pupil2IrisValidatorErrorDilation": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "Pupil2IrisValidatorErrorOffcenter": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "OffgazeEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "BoundingBoxEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "NormalizationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
    "OcclusionError": FailureReason.OCCLUDED,
    "MaskTooSmallError": FailureReason.LOW_QUALITY,  # an earlier node accepted the occlusion
    "SharpnessEstimationError": FailureReason.LOW_QUALITY,
}
_VECTORIZATION_REASONS = {  # one exception class covers three causes
    "Geometry raster verification failed": FailureReason.NO_IRIS,
    "No contour hierarchy found": FailureReason.NO_PUPIL,  # there is an iris, so no pupil
    "Number of contours must be equal to 1": FailureReason.IMPLAUSIBLE_GEOMETRY,
}


def failure_reason(error: Exception) -> FailureReason:
    """Map an exception of the Open-Iris pipeline to a `FailureReason`.

    Parameters
    ----------
    error : Exception
        The exception raised by a node, which the pipeline's call trace holds.

    Returns
    -------
    FailureReason
        ``INTERNAL`` for errors that no valid image can cause.
    """
    if isinstance(error, ExtractionError):
        return error.reason
    if type(error).__name__ == "VectorizationError":
        for text, reason in _VECTORIZATION_REASONS.items():
            if text in str(error):
                return reason
    return _REASONS.get(type(error).__name__, FailureReason.INTERNAL)


def require_open_iris(purpose: str) -> str:
    """Return the version of Open-Iris, or raise an error that says what needs it.

    Parameters
    ----------
    purpose : str
        Subject of the error message, e.g. ``"The segmenter 'open-iris'"``.

    Raises
    ------
    ModelError
        If Open-Iris is not installed.
    """
    version = package_version("open-iris")
    if version is None:  # an import would not do: another package is named iris as well
        raise ModelError(
            f"{purpose} needs the library Open-Iris, which is not installed; "
            "install the package with its extra, iris_tf[open-iris]."
        )
    return version


def ir_image(pixels: np.ndarray) -> Any:
    """Wrap an image in the input type of Open-Iris.

    Parameters
    ----------
    pixels : ndarray of shape (height, width), uint8

    Returns
    -------
    iris.IRImage
        Labelled as a left eye, which affects only the metadata of the result.
    """
    import iris

    return iris.IRImage(img_data=pixels, image_id=None, eye_side="left")


def largest_region(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected component of a mask.

    Parameters
    ----------
    mask : ndarray of shape (height, width), bool

    Returns
    -------
    ndarray of shape (height, width), bool
        All False if the mask is.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count == 1:
        return np.zeros(mask.shape, bool)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


class OpenIrisSegmenter:
    """Segment eyes with Open-Iris's ``MultilabelSegmentation`` and binarisation.

    Outlines are ellipses fitted to the edges of the largest pupil and iris components,
    excluding edge points at eyelids, eyelashes and the image border. (Open-Iris itself
    rejects masks with further components over 3 % of the largest.)
    `SegmentedEye.iris_minus_pupil` is exactly ``filled_iris_mask & ~pupil_mask``, all
    components included, because that is the input of Algorithm 1 in the paper. `visible`
    also excludes the eyelashes and reflections that Open-Iris detects.

    The confidence is the expected intersection over union with the ground truth, from the
    network's own probabilities and assuming independent pixels: the sum of the probabilities
    inside a region, divided by the number of its pixels plus the sum of the probabilities
    outside. It is the lower of the values for pupil and iris.

    Parameters
    ----------
    model : Path, optional
        ONNX file with the interface of Open-Iris: input (1, 3, 480, 640), output
        (1, 4, 480, 640), probabilities. None: Open-Iris's own network, which the library
        downloads from its hub on first use.

    Raises
    ------
    ModelError
        If Open-Iris is not installed, or the network is missing or unusable.
    """

    name = "open-iris"

    def __init__(self, model: Path | None = None):
        library = require_open_iris("The segmenter 'open-iris'")
        self._model = _from_hub() if model is None else real_path(model)
        if not self._model.is_file():
            raise ModelError(
                f"{self._model}: there is no such file; give the ONNX file of a segmentation "
                "network of Open-Iris."
            )
        self.version = f"{library}-{sha256(self._model)[:8]}"
        self._nodes: dict[str, Any] | None = None
        self._load()  # fail early if the file is unusable

    def __getstate__(self) -> dict[str, Any]:
        # ONNX sessions cannot be pickled; each process creates its own.
        return self.__dict__ | {"_nodes": None}

    def __call__(self, image: np.ndarray) -> SegmentedEye:
        """Segment one eye; see `Segmenter`."""
        import iris

        segmentation = self.segmentation_map(image)
        nodes = self._load()
        geometry, lashes = nodes["binarisation"](segmentation)
        reflections = nodes["reflections"](ir_image(image))
        noise = iris.NoiseMaskUnion()([lashes, reflections]).mask
        filled_iris, opening = geometry.filled_iris_mask, geometry.filled_eyeball_mask

        for mask, part, reason in (
            (geometry.iris_mask, "iris", FailureReason.NO_IRIS),
            (geometry.pupil_mask, "pupil", FailureReason.NO_PUPIL),
        ):
            if not mask.any():
                raise ExtractionError(
                    reason, f"The network of Open-Iris found no {part} in the image."
                )
        iris_region, pupil_region = largest_region(filled_iris), largest_region(geometry.pupil_mask)
        pupil, limbus = _outlines(pupil_region, iris_region, opening, noise)
        check_geometry(pupil, limbus, image.shape)
        iris_minus_pupil = filled_iris & ~geometry.pupil_mask
        ring = limbus.mask(image.shape) & ~pupil.mask(image.shape)
        visible = iris_minus_pupil & ~noise & ring
        check_visible(pupil, limbus, visible)
        iris_p, pupil_p = (
            np.clip(segmentation.predictions[..., segmentation.index_of(name)], 0.0, 1.0)
            for name in ("iris", "pupil")
        )
        confidence = min(
            expected_overlap(np.maximum(iris_p, pupil_p), iris_region),
            expected_overlap(pupil_p, pupil_region),
        )
        return SegmentedEye(pupil, limbus, visible, confidence, opening, iris_minus_pupil)

    def segmentation_map(self, image: np.ndarray) -> Any:
        """Return the network's probabilities at image size, in Open-Iris's ``SegmentationMap``.

        Parameters
        ----------
        image : ndarray of shape (height, width), uint8

        Returns
        -------
        iris.SegmentationMap
            Predictions of shape (height, width, 4): eyeball, iris, pupil, eyelashes.
        """
        return self._load()["segmentation"](ir_image(image))

    def _load(self) -> dict[str, Any]:
        """Return this process's Open-Iris nodes up to the masks, created on first use."""
        if self._nodes is None:
            import iris

            self._nodes = {
                "segmentation": _segmentation_node(self._model),
                "binarisation": iris.MultilabelSegmentationBinarization(),
                "reflections": iris.SpecularReflectionDetection(),
            }
        return self._nodes


def _from_hub() -> Path:
    from huggingface_hub import hf_hub_download
    from iris.nodes.segmentation.multilabel_segmentation_interface import (
        MultilabelSemanticSegmentationInterface as Interface,
    )

    try:
        path = hf_hub_download(
            repo_id=Interface.HUGGING_FACE_REPO_ID,
            cache_dir=Interface.MODEL_CACHE_DIR,
            filename=HUB_FILE,
        )
    except (OSError, ValueError):  # covers errors of the hub, the network and the cache folder
        raise ModelError(
            f"Open-Iris's network {HUB_FILE} is not on this machine and cannot be fetched from "
            f"the hub repository {Interface.HUGGING_FACE_REPO_ID}; connect to the network, name "
            "the file with `--segmenter-model FILE`, or use the embedded `--segmenter network`."
        ) from None
    return Path(path)


def _segmentation_node(model: Path) -> Any:
    import onnxruntime
    from iris.nodes.segmentation.onnx_multilabel_segmentation import ONNXMultilabelSegmentation

    options = onnxruntime.SessionOptions()
    # The images are already processed in parallel, one process per core.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        node = ONNXMultilabelSegmentation(
            str(model), input_resolution=INPUT_SIZE, input_num_channels=_CHANNELS, denoise=True
        )
        session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
    # onnx, protobuf and onnxruntime share no exception base class.
    except Exception as error:
        raise ModelError(
            f"{model}: Open-Iris cannot load this network ({first_line(error)}); "
            "give the ONNX file of a segmentation network of Open-Iris."
        ) from error
    width, height = INPUT_SIZE
    for what, found, channels in (
        ("input", session.get_inputs()[0].shape, _CHANNELS),
        ("output", session.get_outputs()[0].shape, len(node.CLASSES_MAPPING)),
    ):
        wanted = (1, channels, height, width)
        # Dynamic axes are given by name.
        if len(found) != 4 or any(
            isinstance(f, int) and f != w for f, w in zip(found, wanted, strict=True)
        ):
            raise ModelError(
                f"{model}: the network's {what} has the shape {tuple(found)} and not {wanted}; "
                "give the ONNX file of a segmentation network of Open-Iris."
            )
    node.params = node.params.copy(update={"session": session})
    return node


def _outlines(
    pupil_region: np.ndarray, iris_region: np.ndarray, opening: np.ndarray, noise: np.ndarray
) -> tuple[Ellipse, Ellipse]:
    """Fit the pupil and limbus ellipses; `ExtractionError` if too little of an edge is visible."""
    diameter = 2.0 * float(np.sqrt(iris_region.sum() / np.pi))
    buffer = 2 * max(round(_BUFFER * diameter), 2) + 1
    whole = opening.astype(np.uint8)
    lid_edges = (whole - cv2.erode(whole, np.ones((3, 3), np.uint8))).astype(bool)
    covered = cv2.dilate((lid_edges | noise).astype(np.uint8), np.ones((buffer, buffer), np.uint8))
    pupil = _fit_outline(pupil_region, covered.astype(bool), _PUPIL_RIDGE)
    if pupil is None:
        raise ExtractionError(
            FailureReason.NO_PUPIL,
            "Eyelids, eyelashes or reflections occlude the edge of the pupil.",
        )
    limbus = _fit_outline(iris_region, covered.astype(bool), _IRIS_RIDGE)
    if limbus is None:
        raise ExtractionError(
            FailureReason.NO_IRIS,
            "Eyelids, eyelashes or the image border occlude the outer edge of the iris.",
        )
    return pupil, limbus


def _fit_outline(region: np.ndarray, covered: np.ndarray, ridge: float) -> Ellipse | None:
    contours, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    x, y = max(contours, key=len)[:, 0].T
    height, width = region.shape
    free = ~covered[y, x] & (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    if free.mean() < _MIN_FREE:
        return None
    fitted = fit_ellipse(x.astype(float), y.astype(float), free.astype(float), ridge)
    if fitted is None:
        return None
    found = fitted[0]
    # The contour passes through the centres of the outermost pixels, half a pixel inside the edge.
    return Ellipse(found.x, found.y, found.a + 0.5, found.b + 0.5, found.angle)
