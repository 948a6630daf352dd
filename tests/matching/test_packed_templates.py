import cmath
import dataclasses
import hashlib
import json

import numpy as np
import pytest

from iris_tf.matching.gallery import Gallery
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.packed_embeddings import can_pack, pack, packed_size, unpack
from iris_tf.matching.packed_templates import VERSION
from iris_tf.matching.protected_files import encrypt_stored
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import Origin, Template
from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.errors import ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

LAYOUT = PhaseCodeLayout(4096, 128, 10)
ORIGIN = Origin("mobiiris", hashlib.sha256(b"a model").hexdigest())
QUALITY = IrisQuality(*(float(f"{100.0 / n:.7g}") for n in range(3, 12)))
RINGS = {1: 6, 2: 12, 3: 18, 4: 27}  # points by distance from zero


def embeddings(n, hidden=0.25, layout=LAYOUT, learned=112, seed=0):
    rng = np.random.default_rng(seed)
    shape = (n, layout.size // 2)
    code = rng.uniform(0.3, 1.0, shape) * np.exp(2j * np.pi * rng.random(shape))
    code = code * (rng.random(shape) >= hidden)
    code = np.stack([code.real, code.imag], axis=-1).reshape(n, -1)
    code *= np.sqrt(2 / 3) / np.linalg.norm(code, axis=1, keepdims=True)
    first = rng.normal(size=(n, learned))
    first *= np.sqrt(1 / 3) / np.linalg.norm(first, axis=1, keepdims=True)
    return np.concatenate([first, code], axis=1).astype(np.float32)


def rounded(vectors, layout):
    return unpack(pack(vectors, layout), layout)


def nearest_by_hand(value, largest):
    """A response rounded to its ring and phase, relative to the largest."""
    if value == 0:
        return 0
    ring = min(max(round(4 * abs(value) / largest), 1), 4)
    turns = cmath.phase(value) / (2 * cmath.pi) % 1.0
    phase = int(turns * RINGS[ring]) + 0.5
    return ring / 4 * cmath.exp(2j * cmath.pi * phase / RINGS[ring])


def test_responses_are_rounded_to_points_on_four_rings():
    layout = PhaseCodeLayout(48, 4, 1)
    [embedding] = embeddings(1, layout=layout, learned=5, seed=3)
    [found] = rounded(embedding[None], layout)
    code = [complex(a, b) for a, b in embedding[5:].reshape(-1, 2).tolist()]
    largest = max(map(abs, code))
    expected = np.array([nearest_by_hand(value, largest) for value in code])
    expected *= np.sqrt(2 / 3) / np.linalg.norm(expected)
    np.testing.assert_allclose(found[5::2] + 1j * found[6::2], expected, atol=1e-5)
    entries = np.rint(embedding[:5] / np.abs(embedding[:5]).max() * 127)
    np.testing.assert_allclose(
        found[:5], entries * np.sqrt(1 / 3) / np.linalg.norm(entries), atol=1e-5
    )


def test_packing_twice_changes_nothing_more():
    vectors = embeddings(20)
    packed = pack(vectors, LAYOUT)
    once = unpack(packed, LAYOUT)
    assert once.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(once, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(pack(once, LAYOUT), packed)
    np.testing.assert_array_equal(unpack(pack(once, LAYOUT), LAYOUT), once)
    # What is hidden stays hidden, and nothing else becomes so.
    np.testing.assert_array_equal(once[:, 112:] == 0, vectors[:, 112:] == 0)
    assert np.einsum("ij,ij->i", once, vectors).min() > 0.98


@pytest.mark.parametrize("learned", [0, 1, 7])
def test_one_component_may_be_missing(learned):
    layout = PhaseCodeLayout(48, 4, 1)
    for hidden in (0.0, 1.0) if learned else (0.0,):
        with np.errstate(invalid="ignore", divide="ignore"):
            [vector] = np.nan_to_num(embeddings(1, hidden, layout, max(learned, 1)))
        vector = vector[1:] if not learned else vector
        vector /= np.linalg.norm(vector)
        found = rounded(vector[None], layout)
        assert found.shape == (1, learned + 48)
        assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-6)
        assert float(found[0] @ vector) > 0.97


def test_bytes_that_are_no_embedding():
    with pytest.raises(ValueError, match="too few"):
        unpack(np.zeros((1, packed_size(4096, LAYOUT) - 1), np.uint8), LAYOUT)
    with pytest.raises(ValueError, match="missing"):
        unpack(np.zeros((1, packed_size(4208, LAYOUT)), np.uint8), LAYOUT)
    assert can_pack(LAYOUT) and not can_pack(PhaseCodeLayout(15, 5, 1))


@pytest.mark.parametrize("hidden", [0.0, 0.25])
def test_a_template_takes_two_kilobytes_and_comes_back(tmp_path, hidden):
    [vector] = rounded(embeddings(1, hidden), LAYOUT)
    template = Template(vector, ORIGIN, QUALITY, layout=LAYOUT)
    template.save(tmp_path / "eye.npz")
    assert (tmp_path / "eye.npz").stat().st_size <= 2200
    again = Template.load(tmp_path / "eye.npz")
    np.testing.assert_array_equal(again.embedding, vector)
    assert (again.origin, again.quality, again.layout) == (ORIGIN, QUALITY, LAYOUT)
    key = SecretKey(bytes(range(32)))
    template.save(tmp_path / "sealed.npz", key)
    # 2.2 KB; noise that hides nothing cannot be compressed at all, which no eye is.
    assert (tmp_path / "sealed.npz").stat().st_size <= (2252 if hidden else 2304)
    sealed = Template.load(tmp_path / "sealed.npz", key)
    np.testing.assert_array_equal(sealed.embedding, vector)
    assert (sealed.origin, sealed.quality, sealed.layout) == (ORIGIN, QUALITY, LAYOUT)
    dataclasses.replace(again, quality=None).save(tmp_path / "sealed.npz", key)
    assert Template.load(tmp_path / "sealed.npz", key).quality is None
    # A plain file that is encrypted later says itself, too, who made it.
    encrypt_stored(tmp_path / "eye.npz", key)
    stored = Template.load(tmp_path / "eye.npz", key)
    assert (stored.origin, stored.quality) == (ORIGIN, QUALITY)
    np.testing.assert_array_equal(stored.embedding, vector)


def test_quality_is_stored_as_exactly_as_it_is_measured(tmp_path):
    [vector] = rounded(embeddings(1), LAYOUT)
    exact = IrisQuality(*np.random.default_rng(0).uniform(0.0, 200.0, 9))
    Template(vector, ORIGIN, exact, layout=LAYOUT).save(tmp_path / "eye.npz")
    found = Template.load(tmp_path / "eye.npz").quality
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(exact), rel=5e-7)


