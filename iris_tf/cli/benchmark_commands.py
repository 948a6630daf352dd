"""`iris-tf benchmark`: each command parses, calls one function, prints."""

from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import LayoutName, SegmenterName, echo, load_tensorflow
from iris_tf.cli.recognition_commands import SegmenterModel
from iris_tf.config.names import DEFAULT_SEGMENTER
from iris_tf.data.layouts import AUTO
from iris_tf.support.errors import BenchmarkError

JsonFile = Annotated[Path | None, typer.Option(help="JSON file to write.")]
ScoredModel = Annotated[
    Path | None, typer.Option(help="A .tflite file beside its card; default: the released one.")
]
SiteCache = Annotated[Path, typer.Option(help="Folder that keeps the embeddings of each site.")]
SiteCount = Annotated[int, typer.Option(help="Generated sites.")]
EyesOfSite = Annotated[int, typer.Option(help="Eyes of each site.")]
ImagesOfEye = Annotated[int, typer.Option(help="Images of each eye.")]
SiteSeed = Annotated[int, typer.Option(help="Of the sites.")]

benchmark = typer.Typer(
    no_args_is_help=True, help="Measure speed on this machine, and decisions on generated cameras."
)


@benchmark.command()
def latency(
    model: Annotated[Path, typer.Option(help="A .tflite file.")],
    threads: Annotated[str, typer.Option(help="Comma-separated.")] = "1,2",
    runs: Annotated[int, typer.Option(help="Timed inferences, at least 50.")] = 100,
    out: JsonFile = None,
) -> None:
    """Time a .tflite model with LiteRT on this machine's CPU."""
    from iris_tf.benchmark.latency import measure_latency
    from iris_tf.support.files import check_writable, write_json
    from iris_tf.support.own_files import check_replaceable

    if out is not None:
        check_writable(out)
        check_replaceable(out, ["schema", "rows", "runtime"])
    result = measure_latency(model, _integers("--threads", threads), runs)
    echo(f"{model} on {result['machine']['cpu']}, {result['runtime']}; milliseconds")
    echo("threads   init     min  median     p90     p95")
    for row in result["rows"]:
        figures = [
            row["init"]["median"],
            *(row["inference"][k] for k in ("min", "median", "p90", "p95")),
        ]
        echo(f"{row['threads']:>7}" + "".join(f"{figure:8.2f}" for figure in figures))
    if out is not None:
        write_json(out, result)
        echo(f"written to {out}")


@benchmark.command(name="import")
def benchmark_import(
    results: Annotated[list[Path], typer.Argument(help="JSON files of latency results.")],
    out: Annotated[Path, typer.Option(help="Folder that collects results.")],
) -> None:
    """Collect latency results of phones and hosts in latency.csv and latency.html."""
    from iris_tf.benchmark.collection import PAGE, import_results

    found = import_results(results, out)
    echo(
        f"{found.results} results, {found.added} of them new: {found.rows} rows, {found.invalid} "
        f"invalid, {found.failures} not measured"
    )
    echo(f"written to {out / PAGE}")


@benchmark.command(name="training")
def benchmark_training(
    recipe: Annotated[str, typer.Argument(help="Recipe of `iris-tf train`: a file or a name.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value")] = None,
    steps: Annotated[int, typer.Option(help="Training steps per measurement.")] = 30,
) -> None:
    """Measure whether the input pipeline limits training speed.

    Trains alternately from the pipeline and from one batch kept in memory, and
    prints both speeds and their ratio.
    """
    load_tensorflow()
    from iris_tf.benchmark.training_speed import measure_training
    from iris_tf.config.load_recipe import load_recipe
    from iris_tf.config.shipped_recipes import recipe_file
    from iris_tf.config.training_recipe import TrainRecipe

    result = measure_training(load_recipe(recipe_file(recipe), TrainRecipe, overrides), steps)
    echo(f"from memory:   {result['memory_images_per_s']:8.1f} images/s")
    echo(f"from pipeline: {result['pipeline_images_per_s']:8.1f} images/s")
    echo(f"ratio:         {result['ratio']:8.3f}")


