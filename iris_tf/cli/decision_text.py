"""Decisions, and what a calibration gained, as the text that commands print."""

import dataclasses
from typing import TYPE_CHECKING

from iris_tf.cli.console import echo
from iris_tf.config.names import FALSE_MATCH_RATES, SCORE_RATES

if TYPE_CHECKING:
    from iris_tf.matching.calibration import Calibration
    from iris_tf.recognition.decisions import Identification, Verification
    from iris_tf.recognition.recognizer import IrisRecognizer
    from iris_tf.segmentation.quality import IrisQuality


def print_verification(result: "Verification", recognizer: "IrisRecognizer") -> None:
    """Print a verification with what its threshold rests on."""
    point = result.operating_point
    verdict = "same eye" if result.same_eye else "different eyes"
    similarity = f"similarity {result.similarity:.6f}"
    if result.inconclusive:
        echo(f"inconclusive: {result.inconclusive}")
    elif point not in SCORE_RATES:
        echo(f"{similarity}, threshold {result.threshold:.6f} ({_called(result)}): {verdict}")
    else:
        echo(f"score {result.score:.3f}, threshold {result.threshold:.3f} ({point}): {verdict}")
        echo(
            f"{similarity}; the score is the natural logarithm of the likelihood ratio, and one in "
            f"{1 / SCORE_RATES[point]:,.0f} pairs of strangers reaches the threshold"
        )
    if result.operating_point in FALSE_MATCH_RATES:
        echo(
            f"one in {1 / FALSE_MATCH_RATES[result.operating_point]:,.0f} pairs of strangers "
            "reaches the threshold on the images that it comes from"
            f"{_support(recognizer, result.operating_point)}; on another camera it may be several "
            "times as many"
        )
    _print_circumstances(recognizer, result.quality)


def print_identification(result: "Identification", recognizer: "IrisRecognizer", top: int) -> None:
    """Print the `top` identities of a search, the decision, and what its threshold rests on."""
    _print_matches(result, top)
    accepted = sum(match.same_eye for match in result.matches)
    outcome = {0: "no identity reaches it", 1: f"the eye is {result.identity}'s"}.get(
        accepted, f"{accepted} identities reach it, the most similar is {result.identity}"
    )
    if result.inconclusive:
        outcome = f"inconclusive, {result.inconclusive}"
    echo(f"threshold {result.threshold:.6f} ({_called(result)}): {outcome}")
    if result.operating_point in SCORE_RATES:
        echo(
            f"an eye that is not enrolled would match any of these {result.images} images "
            f"by chance in one of {1 / SCORE_RATES[result.operating_point]:,.0f} searches: the "
            f"threshold of one comparison, {recognizer.thresholds[result.operating_point]:.6f}, "
            "is raised accordingly"
        )
    if result.operating_point in FALSE_MATCH_RATES:
        rate = 1.0 - (1.0 - FALSE_MATCH_RATES[result.operating_point]) ** result.images
        echo(
            f"an eye that is not enrolled would match one of these {result.images} images "
            f"by chance in up to {100 * rate:.1f} % of searches"
            f"{_support(recognizer, result.operating_point)}"
        )
    _print_circumstances(recognizer, result.quality)


def print_gain(made: "Calibration") -> None:
    """Print the errors before and after a calibration."""
    gain = made.gain
    if not gain:
        echo("gain: not measured, it takes at least 20 eyes, half of which are held out")
        return
    by = "similarity" if made.score is None else "score"
    echo(
        f"gain by {by} on eyes that took no part ({gain['eyes']} eyes, in halves; "
        f"{gain.get('genuine_comparisons', 'unknown')} genuine, "
        f"{gain['impostor_comparisons']} impostor comparisons), before and after:"
    )
    before, after = gain["before"], gain["after"]
    if "eer" in before:
        echo(f"  EER {100 * before['eer']:.2f} % and {100 * after['eer']:.2f} %")
    for point in SCORE_RATES | FALSE_MATCH_RATES:
        figures = []
        if point in before["fmr"]:
            claim = (SCORE_RATES | FALSE_MATCH_RATES)[point]
            one, other = (figure["fmr"][point] / claim for figure in (before, after))
            figures.append(f"FMR {one:.2f} and {other:.2f} times the claim")
        if point in before.get("fnmr", {}):
            one, other = (100 * figure["fnmr"][point] for figure in (before, after))
            figures.append(f"FNMR {one:.2f} % and {other:.2f} %")
        if figures:
            echo(f"  {point}: {'; '.join(figures)}")
    if not before["fmr"]:
        echo(
            "  no FMR: at none of its operating points are 30 false matches to be expected; give "
            "images of more eyes"
        )


def _print_matches(result: "Identification", top: int) -> None:
    """Print the best identities as a table, and what makes some of all inconclusive."""
    shown = result.matches[:top]
    width = max(len("identity"), *(len(match.identity) for match in shown))
    heading = f"{'score':>9}  " if result.operating_point in SCORE_RATES else ""
    echo(f"rank  {'identity':<{width}}  {heading}similarity  decision        image")
    for rank, match in enumerate(shown, start=1):
        verdict = "same eye" if match.same_eye else "different eyes"
        if match.inconclusive:
            verdict = "inconclusive"
        score = "" if match.score is None else f"{match.score:>9.3f}  "
        echo(
            f"{rank:>4}  {match.identity:<{width}}  {score}{match.similarity:>10.6f}  "
            f"{verdict:<14}  {match.image}"
        )
    unknown = [match for match in result.matches if match.inconclusive]
    if unknown and not result.inconclusive:
        echo(
            f"inconclusive for {len(unknown)} of {len(result.matches)} identities, of "
            f"{unknown[0].identity} because {unknown[0].inconclusive}"
        )


def _called(result: "Verification | Identification") -> str:
    return result.operating_point or "given as a number"


def _print_circumstances(recognizer: "IrisRecognizer", quality: "IrisQuality | None") -> None:
    """Print the circumstances of a result: the probe's quality, and the calibration."""
    if quality is not None:
        figures = dataclasses.asdict(quality).items()
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in figures)
        echo(f"quality of the probe: {shown}")
    calibration = recognizer.calibration
    echo(f"calibration: {'none' if calibration is None else calibration.id}")


def _support(recognizer: "IrisRecognizer", point: str) -> str:
    """The comparisons that the rate of a threshold comes from, where their number is known."""
    from iris_tf.metrics.metrics import RULE_OF_30

    calibration = recognizer.calibration
    if calibration is not None:
        found = calibration.impostors
        return f" (threshold from {found.pairs} impostor comparisons, {found.methods[point]})"
    pairs = recognizer.card.thresholds_from.get("impostor_comparisons")
    if not isinstance(pairs, int):
        return ""
    few = ", too few to support this rate" if pairs * FALSE_MATCH_RATES[point] < RULE_OF_30 else ""
    return f" (threshold from {pairs} impostor comparisons{few})"
