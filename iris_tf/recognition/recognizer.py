"""Iris recognition with one object: enrol, verify, identify."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.matching.calibration import Calibration
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import Origin, Template, unit
from iris_tf.recognition.cropper import Cropper, Picture
from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.errors import ExtractionError, FailureReason, ModelError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import RECOGNITION, released_model
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder


@dataclass(frozen=True)
class Verification:
    """Outcome of one comparison.

    Attributes
    ----------
    similarity : float
        Cosine of the two embeddings, -1..1; of phase codes, at their best turn.
    threshold : float
        Least similarity that counts as the same eye.
    operating_point : str
        Key of the thresholds.
    same_eye : bool
        The decision.
    quality : IrisQuality or None
        Of the probe; None when it was a crop.
    calibration : str or None
        Name of the calibration in use.
    """

    similarity: float
    threshold: float
    operating_point: str
    same_eye: bool
    quality: IrisQuality | None
    calibration: str | None


@dataclass(frozen=True)
class Match:
    """One identity of a gallery, compared with a probe.

    Attributes
    ----------
    identity : str
        The identity.
    similarity : float
        The greatest of its images, -1..1.
    image : str
        The image it belongs to; ``""`` where that is not known.
    same_eye : bool
        Whether it reaches the threshold.
    """

    identity: str
    similarity: float
    image: str
    same_eye: bool


@dataclass(frozen=True)
class Identification:
    """Outcome of a search.

    Attributes
    ----------
    matches : tuple of Match
        All identities, the most similar first.
    threshold : float
        Least similarity that counts as the same eye.
    operating_point : str
        Key of the thresholds.
    quality : IrisQuality or None
        Of the probe; None when it was a crop.
    calibration : str or None
        Name of the calibration in use.
    """

    matches: tuple[Match, ...]
    threshold: float
    operating_point: str
    quality: IrisQuality | None
    calibration: str | None

    @property
    def identity(self) -> str | None:
        """The most similar identity if it reaches the threshold, else None."""
        return self.matches[0].identity if self.matches[0].same_eye else None


class IrisRecognizer:
    """Recognise eyes in near-infrared images, offline and without TensorFlow.

    How to segment and crop and where to decide is read from the model card beside
    the model. One object may be used from several threads at once; results are those of one
    thread.

    Parameters
    ----------
    model : str or Path, optional
        A ``.tflite`` file with its card; None for the released one.
    threads : int, optional
        Threads that LiteRT may use.
    calibration : str or Path, optional
        A file of `iris-tf calibrate` for this very model.

    Attributes
    ----------
    model : Path
        The ``.tflite`` file.
    card : ModelCard
        The model's card.
    matcher : Matcher
        Compares embeddings as the card says.
    calibration : Calibration or None
        The calibration in use.
    origin : Origin
        What templates made here carry, so that only like ones are compared.
    thresholds : dict of str to float
        The calibration's, or else the card's.

    Raises
    ------
    ModelError
        When model, card or calibration cannot be used, or do not belong together.

    Examples
    --------
    >>> from iris_tf import IrisRecognizer
    >>> recognizer = IrisRecognizer()  # doctest: +SKIP
    >>> template = recognizer.enroll("eye.png")  # doctest: +SKIP
    >>> recognizer.verify(template, "other.png").same_eye  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | None = None,
        threads: int = 1,
        calibration: str | Path | None = None,
    ):
        self.model = released_model(RECOGNITION) if model is None else Path(model)
        self.card = ModelCard.beside(self.model)
        self.matcher = Matcher.of_card(self.card)
        self._embedder = TFLiteEmbedder(self.model, threads)
        self._crop = Cropper(self.card.segmenter, self.card.roi_mode, self.card.segmenter_version)
        self.calibration: Calibration | None = None
        self.thresholds = self.card.thresholds
        self.origin = Origin(self.card.name, self.card.files[self.model.name].sha256)
        if calibration is not None:
            self._use(calibration)

    def _use(self, path: str | Path) -> None:
        calibration = Calibration.read(path)
        learned_size = self.card.embedding_size - self.matcher.code_size
        if (
            calibration.model_sha256 != self.origin.model_sha256
            or len(calibration.matrix) != learned_size
        ):
            raise ModelError(
                f"{path}: this calibration is of another model file ({calibration.model}, SHA-256 "
                f"{calibration.model_sha256[:12]}) than {self.model}; make one for this "
                "model with `iris-tf calibrate`."
            )
        # The file may be the same: how codes are compared is in the card alone.
        if calibration.matcher != self.matcher:
            raise ModelError(
                f"{path}: when this calibration was made, {self.model} compared its phase codes "
                "otherwise than its card says now, so the thresholds do not hold; make it again "
                "with `iris-tf calibrate`."
            )
        self.calibration = calibration
        self.thresholds = calibration.impostors.thresholds
        self.origin = dataclasses.replace(self.origin, calibration=calibration.id)

    def enroll(self, images: Picture | Sequence[Picture], kind: str = "auto") -> Template:
        """Make a template of one or several images of one eye.

        Parameters
        ----------
        images : str, Path, ndarray of shape (height, width), uint8, or a sequence of these
            Near-infrared images of the eye, or its crops. The template of several is
            their mean embedding, brought to length 1; phase codes are turned to fit the
            first image's before.
        kind : {"auto", "eye", "roi"}
            What the images are, see `iris_tf.recognition.cropper.Cropper`.

        Raises
        ------
        ExtractionError
            When an image cannot be read or shows no usable iris; ``reason`` says why.
        """
        embeddings, qualities = self._embed(images, kind)
        if not len(embeddings):
            raise ExtractionError(
                FailureReason.UNREADABLE, "There is no image to enrol; give at least one."
            )
        return Template(self._template_embedding(embeddings), self.origin, _mean(qualities))

    def embed(self, images: Picture | Sequence[Picture], kind: str = "auto") -> np.ndarray:
        """Embed images, one by one.

        Parameters
        ----------
        images, kind
            See `enroll`.

        Returns
        -------
        ndarray of shape (n, D), float32
            Unit vectors; with a calibration, adapted by it.

        Raises
        ------
        ExtractionError
            When an image cannot be read or shows no usable iris.
        """
        return self._embed(images, kind)[0]

    def similarities(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Compare embeddings of `embed`, every one of a set with every one of another.

        Parameters
        ----------
        first, second : ndarray of shape (n, D), (m, D), float32

        Returns
        -------
        ndarray of shape (n, m)
            Cosine similarities, -1..1; see `iris_tf.matching.matcher.Matcher`.
        """
        return np.clip(self.matcher.similarities(first, second), -1.0, 1.0)

    def verify(
        self,
        template: Template,
        probe: Picture | Sequence[Picture] | Template,
        operating_point: str = "far_1e-2",
        kind: str = "auto",
    ) -> Verification:
        """Decide whether a probe shows the eye of a template.

        Parameters
        ----------
        template : Template
            From `enroll`.
        probe : image, sequence of images, or Template
            See `enroll`.
        operating_point : str
            Key of `thresholds`.
        kind : {"auto", "eye", "roi"}
            What the probe is.

        Raises
        ------
        ExtractionError
            When the probe cannot be used.
        ModelError
            When a template is of another model or calibration, or there is no such
            operating point.
        """
        threshold = self.threshold(operating_point)
        self.origin.require(template.origin, "The template")
        probe = self._probe(probe, kind)
        [[found]] = self.similarities(template.embedding[None], probe.embedding[None])
        similarity = float(found)
        return Verification(
            similarity,
            threshold,
            operating_point,
            similarity >= threshold,
            probe.quality,
            self._calibration_name,
        )

    def identify(
        self,
        probe: Picture | Sequence[Picture] | Template,
        gallery: Gallery | Mapping[str, Template],
        operating_point: str = "far_1e-3",
        kind: str = "auto",
    ) -> Identification:
        """Search a probe among enrolled eyes.

        Every enrolled image is one more chance of a false match, hence the stricter
        operating point.

        Parameters
        ----------
        probe : image, sequence of images, or Template
            See `enroll`.
        gallery : Gallery, or mapping of identity to Template
            The enrolled eyes.
        operating_point : str
            Key of `thresholds`.
        kind : {"auto", "eye", "roi"}
            What the probe is.

        Raises
        ------
        ExtractionError, ModelError
            As for `verify`.
        """
        threshold = self.threshold(operating_point)
        if not isinstance(gallery, Gallery):
            gallery = Gallery.of_templates(gallery)
        self.origin.require(gallery.origin, "The gallery")
        probe = self._probe(probe, kind)
        found = gallery.best_of_each(probe.embedding, self.matcher)
        matches = tuple(
            Match(identity, similarity, image, similarity >= threshold)
            for identity, similarity, image in found
        )
        return Identification(
            matches, threshold, operating_point, probe.quality, self._calibration_name
        )

    def threshold(self, operating_point: str) -> float:
        """Least similarity that counts as the same eye.

        Raises
        ------
        ModelError
            When there is no such operating point.
        """
        if operating_point not in self.thresholds:
            source = self.card.name if self.calibration is None else self.calibration.name
            raise ModelError(
                f"{source}: there is no threshold for the operating point {operating_point!r}; "
                f"choose one of {', '.join(sorted(self.thresholds))}."
            )
        return self.thresholds[operating_point]

    @property
    def _calibration_name(self) -> str | None:
        return None if self.calibration is None else self.calibration.name

    def _probe(self, probe: Picture | Sequence[Picture] | Template, kind: str) -> Template:
        if not isinstance(probe, Template):
            return self.enroll(probe, kind)
        self.origin.require(probe.origin, "The probe")
        return probe

    def _template_embedding(self, embeddings: np.ndarray) -> np.ndarray:
        """Mean (D,) of embeddings (n, D), aligned to the first, at unit length."""
        first, *rest = embeddings
        if not rest:
            return first
        aligned = [first, *(self.matcher.align(embedding, first) for embedding in rest)]
        return unit(np.mean(aligned, axis=0))

    def _embed(
        self, images: Picture | Sequence[Picture], kind: str
    ) -> tuple[np.ndarray, list[IrisQuality]]:
        """Embeddings of all images, and the quality of those that are eye images."""
        pictures = [images] if isinstance(images, str | Path | np.ndarray) else images
        qualities = []

        def rois():
            for picture in pictures:
                crop = self._crop(picture, kind)
                if crop.quality is not None:
                    qualities.append(crop.quality)
                yield crop.roi

        embeddings = self._embedder.embed(rois())
        if self.calibration is not None:
            embeddings = self.calibration.adapt(embeddings)
        return embeddings, qualities


def _mean(qualities: list[IrisQuality]) -> IrisQuality | None:
    if not qualities:
        return None
    figures = np.mean([dataclasses.astuple(quality) for quality in qualities], axis=0)
    return IrisQuality(*figures.tolist())