@benchmark.command(name="prepare")
def benchmark_prepare(
    images: Annotated[Path, typer.Option(help="Folder of eye images, at least a few hundred.")],
    layout: LayoutName = AUTO,
    segmenter: SegmenterName = DEFAULT_SEGMENTER,
    segmenter_model: SegmenterModel = None,
) -> None:
    """Measure speed and memory of `iris-tf prepare` with one process, and with one per core.

    Both write to temporary folders. Speed excludes start-up; the slope is the
    growth of memory with the number of images.
    """
    from iris_tf.benchmark.preparation_speed import measure_preparation

    result = measure_preparation(images, segmenter, segmenter_model, layout)
    echo(f"{result['images']} images of {images}, segmenter {segmenter}")
    echo("                       main process             each worker")
    echo("processes  images/s    peak MiB  MiB/1,000 im.  peak MiB  MiB/1,000 im.")
    for row in result["rows"]:
        memory = [row[f"{name}_{figure}"] for name in ("main", "worker")
                  for figure in ("peak_mib", "mib_per_1000_images")]  # fmt: skip
        peak_main, slope_main, peak_worker, slope_worker = (
            "-" if value is None else f"{value:.2f}" for value in memory
        )
        echo(
            f"{row['processes']:>9}{row['images_per_s']:>10.1f}{peak_main:>12}{slope_main:>15}"
            f"{peak_worker:>10}{slope_worker:>15}"
        )
    echo(f"ratio: {result['ratio']:.2f}")


@benchmark.command(name="template")
def benchmark_template(
    image: Annotated[Path, typer.Argument(help="An eye image.")],
    model: Annotated[
        Path | None, typer.Option(help="A .tflite file beside its card; the released one.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Timed repetitions, at least 5.")] = 50,
    segmenter_model: SegmenterModel = None,
) -> None:
    """Time each stage from an eye image to its template, on one thread.

    Milliseconds are processor time, which other programs disturb little. With --segmenter-model,
    the ratio is to the segmenter's default network, in alternating runs. The template's file is
    compared with one in float32.
    """
    from iris_tf.benchmark.template_speed import measure_template, template_bytes

    stages = measure_template(image, model, runs, segmenter_model)
    ratio = "" if segmenter_model is None else "   ratio"
    echo(f"{image}; milliseconds of one core\nstage         min  median{ratio}")
    for stage, times in stages.items():
        figures = (times[name] for name in ("min", "median", "ratio") if name in times)
        echo(f"{stage:<9}" + "".join(f"{figure:8.2f}" for figure in figures))
    size, in_float = template_bytes(image, model)
    echo(f"template file: {size:,} bytes, {size / in_float:.2f} of {in_float:,} in float32")


@benchmark.command(name="scores")
def benchmark_scores(
    model: ScoredModel = None,
    templates: Annotated[int, typer.Option(help="Generated templates, at least 100.")] = 1000,
) -> None:
    """Time comparisons by score, beside the plain search for the best rotation.

    Microseconds of processor time for each of many comparisons.
    """
    from iris_tf.benchmark.score_speed import measure_scores

    echo("probes x templates    score  similarity  ratio")
    for row in measure_scores(model, templates):
        echo(
            f"{row.probes:>6} x {row.templates:<9}{row.score_us:8.2f}{row.similarity_us:12.2f}"
            f"{row.ratio:7.2f}"
        )


@benchmark.command(name="cameras")
def benchmark_cameras(
    cache: SiteCache,
    model: ScoredModel = None,
    sites: SiteCount = 20,
    eyes: EyesOfSite = 80,
    images: ImagesOfEye = 3,
    seed: SiteSeed = 0,
    out: JsonFile = None,
) -> None:
    """Measure whether decisions by score hold on generated cameras.

    Each site is a camera, its light, lens and habits, and a population. Complete sites are kept,
    so the same command continues an interrupted one.
    """
    from iris_tf.benchmark.camera_sites import RATES, measure_cameras
    from iris_tf.recognition.site_embeddings import SitePlan
    from iris_tf.support.files import check_writable, write_json
    from iris_tf.support.own_files import check_replaceable

    if out is not None:
        check_writable(out)
        check_replaceable(out, ["model", "sites", "worst", "median"])
    result = measure_cameras(model, SitePlan(sites, eyes, images, seed), cache)
    echo("site    refused  inconcl. %   EER %   FMR over claim at " + ", ".join(RATES))
    lines = [(str(site["site"]), site) for site in result["sites"]]
    for name, figures in [*lines, *((which, result[which]) for which in ("worst", "median"))]:
        over = (
            f"{'-':>8}" if figure is None else f"{figure:8.2f}"
            for figure in figures["fmr_over_claim"].values()
        )
        echo(
            f"{name:<6}{figures['refused']:9.0f}{100 * figures['inconclusive_genuine']:12.2f}"
            f"{100 * figures['eer']:8.2f}   " + "".join(over)
        )
    if out is not None:
        write_json(out, result)
        echo(f"written to {out}")


