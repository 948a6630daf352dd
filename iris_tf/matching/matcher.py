"""How two sets of templates are compared."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from iris_tf.matching.phase_evidence import CodeSet, compare_codes
from iris_tf.support.errors import ModelError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import Levelling, ScoreModel


@dataclass(frozen=True, eq=False)
class DescribedTemplates:
    """Templates, with what scores need to know of each: computed once, compared many times.

    Attributes
    ----------
    learned : ndarray of shape (n, d)
        Learned components at unit length.
    codes : CodeSet
        Phase codes.
    """

    learned: np.ndarray
    codes: CodeSet

    @classmethod
    def of(
        cls,
        embeddings: np.ndarray,
        layout: PhaseCodeLayout,
        figures: np.ndarray | None = None,
        levelling: Levelling | None = None,
    ) -> Self:
        """Describe embeddings (n, D) with phase codes; for the others see `CodeSet.of`."""
        learned, codes = Matcher(layout).split(np.asarray(embeddings, np.float32))
        lengths = np.linalg.norm(learned, axis=1, keepdims=True)
        learned = learned / np.maximum(lengths, np.finfo(np.float32).tiny)
        return cls(learned, CodeSet.of(codes, layout, figures, levelling))

    def __len__(self) -> int:
        return len(self.learned)

    def __getitem__(self, chosen: slice | np.ndarray) -> Self:
        return type(self)(self.learned[chosen], self.codes[chosen])


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of every pair of two sets of templates.

    Attributes
    ----------
    values : ndarray of shape (n, m)
        Natural logarithms of the likelihood ratio same eye : different eyes; minus infinity
        where the pair is not conclusive, so that no decision in its favour can come of it.
    freedom : ndarray of shape (n, m)
        Degrees of freedom of each comparison, see
        `iris_tf.matching.phase_evidence.PhaseEvidence`.
    """

    values: np.ndarray
    freedom: np.ndarray


