"""Serves a folder of a web page to browsers on this machine or its local network."""

import ipaddress
import socket
import ssl
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from iris_tf.support.errors import ArgumentError

LOOPBACK = "127.0.0.1"
PORT = 8000
INDEX = "index.html"

_MOST_PORT = 65535
_POLL_S = 0.1  # how long `close` may have to wait
_ELSEWHERE = "192.0.2.1"  # an address for documentation (RFC 5737); nothing is sent to it


class PageServer:
    """Serves the files of a folder that has an ``index.html``, and nothing else.

    Responses carry the headers of cross-origin isolation, without which browsers offer no
    WebAssembly threads. Nothing is written, folders are not listed, and links that lead out of the
    folder are not followed.

    Parameters
    ----------
    folder : str or Path
        The built page.
    host : str, optional
        Address or name to listen at; ``"0.0.0.0"`` is every network of this machine. By default
        only this machine can connect.
    port : int, optional
        1 to 65535, or 0 for any free one.
    certificate : str or Path, optional
        PEM file with a certificate and its private key, for HTTPS.

    Raises
    ------
    ArgumentError
        When the folder holds no page, or the address, the port or the certificate cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "index.html").write_text("<p>Hello</p>")
    ...     with PageServer(folder, port=0) as server:
    ...         server.urls[0].startswith("http://127.0.0.1:")
    True
    """

    def __init__(
        self,
        folder: str | Path,
        host: str = LOOPBACK,
        port: int = PORT,
        certificate: str | Path | None = None,
    ):
        page = Path(folder)
        if not (page / INDEX).is_file():
            raise ArgumentError(
                f"{page} has no {INDEX}; give the folder of a built page (`make web` builds one)."
            )
        if not 0 <= port <= _MOST_PORT:
            raise ArgumentError(f"The port is {port}; choose one from 1 to {_MOST_PORT}.")
        context = None if certificate is None else _tls(certificate)
        handler = partial(_Handler, directory=str(page.resolve()))
        try:
            self._server = _Server((host, port), handler)
        except (OSError, UnicodeError) as error:
            raise ArgumentError(
                f"{host}:{port} cannot be listened at ({_reason(error)}); choose another --port or "
                "--host."
            ) from None
        self._scheme = "http" if context is None else "https"
        if context is not None:
            # Each handshake takes place in its connection's thread, not in the one that accepts.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def urls(self) -> list[str]:
        """Where browsers find the page, the address of this machine in its network last."""
        host, port = self._server.server_address[:2]
        hosts = [str(host)]
        if ipaddress.ip_address(hosts[0]).is_unspecified:
            hosts = [LOOPBACK, *_own_addresses()]
        return [f"{self._scheme}://{host}:{port}/" for host in hosts]

    def serve(self) -> None:
        """Answer requests until `close` or an interruption."""
        self._server.serve_forever(_POLL_S)

    def close(self) -> None:
        """Stop answering requests."""
        self._server.shutdown()

    def __enter__(self) -> "PageServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # an open connection does not keep the program running

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of browsers that close connections early, or do not trust a certificate."""


class _Handler(SimpleHTTPRequestHandler):
    server_version = "iris_tf"
    sys_version = ""
    timeout = 60  # seconds, after which an idle connection is closed
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".gz": "application/gzip",
        ".webmanifest": "application/manifest+json",
        ".svg": "image/svg+xml",
    }

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def send_head(self) -> Any:
        try:
            inside = Path(self.translate_path(self.path)).resolve().is_relative_to(self.directory)
        except ValueError:  # a path with a null character
            inside = False
        if inside:
            return super().send_head()
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, *_: object) -> None:
        """Log nothing: the terminal shows the address."""


def _tls(certificate: str | Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password, or it would be asked for at the terminal.
        context.load_cert_chain(certificate, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"{certificate}: holds no certificate with its private key ({_reason(error)}); give a "
            "PEM file with both, without a password."
        ) from None
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _own_addresses() -> list[str]:
    """Address of this machine in the network that leads to others; none without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE, 1))
        except OSError:
            return []
        return [probe.getsockname()[0]]
