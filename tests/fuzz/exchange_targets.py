"""Targets for what others publish or measure: packed networks, sets of pairs, latency results."""

import hashlib
import pickle
import zlib
from pathlib import Path

import numpy as np

from fuzz import mutations
from fuzz.target import Target

RESULTS = Path(__file__).parents[2] / "android_demo" / "core" / "src" / "test" / "resources"
FACES = ["Ann/Ann_0001.jpg", "Ann/Ann_0002.png", "Bob/Bob_0001.jpg", "Bob/Bob_0010.jpg"]


def _packed(folder):
    from iris_tf.quantization.packed_file import PackedFile

    header = {"format": 1, "graph": {"class_name": "Functional"}, "constants": {"a": [[2, 3]]}}
    sections = {"mask": b"\0" * 9, "weights-4": b"\x11" * 30, "numbers": zlib.compress(bytes(80))}
    PackedFile(header, sections).write(folder / "original.irq")
    return [(folder / "original.irq").read_bytes()]


def _mutated_packed(content, rng):
    """Half of the mutants have the right checksum: that is no secret."""
    return mutations.of_bytes(content, rng) if rng.random() < 0.5 else resummed(content, rng)


def resummed(content, rng, header=True):
    """Mutate the header of a packed network, or what follows it, and correct the checksum."""
    body = content[:-32]
    length = int.from_bytes(body[4:8], "little")
    described, rest = body[8 : 8 + length], body[8 + length :]
    if header:
        described = zlib.compress(mutations.of_json(zlib.decompress(described), rng))
    if not header or rng.random() < 0.3:
        # The sections' sizes are in the header.
        kinds = mutations.ALL if header else mutations.OVERWRITE
        rest = mutations.of_bytes(rest, rng, kinds=kinds)
    body = body[:4] + len(described).to_bytes(4, "little") + described + rest
    return body + hashlib.sha256(body).digest()


def _read_packed(path):
    from iris_tf.quantization.packed_file import PackedFile

    PackedFile.read(path).write(path.with_name("again.irq"))


def _pair_set(folder):
    rng = np.random.default_rng(0)
    images = [rng.bytes(40) for _ in range(20)]
    return [pickle.dumps((images, [True, False] * 5), protocol) for protocol in (3, 4)]


def _read_pair_set(path):
    from iris_tf.evaluation.insightface_bin import read_pair_set

    assert len(read_pair_set(path).folds) >= 10


def _lfw_pairs(folder):
    return [b"2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t10\nBob\t10\tAnn\t2\n"]


def _read_lfw_pairs(path):
    from iris_tf.data.manifest import ManifestRow
    from iris_tf.evaluation.lfw_pairs import read_lfw_pairs

    names = [image.split("/")[0] for image in FACES]
    rows = [ManifestRow(i, "faces", n, "", n, i) for i, n in zip(FACES, names, strict=True)]
    read_lfw_pairs(path, rows)


def _results(folder):
    return [(RESULTS / f"{name}_result.json").read_bytes() for name in ("host", "phone")]


def _read_results(path):
    from iris_tf.benchmark.collection import PAGE, import_results

    # A folder for each: results of earlier mutants would be checked again.
    out = path.parent / "collected" / hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    import_results([path], out)
    assert "<script>" not in (out / PAGE).read_text("utf-8", "surrogateescape")


def _journal(folder, key=None):
    from iris_tf.matching.gallery_folder import GalleryFolder
    from iris_tf.matching.gallery_journal import JOURNAL, EnrolledImage
    from iris_tf.matching.template import Origin
    from iris_tf.matching.template_records import TemplateKind

    kind = TemplateKind(Origin("model", "ab" * 32), 8, None)
    gallery = GalleryFolder.make(folder / "gallery", kind, key)
    rows = np.eye(3, 8, dtype=np.float32)
    with gallery.writing() as writer:
        writer.add([EnrolledImage(name, "1.png", "ab") for name in ("ann", "bea", "cy")], rows)
    return [(folder / "gallery" / JOURNAL).read_bytes()]


def _read_journal(path, key=None):
    from iris_tf.matching.gallery_folder import GalleryFolder
    from iris_tf.matching.gallery_journal import JOURNAL
    from iris_tf.matching.matcher import Matcher

    folder = path.parent / "gallery"
    for name in (f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / JOURNAL).write_bytes(path.read_bytes())
    gallery = GalleryFolder(folder, key)
    gallery.candidates(np.eye(1, 8, dtype=np.float32)[0], Matcher())
    gallery.images_of("ann")


def _sealed_journal(folder):
    from iris_tf.matching.secret_keys import SecretKey

    return _journal(folder, SecretKey(b"\x05" * 32))


def _read_sealed_journal(path):
    from iris_tf.matching.secret_keys import SecretKey

    _read_journal(path, SecretKey(b"\x05" * 32))


EXCHANGE_TARGETS = {
    "packed": Target("model.irq", _packed, _mutated_packed, _read_packed),
    "pair_set": Target("set.bin", _pair_set, mutations.of_bytes, _read_pair_set),
    "lfw_pairs": Target("pairs.txt", _lfw_pairs, mutations.of_bytes, _read_lfw_pairs),
    "results": Target("result.json", _results, mutations.of_json, _read_results),
    "journal": Target("journal", _journal, mutations.of_bytes, _read_journal),
    "sealed_journal": Target("journal", _sealed_journal, mutations.of_bytes, _read_sealed_journal),
}