@benchmark.command(name="protection")
def benchmark_protection(
    cache: SiteCache,
    model: ScoredModel = None,
    sites: SiteCount = 20,
    eyes: EyesOfSite = 80,
    images: ImagesOfEye = 3,
    seed: SiteSeed = 0,
    out: JsonFile = None,
) -> None:
    """Measure what a keyed transform of templates costs, and what attacks on it achieve.

    Accuracy with and without, linking of templates across keys, and recovery of embeddings. Takes
    the embeddings that `benchmark cameras` keeps.
    """
    from iris_tf.benchmark.template_protection import measure_protection
    from iris_tf.recognition.site_embeddings import SitePlan
    from iris_tf.support.files import check_writable, write_json
    from iris_tf.support.own_files import check_replaceable

    if out is not None:
        check_writable(out)
        check_replaceable(out, ["model", "eer", "linkage", "reversal"])
    result = measure_protection(model, SitePlan(sites, eyes, images, seed), cache)
    eer = result["eer"]
    low, high = eer["interval"]
    echo(
        f"EER by score: plain {100 * eer['plain']:.2f} %, transformed "
        f"{100 * eer['transformed']:.2f} %, difference {100 * eer['difference']:+.2f} "
        f"({100 * low:+.2f} to {100 * high:+.2f})"
    )
    for name, errors in result["errors"].items():
        echo(f"{name}: FMR {errors['fmr']:.2e}, FNMR {100 * errors['fnmr']:.2f} %")
    echo("linking templates of one eye under two keys: D_sys (by chance)")
    for name, found in result["linkage"].items():
        echo(f"  {name:<12}{found['d_sys']:7.3f} ({found['chance']:.3f})")
    echo("known templates of a key: cosine of recovered embeddings, accepted as the eye")
    for row in result["reversal"]:
        echo(f"  {row['known']:>4}{row['cosine']:8.3f}{100 * row['accepted']:8.1f} %")
    if out is not None:
        write_json(out, result)
        echo(f"written to {out}")


@benchmark.command(name="gallery")
def benchmark_gallery(
    folder: Annotated[
        Path, typer.Option(help="Folder that keeps the gallery; 2.7 GB at a million templates.")
    ],
    model: ScoredModel = None,
    sizes: Annotated[
        str, typer.Option(help="Comma-separated numbers of templates, multiples of 1,000.")
    ] = "1000,10000,100000,1000000",
    probes: Annotated[int, typer.Option(help="Searches for enrolled eyes at each size.")] = 1_000,
    strangers: Annotated[
        int, typer.Option(help="Searches for eyes that are not enrolled, at each size.")
    ] = 1_000,
    exact: Annotated[
        int, typer.Option(help="Searches repeated with every template compared; slow.")
    ] = 3,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove all templates at last, and time it.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Plot to write (.png, .pdf, .svg).")] = None,
    out: JsonFile = None,
) -> None:
    """Measure enrolment and searches in a gallery that grows to a million templates.

    Templates are drawn from those of generated eyes. The gallery and the result of each search are
    kept, so the same command continues an interrupted one.
    """
    from iris_tf.benchmark.gallery_speed import GalleryPlan, measure_gallery
    from iris_tf.report.gallery_plot import write_gallery_plot
    from iris_tf.support.files import check_writable, write_json
    from iris_tf.support.own_files import check_replaceable

    plan = GalleryPlan(_integers("--sizes", sizes), probes, exact, strangers)
    for path in (out, plot):
        if path is not None:
            check_writable(path)
    if out is not None:
        check_replaceable(out, ["model", "candidates", "sizes"])
    result = measure_gallery(model, folder, plan, remove)
    echo("images     enrolled/s  open ms  search ms (cpu)  faiss ms (cpu)   exact ms  found  MiB")
    for row in result["sizes"]:
        speed = "-" if row["enrolled_per_s"] is None else f"{row['enrolled_per_s']:.0f}"
        echo(
            f"{row['images']:<11}{speed:>10}{row['opening_ms']:>9.1f}"
            f"{row['search_ms']:>10.0f} ({row['search_ms_cpu']:.0f})"
            f"{row['engine_ms']:>11.0f} ({row['engine_ms_cpu']:.0f})"
            f"{row['exact_ms']:>11.0f}  {row['found']}/{row['accepted']}  {row['peak_mib']:.0f}"
        )
    for row in result["sizes"]:
        for rate, counted in row["false_positives"].items():
            low, high = counted["interval"]
            echo(
                f"{row['images']} images, {rate}: FPIR {counted['rate']:.1e} ({low:.1e} to "
                f"{high:.1e}), {counted['accepted']} of {counted['searches']} searches for eyes "
                f"that are not enrolled, {counted['claimed']:.0e} is claimed"
            )
    if "removal" in result:
        removal = result["removal"]
        echo(
            f"{removal['images']} images removed, {removal['removed_per_s']:.0f} a second; "
            f"compacted in {removal['compaction_ms']:.0f} ms"
        )
    if plot is not None:
        write_gallery_plot(result, plot)
        echo(f"written to {plot}")
    if out is not None:
        write_json(out, result)
        echo(f"written to {out}")


def _integers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise BenchmarkError(f"{option} is {text!r}; give whole numbers, such as 1,2.") from None
