"""Speed, memory and errors of searches in gallery folders of up to a million templates."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.benchmark.comparison_speed import peak_mib
from iris_tf.benchmark.scoring_recognizer import scoring_recognizer
from iris_tf.benchmark.template_population import BLOCK, TemplatePopulation
from iris_tf.config.names import SCORE_POINT, SCORE_RATES
from iris_tf.matching.gallery_files import GalleryFiles
from iris_tf.matching.gallery_folder import CANDIDATES, GalleryFolder
from iris_tf.matching.gallery_journal import EnrolledImage
from iris_tf.matching.phase_signs import nearest
from iris_tf.matching.template import Template
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.recognition.site_embeddings import SitePlan, site_embeddings
from iris_tf.support.errors import BenchmarkError
from iris_tf.support.progress import StageProgress

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Numbers of templates at which a growing gallery is searched."""

RATES = ("fmr_1e-2", "fmr_1e-3")
"""Operating points at which false positives are counted: at lower rates there would be none."""

_SITES = SitePlan(sites=4, eyes=60, images=2)
_TIMED = 20  # calls of each kind, at most
_STRANGERS = 1_000_000  # first block of eyes that are never enrolled


@dataclass(frozen=True)
class GalleryPlan:
    """What to measure.

    Attributes
    ----------
    sizes : sequence of int
        Numbers of templates, rising; multiples of 1,000.
    probes : int
        Searches for eyes that are enrolled, and as many for eyes that are not, at each size.
    exact : int
        Searches of each size that are repeated with every template compared.

    Raises
    ------
    BenchmarkError
        When a number cannot be.
    """

    sizes: Sequence[int] = SIZES
    probes: int = 1_000
    exact: int = 3

    def __post_init__(self) -> None:
        sizes = list(self.sizes)
        if not sizes or sizes != sorted(set(sizes)) or any(n < 1 or n % BLOCK for n in sizes):
            raise BenchmarkError(
                f"Sizes are {sizes}; give rising multiples of {BLOCK:,}, such as 1000,10000."
            )
        if not 0 < self.exact <= self.probes:
            raise BenchmarkError(
                f"There are {self.probes} probes, {self.exact} of them compared exactly; take at "
                "least 1 of them, and no more than there are."
            )


def measure_gallery(
    model: str | Path | None, folder: str | Path, plan: GalleryPlan
) -> dict[str, Any]:
    """Let a gallery grow, and search it at several sizes.

    Templates are drawn from those of generated eyes, see
    `iris_tf.benchmark.template_population`. Nothing else should run on the machine; processor time
    is given beside elapsed time in case something does.

    Parameters
    ----------
    model : str, Path or None
        See `IrisRecognizer`; its card needs scores.
    folder : str or Path
        Keeps embeddings of generated eyes and the gallery, so that an interrupted measurement
        continues; 2.7 GB at a million templates.
    plan : GalleryPlan

    Returns
    -------
    dict
        ``model`` and ``sizes``, a row for each size: see `_Measurement.row`.

    Raises
    ------
    ModelError
        When the model cannot be used, or its card has no scores.
    """
    recognizer = scoring_recognizer(model)
    folder = Path(folder)
    sites = list(site_embeddings(recognizer, _SITES, folder / "sites"))
    population = TemplatePopulation(sites, recognizer.matcher)
    gallery = GalleryFolder.make(folder / "gallery", recognizer.template_kind)
    measurement = _Measurement(recognizer, population, gallery, plan)
    rows = []
    for size in plan.sizes:
        speed = measurement.grow(size)
        rows.append(speed | measurement.row(size))
    return {"model": recognizer.card.name, "candidates": CANDIDATES, "sizes": rows}


