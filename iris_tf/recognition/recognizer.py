"""Iris recognition by one object: enrolment, verification, identification."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import CARD_NAME, SCORE_RATES
from iris_tf.matching.calibration import Calibration
from iris_tf.matching.embeddings import Embeddings
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.gallery_folder import GalleryFolder
from iris_tf.matching.gallery_search import Comparisons, Search
from iris_tf.matching.gallery_shards import ShardedGallery
from iris_tf.matching.matcher import DescribedTemplates, Matcher
from iris_tf.matching.packed_embeddings import can_pack
from iris_tf.matching.template import Origin, Template, require_unit, unit
from iris_tf.matching.template_records import TemplateKind
from iris_tf.quantization.packed_file import PACKED_SUFFIX
from iris_tf.recognition.cropper import Cropper, EyeImageSource, name_of
from iris_tf.recognition.decisions import Identification, Match, Verification
from iris_tf.recognition.open_model import KerasEmbedder
from iris_tf.recognition.operating_points import OperatingPoints
from iris_tf.recognition.refusals import require_texture, warn_of_strangers, why_inconclusive
from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.errors import ArgumentError, ExtractionError, FailureReason, ModelError
from iris_tf.support.files import path_given
from iris_tf.support.foreign_files import shown
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import RECOGNITION, released_model
from iris_tf.tflite.score_model import ScoreModel
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

EyeImages = EyeImageSource | Sequence[EyeImageSource]
"""One or more eye images or ROI crops."""

AnyGallery = Gallery | GalleryFolder | ShardedGallery
"""What a probe is searched in."""


class IrisRecognizer:
    """Recognises irises in near-infrared eye images, offline and without TensorFlow.

    Segmenter, crop, comparison and thresholds are those of the model card beside the model.
    One object may be used from several threads at once, with the results of a single thread.

    Parameters
    ----------
    model : str or Path, optional
        A ``.tflite`` or ``.irq`` file with its card; by default the released model.
    threads : int, optional
        Threads that LiteRT may use for one image.
    calibration : str or Path, optional
        A file that `iris-tf calibrate` wrote for this model file.
    segmenter_model : str or Path, optional
        File with the segmenter's network, such as the released one in int8; by default that of
        the segmenter that the card names.

    Attributes
    ----------
    model : Path
        The ``.tflite`` file.
    card : ModelCard
        The model's card.
    matcher : Matcher
        Compares embeddings as the card prescribes.
    calibration : Calibration or None
        The calibration in use.
    origin : Origin
        Model and calibration of the templates made here; only templates of the same origin are
        compared.

    Raises
    ------
    ModelError
        When model, card, calibration or segmenter cannot be used or do not belong together.

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
        segmenter_model: str | Path | None = None,
    ):
        self.model = (
            released_model(RECOGNITION) if model is None else path_given(model, "The model")
        )
        self.card = ModelCard.beside(self.model)
        self.matcher = Matcher.of_card(self.card)
        self._threads, self._calibration_file = threads, calibration
        self._segmenter_model = segmenter_model
        self._embedder: TFLiteEmbedder | KerasEmbedder
        if self.model.suffix == PACKED_SUFFIX:
            self._embedder = KerasEmbedder.of_packed_file(self.model, self.card)
        else:
            self._embedder = TFLiteEmbedder(self.model, threads)
        self._crop = Cropper(
            self.card.segmenter,
            self.card.roi_mode,
            self.card.segmenter_version,
            self.card.channels,
            segmenter_model,
        )
        self._check_sizes()
        self.calibration: Calibration | None = None
        self._points = OperatingPoints.of_card(self.card)
        self.origin = Origin(self.card.name, self.card.files[self.model.name].sha256)
        if calibration is not None:
            self._use(calibration)

    def _check_sizes(self) -> None:
        said = (*self.card.input_size, self.card.embedding_size)
        found = (*self._embedder.input_size, self._embedder.embedding_size)
        if said != found:
            raise ModelError(
                f"{self.model}: takes crops of {found[0]}x{found[1]} and gives {found[2]} numbers, "
                f"but its {CARD_NAME} says {said[0]}x{said[1]} and {shown(said[2])}; copy model "
                "and card from one place again."
            )

    @property
    def thresholds(self) -> dict[str, float]:
        """Thresholds of the calibration or, without one, of the card, by operating point.

        Of scores for those in `SCORE_RATES`, of similarities for the others.
        """
        return self._points.thresholds

    @property
    def segmenter_version(self) -> str:
        """Version of the segmenter that crops eye images, which names its network, too."""
        return self._crop.segmenter_version

    def __reduce__(self) -> tuple[type, tuple]:
        # Interpreters cannot be pickled; another process makes its own.
        arguments = self.model, self._threads, self._calibration_file, self._segmenter_model
        return type(self), arguments

    def _use(self, path: str | Path) -> None:
        calibration = Calibration.read(path_given(path, "The calibration"))
        learned_size = self.card.embedding_size - self.matcher.code_size
        if (
            calibration.model_sha256 != self.origin.model_sha256
            or len(calibration.matrix) != learned_size
        ):
            raise ModelError(
                f"{path}: this calibration was made for another model file ({calibration.model}, "
                f"SHA-256 {calibration.model_sha256[:12]}) than {self.model}; make one for this "
                "model with `iris-tf calibrate`."
            )
        # The model file may be the same: how phase codes are compared is in the card alone.
        if calibration.matcher != self.matcher:
            raise ModelError(
                f"{path}: since this calibration was made, the card of {self.model} has changed "
                "how phase codes are compared, so the thresholds do not hold; make it again with "
                "`iris-tf calibrate`."
            )
        self.calibration = calibration
        # The scores of the card are those of its own learned components.
        self.matcher = dataclasses.replace(self.matcher, score_model=calibration.score)
        self._points = OperatingPoints.of_calibration(calibration)
        self.origin = dataclasses.replace(self.origin, calibration=calibration.id)

    @property
    def template_kind(self) -> TemplateKind:
        """What a gallery folder of the templates made here holds, see `GalleryFolder.make`."""
        model = self.matcher.score_model
        levelling = None if model is None else model.levelling
        return TemplateKind(self.origin, self.card.embedding_size, self.matcher.layout, levelling)

    def enroll(self, images: EyeImages, kind: str = "auto") -> Template:
        """Make a template from one or more images of one eye.

        Parameters
        ----------
        images : str, Path, ndarray of shape (height, width), uint8, or a sequence of these
            Near-infrared images of the eye, or ROI crops. The template of several is their mean
            embedding, scaled to unit length, after rotation of the phase codes to align with the
            first image's. A UserWarning names those that are like none of the others.
        kind : {"auto", "eye", "roi"}
            Whether these are eye images or crops, see `iris_tf.recognition.cropper.Cropper`.

        Raises
        ------
        ExtractionError
            When an image cannot be read, shows no usable iris or, where the card has scores, too
            little texture to tell eyes apart; ``reason`` tells which.
        """
        sources = list(_several(images))
        embeddings, qualities = self._embed(sources, kind)
        if not len(embeddings):
            raise ExtractionError(
                FailureReason.UNREADABLE, "There is no image to enrol; give at least one."
            )
        if len(sources) > 1 and self.has_scores:
            least = self.threshold("fmr_1e-2")
            warn_of_strangers(self.matcher, embeddings, [*map(name_of, sources)], least)
        layout = self.matcher.layout
        return Template(
            self._template_embedding(embeddings),
            self.origin,
            _mean(qualities),
            layout=layout if layout is not None and can_pack(layout) else None,
        )

    def embed(self, images: EyeImages, kind: str = "auto") -> Embeddings:
        """Embed images, one by one.

        Parameters
        ----------
        images, kind
            See `enroll`.

        Returns
        -------
        Embeddings
            n unit vectors of D numbers, float32, adapted by the calibration if there is one, with
            how they are compared. NumPy takes them for an array of shape (n, D).

        Raises
        ------
        ExtractionError
            As for `enroll`.
        """
        return Embeddings(self._embed(images, kind)[0], self.origin, self.matcher)

    def similarities(
        self, first: Embeddings | np.ndarray, second: Embeddings | np.ndarray
    ) -> np.ndarray:
        """Compare every embedding of one set with every embedding of another.

        Parameters
        ----------
        first, second : Embeddings, or ndarray of shape (n, D), (m, D), float32
            From `embed`, or arrays of such embeddings.

        Returns
        -------
        ndarray of shape (n, m)
            Cosine similarities, -1..1; see `iris_tf.matching.matcher.Matcher`.

        Raises
        ------
        ModelError
            When another model or calibration computed the embeddings.
        ArgumentError
            When these are no embeddings, or no unit vectors.
        """
        vectors = self._vectors(first, "first"), self._vectors(second, "second")
        return np.clip(self.matcher.similarities(*vectors), -1.0, 1.0)

    def _vectors(self, embeddings: Embeddings | np.ndarray, which: str) -> np.ndarray:
        """Array (n, D) of embeddings that were made here."""
        what = f"The {which} set of embeddings"
        if isinstance(embeddings, Embeddings):
            self.origin.require(embeddings.origin, what)
        array = np.asarray(embeddings)
        if array.shape == (0,):  # made of an empty list, where every image was refused
            return np.empty((0, self.card.embedding_size), np.float32)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ArgumentError(
                f"{what} has the shape {array.shape} and type {array.dtype}; give embeddings "
                "of `embed`, floating-point numbers with one row for each image."
            )
        self._require_size(array, what)
        require_unit(array, 2, what)
        return array

    @property
    def has_scores(self) -> bool:
        """Whether templates can be scored: the card, or the calibration in use, has scores."""
        return self.matcher.has_scores

    def scores(self, first: Embeddings | np.ndarray, second: Embeddings | np.ndarray) -> np.ndarray:
        """Score every embedding of one set against every embedding of another.

        Parameters
        ----------
        first, second : ndarray of shape (n, D), (m, D), float32
            Embeddings from `embed`.

        Returns
        -------
        ndarray of shape (n, m)
            Natural logarithms of the likelihood ratio same eye : different eyes; minus infinity
            where a pair shows too little to decide. See `iris_tf.matching.matcher.Scores`.

        Raises
        ------
        ModelError
            When there are no scores (`has_scores`), or another model or calibration computed the
            embeddings.
        ArgumentError
            When these are no embeddings.
        """
        self._require_scores()
        vectors = self._vectors(first, "first"), self._vectors(second, "second")
        return self.matcher.scores(*map(self.matcher.describe, vectors)).values

    def verify(
        self,
        template: EyeImages | Template,
        probe: EyeImages | Template,
        operating_point: str | float | None = None,
        kind: str = "auto",
    ) -> Verification:
        """Decide whether a probe shows the eye of a template.

        Parameters
        ----------
        template : image, sequence of images, or Template
            The enrolled eye; images are enrolled first, see `enroll`.
        probe : image, sequence of images, or Template
            See `enroll`.
        operating_point : str or float, optional
            Name of one of `thresholds`, or a least similarity; by default ``"fmr_1e-4"``; without
            scores ``"far_1e-3"``, or ``"far_1e-2"`` if too few comparisons support that. A number
            below the similarity of ``"far_1e-2"`` gives a UserWarning.
        kind : {"auto", "eye", "roi"}
            Whether images are eye images or crops.

        Raises
        ------
        ExtractionError
            When an image cannot be used.
        ModelError
            When a template was made with another model or calibration, the two are not protected
            by the same keyed transform, or there is no such operating point.
        """
        point = (
            self._points.default_for_verification if operating_point is None else operating_point
        )
        threshold = self._points.threshold_of_decision(point)
        origin = self._origin_with(probe)
        template = self._template(template, kind, "The template", origin)
        probe = self._template(probe, kind, "The probe", origin)
        score, problem = self._score(template, probe) if self.has_scores else (None, "")
        [[found]] = self.similarities(template.embedding[None], probe.embedding[None])
        similarity = float(found)
        decisive = score if score is not None and point in SCORE_RATES else similarity
        return Verification(
            similarity,
            threshold,
            _name_of(point),
            bool(decisive >= threshold and not problem),
            probe.quality,
            self._calibration_name,
            score,
            problem,
        )

    def _score(self, template: Template, probe: Template) -> tuple[float, str]:
        """Score of two templates, and why they are inconclusive, or ``""``."""
        first, second = self._described(template), self._described(probe)
        found = self.matcher.scores(first, second)
        [[score]], [[common]] = found.values, found.freedom
        own = {"template": _shown_by(first), "probe": _shown_by(second)}
        return float(score), why_inconclusive(self._score_model, own, common)

    def _described(self, eye: Template) -> DescribedTemplates:
        return self.matcher.describe(
            eye.embedding[None],
            None if eye.figures is None else eye.figures[None],
            bool(eye.origin.transform),
        )

    def identify(
        self,
        probe: EyeImages | Template,
        gallery: AnyGallery | Mapping[str, Template],
        operating_point: str | float | None = None,
        kind: str = "auto",
        exact: bool = False,
    ) -> Identification:
        """Search a gallery for the identity of a probe.

        Every enrolled image is one more chance of a false match. With scores, the threshold is
        therefore raised until the FMR of the operating point is that of the whole search; a
        threshold of similarities is stricter only by name. Images that show too little in common
        with the probe to decide rank last.

        Parameters
        ----------
        probe : image, sequence of images, or Template
            See `enroll`.
        gallery : Gallery, GalleryFolder, ShardedGallery, or mapping of identity to Template
            The enrolled templates. Of gallery folders with many images, only the candidates of
            the first stage are compared.
        operating_point : str or float, optional
            As for `verify`; by default ``"fmr_1e-4"``, or ``"far_1e-3"`` without scores.
        kind : {"auto", "eye", "roi"}
            Whether the probe is an eye image or a crop.
        exact : bool
            Whether a gallery folder has all its images compared: the reference for its candidates.

        Raises
        ------
        ExtractionError, ModelError
            As for `verify`.
        """
        point = self._points.default_for_search if operating_point is None else operating_point
        threshold = self._points.threshold_of_decision(point)
        by_score = self.has_scores and point in SCORE_RATES
        if not isinstance(gallery, Gallery | GalleryFolder | ShardedGallery):
            gallery = Gallery.of_templates(gallery)
        origin = self._origin_with(probe)
        origin.require(gallery.origin, "The gallery")
        if isinstance(gallery, Gallery):
            gallery.require_searchable()
            self._require_size(gallery.embeddings, "The gallery")
        probe = self._template(probe, kind, "The probe", origin)
        search = Search(probe.embedding, self.matcher, by_score, probe.figures, exact)
        found = self._compared(gallery, search, str(point))
        decisive, conclusive = found.decisive(search), found.conclusive
        if by_score:
            threshold = self._score_model.threshold(str(point), found.searched)
        best = found.best_of_identities(search)
        problems = self._problems(found, probe, best)
        matches = tuple(
            Match(
                found.identities[image],
                float(found.similarities[image]),
                found.images[image],
                bool(conclusive[image] and decisive[image] >= threshold),
                float(decisive[image]) if by_score else None,
                problems.get(image, ""),
            )
            for image in best
        )
        return Identification(
            matches,
            threshold,
            _name_of(point),
            probe.quality,
            self._calibration_name,
            found.searched,
        )

    def _problems(self, found: Comparisons, probe: Template, chosen: list[int]) -> dict[int, str]:
        """Why those of some comparisons that are inconclusive are, by their index."""
        if found.shown is None:
            return {}
        own, conclusive, problems = _shown_by(self._described(probe)), found.conclusive, {}
        for image in chosen:
            if not conclusive[image]:
                common, freedom, coarseness = found.shown[image].tolist()
                figures = {"probe": own, "enrolled image": (freedom, coarseness)}
                problems[image] = why_inconclusive(self._score_model, figures, common)
        return problems

    @property
    def _score_model(self) -> ScoreModel:
        """Scores of the calibration or, without one, of the card; only if there are any."""
        assert self.matcher.score_model is not None  # `has_scores`
        return self.matcher.score_model

    def _compared(self, gallery: AnyGallery, search: Search, point: str) -> Comparisons:
        """Compare a probe with a gallery's candidates; `point` is that of a search by score.

        Images rotated beyond the range of head tilts are rare, so they are looked for only if no
        other image reaches the threshold.
        """
        found = gallery.compared(search)
        if not search.by_score or not self._score_model.wide_share or search.exact:
            return found
        assert found.scores is not None  # `has_scores`
        reached = found.scores.max() >= self._score_model.threshold(point, found.searched)
        if reached or len(found) == found.searched:
            return found
        wide = gallery.compared(dataclasses.replace(search, wide=True))
        return Comparisons.joined([found, wide], found.searched)

    def threshold(self, operating_point: str | float) -> float:
        """Least score, or least similarity, that is accepted as the same eye.

        Parameters
        ----------
        operating_point : str or float
            Name of one of `thresholds`, or a least similarity itself, which is checked and
            returned.

        Raises
        ------
        ModelError
            When there is no such operating point.
        ArgumentError
            When the number is no similarity, -1..1.
        """
        return self._points.threshold(operating_point)

    def _require_scores(self) -> None:
        if not self.has_scores:
            raise ModelError(
                f"{self._points.source}: there are no scores; compare by `similarities`."
            )

    @property
    def _calibration_name(self) -> str | None:
        return None if self.calibration is None else self.calibration.name

    def _origin_with(self, probe: EyeImages | Template) -> Origin:
        """Origin that is comparable with a probe, which a keyed transform may protect."""
        transform = probe.origin.transform if isinstance(probe, Template) else ""
        return dataclasses.replace(self.origin, transform=transform)

    def _template(
        self, eye: EyeImages | Template, kind: str, what: str, origin: Origin
    ) -> Template:
        if not isinstance(eye, Template):
            enrolled = self.enroll(eye, kind)
            origin.require(enrolled.origin, what)
            return enrolled
        origin.require(eye.origin, what)
        require_unit(eye.embedding, 1, what)
        self._require_size(eye.embedding, what)
        return eye

    def _require_size(self, embeddings: np.ndarray, what: str) -> None:
        if embeddings.shape[-1] != self.card.embedding_size:
            raise ModelError(
                f"{what} has embeddings of {embeddings.shape[-1]} numbers, but {self.card.name} "
                f"gives {self.card.embedding_size}; enrol again."
            )

    def _template_embedding(self, embeddings: np.ndarray) -> np.ndarray:
        """Mean (D,) of embeddings (n, D), aligned to the first, at unit length."""
        first, *rest = embeddings
        if not rest:
            return first
        aligned = [first, *(self.matcher.align(embedding, first) for embedding in rest)]
        return unit(np.mean(aligned, axis=0))

    def _embed(self, images: EyeImages, kind: str) -> tuple[np.ndarray, list[IrisQuality]]:
        """Embeddings (n, D) of all images, and the quality of those that are eye images."""
        sources = _several(images)
        qualities, names = [], []

        def rois() -> Iterator[np.ndarray]:
            for source in sources:
                crop = self._crop(source, kind)
                if crop.quality is not None:
                    qualities.append(crop.quality)
                names.append(name_of(source))
                yield crop.roi

        embeddings = self._embedder.embed(rois())
        # A calibration of an earlier version has no scores, but its images need texture, too.
        scores = self.matcher.score_model or self.card.score
        if scores is not None and self.card.phase is not None:
            _, codes = self.matcher.split(embeddings)
            require_texture(scores, codes, self.card.phase, names)
        if self.calibration is not None:
            embeddings = self.calibration.adapt(embeddings)
        return embeddings, qualities


def _several(images: EyeImages) -> Iterable[Any]:
    """One image or several, which may come one after the other from a generator."""
    # Iterating over bytes gives numbers.
    single = str | Path | np.ndarray | bytes | bytearray
    if isinstance(images, single) or not isinstance(images, Iterable):
        return [images]
    return images


def _shown_by(eye: DescribedTemplates) -> tuple[float, float]:
    """Degrees of freedom and coarseness of one template's phase code."""
    return eye.codes.freedom.item(), eye.codes.coarseness.item()


def _name_of(operating_point: str | float) -> str | None:
    return operating_point if isinstance(operating_point, str) else None


def _mean(qualities: list[IrisQuality]) -> IrisQuality | None:
    if not qualities:
        return None
    figures = np.mean([dataclasses.astuple(quality) for quality in qualities], axis=0)
    return IrisQuality(*figures.tolist())
