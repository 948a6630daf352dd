"""The page server answers with the page, its headers and nothing else."""

import datetime
import http.client
import ipaddress
import os
import socket
import ssl
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from iris_tf.support.errors import ArgumentError
from iris_tf.support.page_server import PageServer


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "dist"
    (folder / "models").mkdir(parents=True)
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "a.wasm").write_bytes(b"\0asm")
    (folder / "sw.js").write_text("1")
    (folder / "manifest.webmanifest").write_text("{}")
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", folder / "link.txt")
    os.symlink(tmp_path, folder / "up")
    return folder


@contextmanager
def serving(*arguments, **options):
    with PageServer(*arguments, port=0, **options) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.close()
            thread.join()


def get(server, path, method="GET"):
    connection = http.client.HTTPConnection(urlsplit(server.urls[0]).netloc, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_the_page_is_served_with_the_headers_that_threads_need(page):
    with serving(page) as server:
        response, body = get(server, "/")
    assert (response.status, body) == (200, b"<p>page</p>")
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/a.wasm", "application/wasm"),
        ("/sw.js", "text/javascript"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/index.html?from=home", "text/html"),
    ],
)
def test_files_have_the_types_that_browsers_insist_on(page, path, kind):
    with serving(page) as server:
        response, _ = get(server, path)
    assert (response.status, response.headers["Content-Type"]) == (200, kind)


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/models/../../secret.txt",
        "/link.txt", "/up/secret.txt", "/models/", "/a%00.wasm", "/none.js", "//etc/passwd",
        "/etc/passwd",
    ],
)  # fmt: skip
def test_nothing_else_is_served(page, path):
    with serving(page) as server:
        response, body = get(server, path)
    assert response.status == 404
    assert b"secret" not in body.replace(b"secret.txt", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_written(page, method):
    with serving(page) as server:
        response, _ = get(server, "/index.html", method)
    assert response.status == 501
    assert (page / "index.html").read_text() == "<p>page</p>"


def test_only_this_machine_can_connect_unless_told(page):
    with serving(page) as server:
        assert [urlsplit(url).hostname for url in server.urls] == ["127.0.0.1"]
    with serving(page, "0.0.0.0") as server:
        first, *others = [urlsplit(url).hostname for url in server.urls]
        assert first == "127.0.0.1"
        assert not any(ipaddress.ip_address(other).is_unspecified for other in others)


def test_nonsense_is_one_sentence(page, tmp_path):
    busy = socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen()
    cases = [
        ((tmp_path / "none",), {}, "has no index.html"),
        ((tmp_path,), {}, "has no index.html"),
        ((page, "127.0.0.1", 70000), {}, "port is 70000"),
        ((page, "127.0.0.1", -1), {}, "port is -1"),
        ((page, "127.0.0.1", busy.getsockname()[1]), {}, "cannot be listened at"),
        ((page, "999.1.1.1", 0), {}, "cannot be listened at"),
        ((page, "a" * 80, 0), {}, "cannot be listened at"),
        ((page, "127.0.0.1", 0, tmp_path / "none.pem"), {}, "holds no certificate"),
        ((page, "127.0.0.1", 0, page / "index.html"), {}, "holds no certificate"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ArgumentError, match=message) as caught:
            PageServer(*arguments, **options)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")
    busy.close()


def test_https_with_a_certificate(page, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "both.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with serving(page, certificate=pem) as server:
        assert server.urls[0].startswith("https://127.0.0.1:")
        # A client that never shakes hands does not hold up the others.
        silent = socket.create_connection(("127.0.0.1", urlsplit(server.urls[0]).port))
        connection = http.client.HTTPSConnection(
            urlsplit(server.urls[0]).netloc,
            timeout=10,
            context=ssl.create_default_context(cafile=str(pem)),
        )
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"<p>page</p>"
        connection.close()
        silent.close()
