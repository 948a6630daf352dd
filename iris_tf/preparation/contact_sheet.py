"""The contact sheet: thumbnails of a whole dataset on one page, least confident first."""

import html
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from iris_tf.preparation.journal import Outcome
from iris_tf.preparation.overlay import HIDDEN_COLOUR, IRIS_COLOUR, PUPIL_COLOUR
from iris_tf.support.files import write_text

NAME = "contact_sheet.html"
MOST_SHOWN = 1000  # per kind, failed and prepared: nobody inspects more

_CSS = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5a5a5a; --page: #fff; --card: #f1f1f1; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #a8a8a8; --page: #151515; --card: #242424; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem .75rem 3rem; max-width: 110rem; color: var(--ink);
  background: var(--page);
  font: 15px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 1.75rem 0 .25rem; }
h3 { font-size: .95rem; margin: 1rem 0 .4rem; }
p { margin: .25rem 0; color: var(--soft); max-width: 60rem; }
.key { white-space: nowrap; margin-right: 1rem; }
.key i { display: inline-block; width: 1.4em; height: .5em; margin-right: .4em; }
.grid { display: grid; gap: .4rem; margin: .5rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(8.6rem, 30vw), 1fr)); }
figure { margin: 0; background: var(--card); min-width: 0; }
label { display: block; cursor: zoom-in; }
input { position: absolute; opacity: 0; }
img { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: #000; }
input:focus-visible + img { outline: 3px solid #56b4e9; }
input:checked + img { position: fixed; inset: 0; width: 100%; height: 100%; aspect-ratio: auto;
  z-index: 1; background: #000d; cursor: zoom-out; }
figcaption { display: flex; gap: .4em; padding: .1rem .3rem .2rem; font-size: .74rem; }
figcaption span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; direction: rtl; text-align: left; }
figcaption b { font-weight: 600; font-variant-numeric: tabular-nums; }
ul { margin: .25rem 0; padding-left: 1.1rem; font-size: .85rem; overflow-wrap: anywhere; }
.why { padding: 0 .3rem .3rem; font-size: .7rem; line-height: 1.25; color: var(--soft); }
"""


def write_contact_sheet(
    out: Path, segmenter: str | None, outcomes: Sequence[Outcome], overlays: Sequence[str]
) -> None:
    """Write ``contact_sheet.html`` of a dataset.

    Failures come first, by reason, then the prepared images, lowest confidence first; at most
    `MOST_SHOWN` of each.

    Parameters
    ----------
    out : Path
        The dataset folder, which holds the thumbnails.
    segmenter : str or None
        Name of the segmenter, for the heading; None if nothing was segmented.
    outcomes : sequence of Outcome
        Outcomes of all images, in dataset order.
    overlays : sequence of str
        Their thumbnails, relative to `out`.
    """
    shown = list(zip(outcomes, overlays, strict=True))
    failed = sorted(
        (entry for entry in shown if entry[0].reason), key=lambda e: (e[0].reason, e[0].image)
    )
    prepared = sorted(
        (entry for entry in shown if not entry[0].reason),
        key=lambda e: (e[0].confidence, e[0].image),
    )
    body = "".join(
        (
            _header(segmenter, len(prepared), len(failed)),
            _failures(failed) if failed else "",
            _prepared(prepared, segmenter is not None),
        )
    )
    write_text(
        out / NAME,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Contact sheet</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f"{body}</body>\n</html>\n",
    )


def _header(segmenter: str | None, prepared: int, failed: int) -> str:
    images = prepared + failed
    share = f" ({100 * failed / images:.1f} %)" if images else ""
    made_by = f"segmenter {html.escape(segmenter)}" if segmenter else "no segmenter"
    return (
        f"<header>\n<h1>Contact sheet</h1>\n<p>{images:,} images, {prepared:,} prepared, "
        f"{failed:,} failed{share}; {made_by}. "
        f"Click a thumbnail to enlarge it.</p>\n{_colour_key() if segmenter else ''}</header>\n"
    )


def _colour_key() -> str:
    keys = "".join(
        f'<span class="key"><i style="background: rgb{colour[::-1]}"></i>{meaning}</span>'
        for colour, meaning in (
            (PUPIL_COLOUR, "pupil"),
            (IRIS_COLOUR, "iris"),
            (HIDDEN_COLOUR, "occluded iris, not used"),
        )
    )
    return f"<p>{keys}</p>\n"


def _failures(failed: list[tuple[Outcome, str]]) -> str:
    parts = [f"<h2>Failed: {len(failed):,}</h2>\n"]
    left = MOST_SHOWN
    for reason, group in groupby(failed, key=lambda entry: entry[0].reason):
        entries = list(group)
        some = entries[:left]
        left -= len(some)
        parts.append(f"<h3>{html.escape(reason)}: {len(entries):,}</h3>\n")
        parts.append(_grid([_figure(*entry) for entry in some if entry[0].overlay]))
        lines = "".join(
            f"<li>{html.escape(o.image)}: {html.escape(o.detail)}</li>\n"
            for o, _ in some
            if not o.overlay
        )
        parts.append(f"<ul>\n{lines}</ul>\n" if lines else "")
        parts.append(_more(len(entries) - len(some), "failures.csv"))
    return "".join(parts)


def _prepared(prepared: list[tuple[Outcome, str]], by_confidence: bool) -> str:
    some = prepared[:MOST_SHOWN]
    order = ", least confidence first" if by_confidence else ""
    return (
        f"<h2>Prepared: {len(prepared):,}{order}</h2>\n"
        + _grid([_figure(*entry) for entry in some])
        + _more(len(prepared) - len(some), "manifest.csv")
    )


def _grid(figures: list[str]) -> str:
    return f'<div class="grid">\n{"".join(figures)}</div>\n' if figures else ""


def _more(number: int, table: str) -> str:
    return f"<p>{number:,} more are not shown; {table} lists all.</p>\n" if number else ""


def _figure(outcome: Outcome, overlay: str) -> str:
    name = html.escape(outcome.image)
    # Images rejected by a quality limit have outlines too, and therefore a confidence.
    confidence = f"<b>{outcome.confidence:.2f}</b>" if outcome.quality is not None else ""
    why = f'<div class="why">{html.escape(outcome.detail)}</div>' if outcome.reason else ""
    return (
        f'<figure><label><input type="checkbox" aria-label="Enlarge {name}">'
        f'<img src="{quote(overlay)}" alt="" loading="lazy"></label>'
        f'<figcaption title="{name}"><span><bdi>{name}</bdi></span>{confidence}</figcaption>'
        f"{why}</figure>\n"
    )