class _Measurement:
    """Measurements of one growing gallery."""

    def __init__(
        self,
        recognizer: IrisRecognizer,
        population: TemplatePopulation,
        gallery: GalleryFolder,
        plan: GalleryPlan,
    ):
        self._recognizer, self._population = recognizer, population
        self._gallery, self._plan = gallery, plan

    def grow(self, size: int) -> dict[str, Any]:
        """Enrol blocks until there are `size` templates; how many a second, drawing left out."""
        before = len(self._gallery)
        if before > size or before % BLOCK:
            raise BenchmarkError(
                f"{self._gallery.path}: holds {before:,} templates, more than {size:,}; give "
                "another folder, or remove it."
            )
        seconds = processor = 0.0
        blocks = range(before // BLOCK, size // BLOCK)
        with StageProgress(f"Enrolling {size:,}", size) as progress, self._gallery.writing() as to:
            progress.advance(before)
            for block in blocks:
                embeddings = self._population.enrolled(block)
                images = [EnrolledImage(f"{block * BLOCK + n}") for n in range(BLOCK)]
                start = time.perf_counter(), time.process_time()
                to.add(images, embeddings)
                seconds += time.perf_counter() - start[0]
                processor += time.process_time() - start[1]
                progress.advance(BLOCK)
        added = BLOCK * len(blocks)
        return {
            "images": size,
            "enrolled_per_s": added / seconds if added else None,
            "enrolled_per_processor_s": added / processor if added else None,
        }

    def row(self, size: int) -> dict[str, Any]:
        """Figures of searches in the gallery of `size` templates.

        Times are in milliseconds, ``_cpu`` of processors, else elapsed: ``opening_ms``;
        ``search_ms`` of `IrisRecognizer.identify`; ``engine_ms``, of faiss alone, and ``ratio``,
        the processor time of the first over that of the second; ``exact_ms``, with every template
        compared. ``accepted`` of ``probes`` mated probes reach the threshold of the default
        operating point when they are compared with their mate; ``found`` of these are returned
        first. ``exact_same`` of ``exact`` searches return what the exact scan returns.
        ``false_positives`` by operating point: ``searches`` for eyes that are not enrolled,
        ``accepted`` of them, and ``claimed``.
        """
        mated = list(self._mated(size))
        probes = [probe for probe, _, _ in mated]
        opened = _timed(lambda _: len(GalleryFolder(self._gallery.path)), range(_TIMED))
        searched = _timed(self._identify, probes[:_TIMED])
        engine = _timed(self._engine(), probes[:_TIMED])
        exact = _timed(lambda probe: self._identify(probe, exact=True), probes[: self._plan.exact])
        found = [self._identify(probe) for probe in probes]
        threshold = found[0].threshold
        mates = [(f, str(eye)) for f, (_, eye, score) in zip(found, mated, strict=True)
                 if score >= threshold]  # fmt: skip
        return {
            "opening_ms": opened.elapsed,
            "search_ms": searched.elapsed,
            "search_ms_cpu": searched.processor,
            "engine_ms": engine.elapsed,
            "engine_ms_cpu": engine.processor,
            "ratio": searched.processor / engine.processor,
            "exact_ms": exact.elapsed,
            "exact_ms_cpu": exact.processor,
            "probes": len(found),
            "accepted": len(mates),
            "found": sum(one.identity == eye for one, eye in mates),
            "exact": len(exact.results),
            "exact_same": sum(
                one.identity == other.identity
                for one, other in zip(exact.results, found, strict=False)
            ),
            "false_positives": self._false_positives(),
            "peak_mib": peak_mib(),
            "bytes": sum(file.stat().st_size for file in self._gallery.path.iterdir()),
        }

    def _mated(self, size: int) -> Iterator[tuple[Template, int, float]]:
        """Probes of enrolled eyes, the number of the eye, and the score with its mate."""
        blocks = min(size // BLOCK, 10)
        each = -(-self._plan.probes // blocks)
        left = self._plan.probes
        for block in np.linspace(0, size // BLOCK - 1, blocks).astype(int).tolist():
            count = min(each, left)
            left -= count
            vectors = self._population.again(block, count)
            mates = [self._mate(block * BLOCK + n) for n in range(count)]
            for number, (vector, mate) in enumerate(zip(vectors, mates, strict=True)):
                score = self._recognizer.scores(vector[None], mate[None])[0, 0]
                yield self._template(vector), block * BLOCK + number, float(score)

    def _mate(self, eye: int) -> np.ndarray:
        """The template of an eye as the gallery gives it back."""
        return self._gallery.templates_of(str(eye)).embeddings[0]

    def _template(self, vector: np.ndarray) -> Template:
        return Template(vector, self._recognizer.origin)

    def _identify(self, probe: Template, exact: bool = False, point: str = SCORE_POINT) -> Any:
        return self._recognizer.identify(probe, self._gallery, point, exact=exact)

    def _engine(self) -> Callable[[Template], Any]:
        layout = self._recognizer.matcher.layout
        assert layout is not None
        with self._gallery.journal.snapshot() as snapshot:
            files = GalleryFiles(self._gallery.path, snapshot.generation, self._gallery.kind, None)
            signs = files.signs.rows(snapshot.slots)
        return lambda probe: nearest(probe.embedding[-layout.size :], signs, layout, CANDIDATES)

    def _false_positives(self) -> dict[str, dict[str, float]]:
        counts = dict.fromkeys(RATES, 0)
        count = self._plan.probes
        for start in range(0, count, BLOCK):
            vectors = self._population.enrolled(_STRANGERS + start // BLOCK)
            for vector in vectors[: count - start]:
                found = self._identify(self._template(vector), point=RATES[0])
                best = found.matches[0]
                assert best.score is not None  # a point of scores
                for rate in RATES:
                    model = self._recognizer.card.score
                    assert model is not None
                    counts[rate] += best.score >= model.threshold(rate, found.images)
        return {
            rate: {"searches": count, "accepted": accepted, "claimed": SCORE_RATES[rate]}
            for rate, accepted in counts.items()
        }


@dataclass(frozen=True)
class _Timing:
    """Median milliseconds of calls, and what they returned."""

    elapsed: float
    processor: float
    results: list[Any]


def _timed(call: Callable[[Any], Any], arguments: Sequence[Any]) -> _Timing:
    times: list[tuple[float, float]] = []
    results = []
    for argument in arguments:
        start = time.perf_counter(), time.process_time()
        results.append(call(argument))
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    elapsed, processor = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    return _Timing(elapsed, processor, results)