def test_templates_of_both_versions_are_compared(tmp_path):
    [vector] = embeddings(1)
    Template(vector, ORIGIN).save(tmp_path / "old.npz")
    packed = Template(rounded(vector[None], LAYOUT)[0], ORIGIN, layout=LAYOUT)
    packed.save(tmp_path / "new.npz")
    old, new = (Template.load(tmp_path / f"{name}.npz") for name in ("old", "new"))
    np.testing.assert_array_equal(old.embedding, vector)
    gallery = Gallery.of_templates({"old": old, "new": new})
    assert gallery.similarities(new.embedding, Matcher(LAYOUT)).tolist() == pytest.approx(
        [float(vector @ packed.embedding), 1.0], abs=1e-5
    )


def content(header, payload):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return np.frombuffer(text + b"\0" + payload, np.uint8)


GOOD = {
    "kind": "template", **dataclasses.asdict(ORIGIN), "quality": [], "version": VERSION,
    "phase": [48, 4, 1],
}  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        b"", b"[]", b"[" * 9000, b"{" * 20000, GOOD | {"version": 3}, GOOD | {"phase": [48, 4]},
        GOOD | {"phase": [48, 5, 1]}, GOOD | {"phase": [2**40, 4, 1]}, GOOD | {"phase": "48"},
        GOOD | {"quality": ["1"] * 9}, GOOD | {"quality": [1.0]}, GOOD | {"quality": None},
        GOOD | {"model": None}, GOOD | {"kind": "gallery"},
        {name: value for name, value in GOOD.items() if name != "model_sha256"},
    ],
)  # fmt: skip
def test_damaged_packed_templates_are_refused(tmp_path, header):
    payload = pack(
        embeddings(1, layout=PhaseCodeLayout(48, 4, 1), learned=3), PhaseCodeLayout(48, 4, 1)
    )
    path = tmp_path / "eye.npz"
    np.savez(path, template=content(GOOD, payload.tobytes()))
    assert Template.load(path).embedding.shape == (51,)
    np.savez(path, template=content(header, payload.tobytes()))
    with pytest.raises(ModelError, match="not a template file"):
        Template.load(path)


def test_packed_templates_of_wrong_bytes_are_refused(tmp_path):
    path = tmp_path / "eye.npz"
    for wrong in (
        content(GOOD, b""), content(GOOD, bytes(30)), np.zeros(40), np.zeros((2, 2), np.uint8),
    ):  # fmt: skip
        np.savez(path, template=wrong)
        with pytest.raises(ModelError, match="not a template file"):
            Template.load(path)


def test_the_released_size_is_that_of_six_bits_a_response():
    # 2 bytes of length, 112 entries, 2,048 responses of 6 bits.
    assert packed_size(4208, LAYOUT) == 2 + 112 + 2048 * 6 // 8 == 1650
    assert pack(embeddings(2), LAYOUT).shape == (2, 1650)
