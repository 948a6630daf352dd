"""Speed, memory and errors of searches in gallery folders of up to a million templates."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.benchmark.comparison_speed import peak_mib
from iris_tf.benchmark.gallery_log import (
    GalleryLog,
    SizeLog,
    missing,
    positive_rate,
    results,
    spread,
)
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
from iris_tf.support.version import __version__

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Numbers of templates at which a growing gallery is searched."""

RATES = ("fmr_1e-2", "fmr_1e-3", "fmr_1e-4")
"""Operating points at which false positives are counted."""

_SITES = SitePlan(sites=4, eyes=60, images=2)
_TIMED = 20  # calls of each kind, at most
_STRANGERS = 1_000_000  # first block of eyes that are never enrolled
_SAVED = 50  # searches after which results are kept
_MATED_BLOCKS = 10  # from which mated probes come
_LOWEST = -1e6  # a score that stands for minus infinity


@dataclass(frozen=True)
class GalleryPlan:
    """What to measure.

    Attributes
    ----------
    sizes : sequence of int
        Numbers of templates, rising; multiples of 1,000.
    probes : int
        Searches for eyes that are enrolled, at each size.
    exact : int
        Searches of each size that are repeated with every template compared.
    strangers : int
        Searches for eyes that are not enrolled, at each size.

    Raises
    ------
    BenchmarkError
        When a number cannot be.
    """

    sizes: Sequence[int] = SIZES
    probes: int = 1_000
    exact: int = 3
    strangers: int = 1_000

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
        if self.strangers < 1:
            raise BenchmarkError(
                f"There are {self.strangers} searches for strangers; take 1 or more."
            )


