"""What a recogniser has decided, and by which figures."""

from dataclasses import dataclass

from iris_tf.segmentation.quality import IrisQuality


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Attributes
    ----------
    similarity : float
        Cosine similarity of the two templates, -1..1; see `iris_tf.matching.matcher.Matcher`.
    threshold : float
        Least score, or least similarity, that is accepted as the same eye.
    operating_point : str or None
        Name of the threshold: of a score if it is one of `SCORE_RATES`, else of a similarity;
        None if it was given as a number, which is a similarity.
    same_eye : bool
        The decision: whether the score, or the similarity, reaches the threshold; never where the
        pair is inconclusive.
    quality : IrisQuality or None
        Quality of the probe; None if it was a crop.
    calibration : str or None
        Name of the calibration in use.
    score : float or None
        Natural logarithm of the likelihood ratio same eye : different eyes, minus infinity if
        inconclusive; None where there are no scores.
    inconclusive : str
        Why the templates do not show enough to decide, or ``""``; always ``""`` where there are no
        scores.
    """

    similarity: float
    threshold: float
    operating_point: str | None
    same_eye: bool
    quality: IrisQuality | None
    calibration: str | None
    score: float | None = None
    inconclusive: str = ""


@dataclass(frozen=True)
class Match:
    """One identity of a gallery, compared with a probe.

    Attributes
    ----------
    identity : str
        The identity.
    similarity : float
        Cosine similarity of its best image, -1..1: of those with a conclusive comparison, if there
        are any, the one of the highest score, or of the highest similarity in searches by these.
    image : str
        That image, or ``""`` if unknown.
    same_eye : bool
        The decision: whether the score, or the similarity, reaches the threshold; never where the
        comparison is inconclusive.
    score : float or None
        Score of that image, minus infinity if inconclusive; None in searches by similarity.
    inconclusive : str
        Why probe and image do not show enough to decide, or ``""``; always ``""`` where there are
        no scores.
    """

    identity: str
    similarity: float
    image: str
    same_eye: bool
    score: float | None = None
    inconclusive: str = ""


@dataclass(frozen=True)
class Identification:
    """Result of a search in a gallery.

    Attributes
    ----------
    matches : tuple of Match
        All identities, the one of the highest score or similarity first, those whose comparisons
        are inconclusive last; of a gallery folder, those among the candidates.
    threshold : float
        Least score, or least similarity, that is accepted as the same eye. With scores, it is
        raised such that the whole gallery shares the FMR of the operating point.
    operating_point : str or None
        Name of the threshold; None if it was given as a number.
    quality : IrisQuality or None
        Quality of the probe; None if it was a crop.
    calibration : str or None
        Name of the calibration in use.
    images : int
        Number of images that were searched.
    """

    matches: tuple[Match, ...]
    threshold: float
    operating_point: str | None
    quality: IrisQuality | None
    calibration: str | None
    images: int

    @property
    def identity(self) -> str | None:
        """The first identity if it reaches the threshold, else None."""
        return self.matches[0].identity if self.matches[0].same_eye else None

    @property
    def inconclusive(self) -> str:
        """Why nothing can be decided, if no comparison is conclusive, else ``""``."""
        return self.matches[0].inconclusive
