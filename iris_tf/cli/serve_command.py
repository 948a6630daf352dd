"""`iris-tf serve`: the page for browsers, from this machine."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import echo
from iris_tf.support.page_server import LOOPBACK, PORT, PageServer


def add_serve_verb(app: typer.Typer) -> None:
    """Add the command of this file to an application."""
    app.command("serve")(serve)


def serve(
    folder: Annotated[Path, typer.Argument(help="The built page; `make web` makes it.")] = Path(
        "web_demo/dist"
    ),
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; 0.0.0.0: every network of this machine."),
    ] = LOOPBACK,
    port: Annotated[int, typer.Option(help="Port; 0: any free one.")] = PORT,
    certificate: Annotated[
        Path | None,
        typer.Option(help="PEM file with a certificate and its private key, for HTTPS."),
    ] = None,
) -> None:
    """Serve the page that measures, checks and compares models in a browser.

    By default only browsers on this machine can connect. Phones in the same network
    can with --host 0.0.0.0; browsers give them all features only over HTTPS.
    """
    with PageServer(folder, host, port, certificate) as server, suppress(KeyboardInterrupt):
        for url in server.urls:
            echo(url)
        echo("Ctrl-C stops it.")
        server.serve()
