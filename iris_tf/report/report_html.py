"""Text and numbered captions as HTML."""

import html
import re
from collections.abc import Iterator


def table_caption(tables: Iterator[int], text: str) -> str:
    """Caption of the next table, whose number `tables` gives."""
    return f'<p class="caption"><b>Table {next(tables)}.</b> {unbroken(text)}</p>'


def figure_caption(figures: Iterator[int], text: str) -> str:
    """Caption of the next figure, whose number `figures` gives."""
    return f"<figcaption><b>Figure {next(figures)}.</b> {unbroken(text)}</figcaption>"


def unbroken(text: str) -> str:
    """Keep numbers such as ``1e-2`` on one line, and still easy to copy."""
    return re.sub(r"\b[\d.]+e-\d+\b", r'<span class="whole">\g<0></span>', text)


def escaped(value: str) -> str:
    """Text without markup."""
    return html.escape(value)