@dataclass(frozen=True)
class Matcher:
    """Compares embeddings by their cosine, with phase codes at their best rotation.

    An embedding is a learned component, followed by a phase code if `layout` describes one. The
    similarity of two is the scalar product of their learned components plus the largest scalar
    product of their phase codes over all rotations: head tilt rotates the iris, hence the search
    over shifts of Daugman (1993). As embeddings are unit vectors, it is a cosine.

    Parameters
    ----------
    layout : PhaseCodeLayout, optional
        Where the phase code lies and how far it is rotated, as in the model card. Without it
        similarity is the plain cosine of the embeddings.
    score_model : ScoreModel, optional
        Numbers of the model card by which pairs are scored. Without it there are similarities
        only.

    References
    ----------
    J. Daugman, "High confidence visual recognition of persons by a test of statistical
    independence", IEEE TPAMI 15(11), 1993.

    Examples
    --------
    >>> a, b = np.array([[0.6, 0.8]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> Matcher().similarities(a, b)
    array([[0.6, 0.8]])
    """

    layout: PhaseCodeLayout | None = None
    score_model: ScoreModel | None = field(default=None, compare=False)

    @classmethod
    def of_card(cls, card: ModelCard) -> Self:
        """Matcher for the embeddings of the model that a card describes."""
        return cls(card.phase, card.score)

    @property
    def has_scores(self) -> bool:
        """Whether pairs can be scored."""
        return self.layout is not None and self.score_model is not None

    @property
    def code_size(self) -> int:
        """Number of entries of the phase code; 0 without one."""
        return 0 if self.layout is None else self.layout.size

    def split(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split embeddings into learned component and phase code.

        Parameters
        ----------
        embeddings : ndarray of shape (n, D)

        Returns
        -------
        learned, codes : ndarray of shape (n, D - code_size), (n, code_size)
            Views of `embeddings`.
        """
        boundary = embeddings.shape[1] - self.code_size
        return embeddings[:, :boundary], embeddings[:, boundary:]

    def similarities(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Compare every template of one set with every template of another.

        Parameters
        ----------
        first, second : ndarray of shape (n, D), (m, D), float
            Embeddings: unit vectors.

        Returns
        -------
        ndarray of shape (n, m)
            Cosine similarities, -1..1 up to rounding.
        """
        if self.layout is None:
            return np.asarray(first) @ np.asarray(second).T
        (learned, codes), (other_learned, other_codes) = self.split(first), self.split(second)
        # One product per rotation, in float32, the precision in which networks computed the codes.
        codes, other_codes = (np.asarray(c, np.float32) for c in (codes, other_codes))
        best = np.full((len(first), len(second)), -np.inf, np.float32)
        for rotated in self.layout.rotated_codes(codes):
            np.maximum(best, rotated @ other_codes.T, out=best)
        return learned @ other_learned.T + best

    def paired_similarities(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Compare each template of one set with the template in the same row of another.

        Parameters
        ----------
        first, second : ndarray of shape (n, D), float
            Embeddings: unit vectors.

        Returns
        -------
        ndarray of shape (n,)
            Cosine similarities, -1..1 up to rounding.
        """
        if self.layout is None:
            return np.einsum("ij,ij->i", first, second)
        (learned, codes), (other_learned, other_codes) = self.split(first), self.split(second)
        best = np.full(len(first), -np.inf)
        for rotated in self.layout.rotated_codes(codes):
            np.maximum(best, np.einsum("ij,ij->i", rotated, other_codes), out=best)
        return np.einsum("ij,ij->i", learned, other_learned) + best

    def describe(
        self,
        embeddings: np.ndarray,
        figures: np.ndarray | None = None,
        transformed: bool = False,
        figures_of: Levelling | None = None,
    ) -> DescribedTemplates:
        """Compute what scores need to know of templates (n, D).

        Parameters
        ----------
        embeddings : ndarray of shape (n, D)
        figures : ndarray of shape (n, 2), optional
            `CodeSet.figures` of their phase codes, where they were kept.
        transformed : bool, optional
            Whether a keyed transform protects them, before which their phase codes were levelled.
        figures_of : Levelling, optional
            How the codes of `figures` were levelled. Figures of another levelling than this
            matcher's are computed again.

        Raises
        ------
        ModelError
            When the model card has no scores.
        """
        if self.layout is None or self.score_model is None:
            raise ModelError(
                "The model card has no scores; compare by similarity, or use a model whose card "
                "has them, such as the released one."
            )
        levelling = None if transformed else self.score_model.levelling
        known = figures if figures_of == levelling else None
        return DescribedTemplates.of(embeddings, self.layout, known, levelling)

    def scores(self, first: DescribedTemplates, second: DescribedTemplates) -> Scores:
        """Score every template of one set against every template of another.

        Unlike similarities, scores take into account how similar strangers on the same camera
        are, how much both templates show, and how sharp it is. They are symmetric, and rise with
        both similarities. Where the score model says so, phase codes are also compared at rotations
        beyond those of the layout: images rotated by any angle are found, but not by similarity.

        Parameters
        ----------
        first, second : DescribedTemplates
            From `describe`.
        """
        model = self.score_model
        assert model is not None  # else there are no described templates
        found = compare_codes(first.codes, second.codes, model.wide_share)
        cosines = first.learned @ second.learned.T
        learned = model.learned_weight * np.maximum(cosines - model.learned_from, 0.0)
        values = model.offset + model.slope * (found.evidence + learned)
        one, other = (
            part.codes.freedom < model.least_own_freedom(part.codes.coarseness)
            for part in (first, second)
        )
        values[(found.freedom < model.least_freedom) | np.logical_or.outer(one, other)] = -np.inf
        return Scores(values, found.freedom)

    def align(self, embedding: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Rotate an embedding's phase code to where it is most similar to a reference.

        Parameters
        ----------
        embedding, reference : ndarray of shape (D,)

        Returns
        -------
        ndarray of shape (D,)
            The embedding with its phase code rotated; unchanged without a phase code.
        """
        if self.layout is None:
            return embedding
        rotated = (self.layout.rotate(embedding[None], by)[0] for by in self.layout.rotations)
        return max(rotated, key=lambda candidate: float(candidate @ reference))