def measure_gallery(
    model: str | Path | None, folder: str | Path, plan: GalleryPlan, remove: bool = False
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
        Keeps embeddings of generated eyes, the gallery and what has been measured, so that an
        interrupted measurement continues, at the search where it was; 2.8 GB at a million
        templates.
    plan : GalleryPlan
    remove : bool, optional
        Whether to remove all templates at last, and to time it.

    Returns
    -------
    dict
        ``model`` and ``sizes``, a row for each size: see `_Measurement.row`; ``removal``, see
        `_removal`, if templates were removed.

    Raises
    ------
    ModelError
        When the model cannot be used, or its card has no scores.
    BenchmarkError
        When the gallery has outgrown a size that is not measured yet, or the folder is that of
        another model, card or version.
    """
    recognizer = scoring_recognizer(model)
    folder, score = Path(folder), recognizer.card.score
    assert score is not None  # `scoring_recognizer`
    about = {"version": __version__, "origin": asdict(recognizer.origin), "score": asdict(score)}
    folder.mkdir(parents=True, exist_ok=True)
    log = GalleryLog(folder / "log.json", about)
    sites = list(site_embeddings(recognizer, _SITES, folder / "sites"))
    population = TemplatePopulation(sites, recognizer.matcher)
    gallery = GalleryFolder.make(folder / "gallery", recognizer.template_kind)
    measurement = _Measurement(recognizer, population, gallery, plan, log)
    rows = [measurement.row(size) for size in plan.sizes]
    result = {"model": recognizer.card.name, "candidates": CANDIDATES, "sizes": rows}
    return result | {"removal": _removal(gallery)} if remove and len(gallery) else result


class _Measurement:
    """Measurements of one growing gallery."""

    def __init__(
        self,
        recognizer: IrisRecognizer,
        population: TemplatePopulation,
        gallery: GalleryFolder,
        plan: GalleryPlan,
        log: GalleryLog,
    ):
        self._recognizer, self._population = recognizer, population
        self._gallery, self._plan, self._log = gallery, plan, log

    def row(self, size: int) -> dict[str, Any]:
        """Figures of the gallery of `size` templates, once all has been measured that is missing.

        Times are in milliseconds, ``_cpu`` of processors, else elapsed: ``opening_ms``;
        ``search_ms`` of `IrisRecognizer.identify`; ``engine_ms``, of faiss alone, and ``ratio``,
        the processor time of the first over that of the second; ``exact_ms``, with every template
        compared. ``accepted`` of ``probes`` mated probes reach the threshold of the default
        operating point when they are compared with their mate; ``found`` of these are returned
        first. ``exact_same`` of ``exact`` searches return what the exact scan returns.
        ``false_positives`` of searches for eyes that are not enrolled, by operating point: see
        `iris_tf.benchmark.gallery_log.positive_rate`.
        """
        log, score = self._log.of(size), self._recognizer.card.score
        assert score is not None  # `scoring_recognizer`
        mated, strangers = self._wanted(size)
        timed = log.timing.get("exact", 0) >= self._plan.exact
        searches = [*missing(mated, log.mated), *missing(strangers, log.strangers)]
        if searches or not timed:
            self._grow(size, log)
            if not timed:
                log.timing = self._timing()
                self._log.save()
            self._search(f"Mated, {size:,}", mated, log.mated, self._mated)
            self._search(f"Not enrolled, {size:,}", strangers, log.strangers, self._strangers)
        threshold = score.threshold(SCORE_POINT, size)
        found = results(mated, log.mated)
        best = results(strangers, log.strangers)
        return {
            "images": size,
            **_enrolment_speed(log),
            **log.timing,
            "probes": len(found),
            "accepted": sum(value >= threshold for value, _ in found),
            "found": sum(first for value, first in found if value >= threshold),
            "false_positives": {
                rate: positive_rate(best, score.threshold(rate, size), SCORE_RATES[rate])
                for rate in RATES
            },
        }

    def _wanted(self, size: int) -> tuple[dict[str, int], dict[str, int]]:
        """Numbers of mated and of other searches at a size, by block of eyes."""
        blocks = size // BLOCK
        enrolled = np.linspace(0, blocks - 1, min(blocks, _MATED_BLOCKS)).astype(int).tolist()
        # As many blocks of each site.
        sites = self._population.sites
        rounds = -(-self._plan.strangers // (BLOCK * sites))
        others = range(_STRANGERS, _STRANGERS + rounds * sites)
        return spread(self._plan.probes, enrolled), spread(self._plan.strangers, others)

    def _grow(self, size: int, log: SizeLog) -> None:
        """Enrol blocks until there are `size` templates."""
        before = len(self._gallery)
        if before > size or before % BLOCK:
            raise BenchmarkError(
                f"{self._gallery.path}: holds {before:,} templates, more than {size:,}; give "
                "another folder, or remove it."
            )
        with StageProgress(f"Enrolling {size:,}", size) as progress, self._gallery.writing() as to:
            progress.advance(before)
            for block in range(before // BLOCK, size // BLOCK):
                embeddings = self._population.enrolled(block)
                images = [EnrolledImage(f"{block * BLOCK + n}") for n in range(BLOCK)]
                start = time.perf_counter(), time.process_time()
                to.add(images, embeddings)
                log.enrolment["seconds"] += time.perf_counter() - start[0]
                log.enrolment["processor_seconds"] += time.process_time() - start[1]
                log.enrolment["templates"] += BLOCK
                self._log.save()
                progress.advance(BLOCK)

    def _timing(self) -> dict[str, Any]:
        """Times of single calls, which the first mated probes make."""
        vectors = self._population.again(0)[: max(_TIMED, self._plan.exact)]
        probes = [self._template(vector) for vector in vectors]
        opened = _timed(lambda _: len(GalleryFolder(self._gallery.path)), range(_TIMED))
        searched = _timed(self._identify, probes[:_TIMED])
        engine = _timed(self._engine(), probes[:_TIMED])
        exact = _timed(lambda probe: self._identify(probe, exact=True), probes[: self._plan.exact])
        same = [self._identify(probe).identity for probe in probes[: self._plan.exact]]
        return {
            "opening_ms": opened.elapsed,
            "search_ms": searched.elapsed,
            "search_ms_cpu": searched.processor,
            "engine_ms": engine.elapsed,
            "engine_ms_cpu": engine.processor,
            "ratio": searched.processor / engine.processor,
            "exact_ms": exact.elapsed,
            "exact_ms_cpu": exact.processor,
            "exact": len(exact.results),
            "exact_same": sum(
                one.identity == other for one, other in zip(exact.results, same, strict=True)
            ),
            "peak_mib": peak_mib(),
            "bytes": sum(file.stat().st_size for file in self._gallery.path.iterdir()),
        }

    def _search(
        self,
        title: str,
        wanted: dict[str, int],
        done: dict[str, list],
        found_in: Callable[[int, int, int], Iterator[Any]],
    ) -> None:
        """Make the searches that are missing, and keep what they find."""
        left = list(missing(wanted, done))
        with StageProgress(title, sum(wanted.values())) as progress:
            progress.advance(sum(map(len, done.values())))
            try:
                for block, start, stop in left:
                    for found in found_in(block, start, stop):
                        done[str(block)].append(found)
                        if len(done[str(block)]) % _SAVED == 0:  # in case the process is killed
                            self._log.save()
                        progress.advance()
            finally:
                self._log.save()

    def _mated(self, block: int, start: int, stop: int) -> Iterator[tuple[float, bool]]:
        """Searches for enrolled eyes of a block: score with the mate, and whether it is first."""
        vectors = self._population.again(block)
        for number in range(start, stop):
            name = f"{block * BLOCK + number}"
            # The template as the gallery gives it back.
            mate = self._gallery.templates_of(name).embeddings
            score = float(self._recognizer.scores(vectors[number : number + 1], mate)[0, 0])
            found = self._identify(self._template(vectors[number]))
            yield max(score, _LOWEST), found.identity == name

    def _strangers(self, block: int, start: int, stop: int) -> Iterator[float]:
        """Searches for eyes of a block that are not enrolled: their highest scores."""
        for vector in self._population.enrolled(block)[start:stop]:
            best = self._identify(self._template(vector), point=RATES[0]).matches[0].score
            assert best is not None  # a point of scores
            yield max(best, _LOWEST)

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


def _removal(gallery: GalleryFolder) -> dict[str, float]:
    """Remove all templates, and free their places on the disk.

    ``images`` that were removed, ``removed_per_s``, overwriting included, and ``compaction_ms``.
    """
    count = len(gallery)
    with StageProgress(f"Removing {count:,}", count) as progress, gallery.writing() as writer:
        start = time.perf_counter()
        for first in range(0, count, BLOCK):
            progress.advance(writer.remove(map(str, range(first, first + BLOCK))))
        removed = time.perf_counter()
        writer.compact()
        compacted = time.perf_counter()
    return {
        "images": count,
        "removed_per_s": count / (removed - start),
        "compaction_ms": 1e3 * (compacted - removed),
    }


def _enrolment_speed(log: SizeLog) -> dict[str, float | None]:
    """Templates a second, of those that were enrolled to reach a size."""
    count = log.enrolment["templates"]
    return {
        "enrolled_per_s": count / log.enrolment["seconds"] if count else None,
        "enrolled_per_processor_s": count / log.enrolment["processor_seconds"] if count else None,
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
