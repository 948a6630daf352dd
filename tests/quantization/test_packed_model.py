import hashlib
import json
import math
import struct
import tracemalloc
import zlib

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_checks import SIZE, build

from iris_tf.networks.embed_rois import embed_rois
from iris_tf.quantization.bit_packing import (
    compress_mask,
    decompress_mask,
    pack_bits,
    packed_size,
    unpack_bits,
)
from iris_tf.quantization.packed_file import PackedFile
from iris_tf.quantization.packed_model import load_packed_model, pack_model
from iris_tf.quantization.wrapping import fix_precision, kernels, mix_precision
from iris_tf.support.errors import ModelError

ROIS = np.random.default_rng(0).integers(0, 256, (4, *SIZE), dtype=np.uint8)
X = ROIS[..., None].astype(np.float32)


# The same examples in every run, on slow machines, too.
REPEATABLE = settings(derandomize=True, database=None, deadline=None)


def codes_of(bits):
    return st.lists(st.integers(0, 2**bits - 1), max_size=100)


def test_packed_bits_by_hand():
    # 101 010 111 1 -> 10101011 11000000
    assert pack_bits(np.array([5, 2, 7, 4], np.uint8), 3).hex() == "abc0"
    assert unpack_bits(bytes.fromhex("abc0"), 3, 4).tolist() == [5, 2, 7, 4]
    assert pack_bits(np.array([], np.uint8), 5) == b""


def test_any_codes_survive_packing():
    rng = np.random.default_rng(0)
    for _ in range(300):
        bits, count = int(rng.integers(1, 9)), int(rng.integers(0, 70))
        codes = rng.integers(0, 2**bits, count).astype(np.uint8)
        packed = pack_bits(codes, bits)
        assert len(packed) == packed_size(bits, count) == int(np.ceil(bits * count / 8))
        np.testing.assert_array_equal(unpack_bits(packed, bits, count), codes)
        # The same by text, digit by digit.
        digits = "".join(format(code, f"0{bits}b") for code in codes.tolist())
        assert packed == bytes(
            int(digits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(digits), 8)
        )


@REPEATABLE
@given(st.integers(1, 8).flatmap(lambda bits: st.tuples(st.just(bits), codes_of(bits))))
def test_codes_are_the_bits_of_one_long_number(case):
    bits, codes = case
    packed = pack_bits(np.array(codes, np.uint8), bits)
    number = 0
    for code in codes:
        number = number << bits | code
    filled = -bits * len(codes) % 8
    assert packed == (number << filled).to_bytes((bits * len(codes) + filled) // 8, "big")
    assert unpack_bits(packed, bits, len(codes)).tolist() == codes


@REPEATABLE
@given(st.lists(st.integers(1, 8), min_size=1, max_size=300))
def test_masks_come_back(bits):
    mask = np.array(bits, np.uint8)
    assert decompress_mask(compress_mask(mask), len(bits)).tolist() == bits


def test_any_mask_survives_compression():
    rng = np.random.default_rng(0)
    for _ in range(100):
        widths = rng.choice(np.arange(2, 9), int(rng.integers(1, 5)))
        mask = rng.choice(widths, int(rng.integers(1, 400))).astype(np.uint8)
        np.testing.assert_array_equal(decompress_mask(compress_mask(mask), len(mask)), mask)
    assert len(compress_mask(np.full(100_000, 2, np.uint8))) < 100


def test_a_mask_takes_little_more_than_its_entropy():
    rng = np.random.default_rng(0)
    for share in (0.5, 0.1, 0.02):
        mask = np.where(rng.random(200_000) < share, 8, 4).astype(np.uint8)
        entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
        assert len(compress_mask(mask)) * 8 / len(mask) < 1.35 * entropy + 0.01


def test_a_damaged_mask_is_refused():
    compressed = compress_mask(np.array([2, 4, 8, 2] * 50, np.uint8))
    for wrong in (b"", compressed[:3], bytes([200]) + compressed[1:]):
        with pytest.raises(ValueError):
            decompress_mask(wrong, 200)
    with pytest.raises(ValueError, match="bytes are not those of"):
        decompress_mask(compressed, 150)


@pytest.fixture(scope="module")
def mobile():
    model = build("mobilenet_v3_small")
    for _ in range(3):
        model(X, training=True)
    return model


@pytest.fixture(scope="module")
def mixed(mobile):
    weights = kernels(mobile)
    rng = np.random.default_rng(0)
    mask = {name: rng.choice([2, 4, 8], part.shape, p=[0.6, 0.3, 0.1]).astype(np.uint8)
            for name, part in weights.items()}  # fmt: skip
    return mix_precision(mobile, mask, ROIS)


@pytest.fixture(scope="module")
def packed(mixed, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "small.irq"
    return path, pack_model(mixed, path)


def test_a_mixed_network_loads_to_the_same_bits(mixed, packed):
    path, _ = packed
    np.testing.assert_array_equal(load_packed_model(path)(X), mixed(X))


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_a_fixed_network_loads_to_the_same_bits(mobile, bits, tmp_path):
    model = fix_precision(mobile, bits, ROIS)
    size = pack_model(model, tmp_path / "fixed.irq")
    assert size.average_bits == bits and size.mask < 100
    np.testing.assert_array_equal(load_packed_model(tmp_path / "fixed.irq")(X), model(X))


def test_size_on_disk(mobile, mixed, packed):
    path, size = packed
    count = sum(part.size for part in kernels(mobile).values())
    bits = [layer.bits_of_weights() for layer in mixed.layers if hasattr(layer, "bits_of_weights")]
    average = sum(int(part.sum()) for part in bits) / count
    assert size.average_bits == pytest.approx(average)
    assert size.weights == pytest.approx(average * count / 8, abs=8)
    # By hand: the weights of each width without gaps, filled up to a whole byte.
    with_bits = {width: sum(int((part == width).sum()) for part in bits) for width in (2, 4, 8)}
    assert sum(with_bits.values()) == count
    assert size.weights == sum(math.ceil(number * width / 8) for width, number in with_bits.items())
    content = path.read_bytes()
    (header,) = struct.unpack_from("<I", content, 4)
    checksum = 32
    assert size.graph == 4 + 4 + header + checksum
    assert 8 + header + size.weights + size.mask + size.numbers + checksum == len(content)
    # Four bytes for every other parameter, and scale and limit of inputs of every layer.
    raw = zlib.decompress(content[-checksum - size.numbers : -checksum])
    assert len(raw) == 4 * (mobile.count_params() - count + 2 * len(bits))
    # Of everything else, only the entropy of the mask grows with the weights.
    assert size.graph < 20_000
    assert size.numbers < 4 * (mobile.count_params() - count + 10 * len(bits))
    entropy = -sum(p * np.log2(p) for p in (0.6, 0.3, 0.1))
    assert size.mask * 8 < 1.3 * entropy * count


def test_one_of_a_thousand_changes_is_found(packed, tmp_path):
    content = packed[0].read_bytes()
    path = tmp_path / "changed.irq"
    rng = np.random.default_rng(0)
    for number in range(1000):
        changed = bytearray(content)
        if number % 4 == 0:
            changed = changed[: rng.integers(0, len(content))]
        elif number % 4 == 1:
            changed += rng.bytes(int(rng.integers(1, 50)))
        else:
            place = rng.integers(0, len(content)) if number % 4 == 2 else rng.integers(0, 200)
            changed[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(changed)
        with pytest.raises(ModelError) as error:
            PackedFile.read(path)
        assert "\n" not in str(error.value) and str(error.value).count(". ") == 0


def rewritten(content, change):
    """The content with another header and a checksum that fits, as somebody ill-meaning writes."""
    (length,) = struct.unpack_from("<I", content, 4)
    header = json.loads(zlib.decompress(content[8 : 8 + length]))
    change(header)
    packed = zlib.compress(json.dumps(header).encode())
    body = b"IRQ1" + struct.pack("<I", len(packed)) + packed + content[8 + length : -32]
    return body + hashlib.sha256(body).digest()


def break_class(header):
    header["graph"]["config"]["layers"][1]["class_name"] = "Lambda"
    header["graph"]["config"]["layers"][1]["registered_name"] = "Lambda"


def mask_with_text(header):
    layers = header["graph"]["config"]["layers"]
    layer = next(layer for layer in layers if layer["class_name"] == "FusedBatchNormalization")
    layer["inbound_nodes"][0]["kwargs"]["mask"] = "text"


def embed_twice(header):
    config = header["graph"]["config"]
    config["output_layers"] = [config["output_layers"]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (mask_with_text, r"its network fails on a black crop \(Exception .*BatchNorm"),
        (embed_twice, r"its model maps \(None, .* to \[\(None, "),
        (lambda header: header.update(format=9), "its network cannot be built .format 9"),
        (lambda header: header.pop("graph"), "its network cannot be built"),
        (lambda header: header["sections"].pop("mask"), "sections and length differ"),
        (lambda header: header["sections"].update(mask=5), "sections and length differ"),
        (lambda header: header.update(sections=3), "not that of a packed network"),
        (break_class, "its network cannot be built"),
    ],
)
def test_a_foreign_content_with_a_fitting_checksum(packed, tmp_path, change, message):
    path = tmp_path / "foreign.irq"
    path.write_bytes(rewritten(packed[0].read_bytes(), change))
    with pytest.raises(ModelError, match=message):
        load_packed_model(path)


def test_a_network_that_its_file_cannot_hold(packed, monkeypatch):
    monkeypatch.setattr("iris_tf.quantization.packed_model._MOST_PER_BYTE", 1)
    with pytest.raises(ModelError, match=r"its network has [0-9,]+ parameters, but the file st"):
        load_packed_model(packed[0])


def test_a_file_of_more_than_any_network_has(tmp_path):
    path = tmp_path / "large.irq"
    with open(path, "wb") as file:
        file.truncate(2**30 + 1)  # sparse
    with pytest.raises(ModelError, match=r"has more than 1,073,741,824 bytes"):
        load_packed_model(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load_packed_model(tmp_path / "missing.irq")
    (tmp_path / "text.irq").write_text("not a network")
    with pytest.raises(ModelError, match=r"not an \.irq file"):
        load_packed_model(tmp_path / "text.irq")
    assert keras.saving.get_registered_object("iris_tf>MixedPrecision") is not None


def test_numbers_that_unpack_to_gigabytes_are_refused(packed, tmp_path):
    whole = PackedFile.read(packed[0])
    bomb = zlib.compress(bytes(2**28), 9)
    PackedFile(whole.header, {**whole.sections, "numbers": bomb}).write(tmp_path / "bomb.irq")
    tracemalloc.start()
    with pytest.raises(ModelError, match="unpack to too many bytes"):
        load_packed_model(tmp_path / "bomb.irq")
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_files_compute_the_same_in_graphs(mobile, bits, tmp_path):
    """TensorFlow rewrites graphs, so those of a model and of its file could round differently."""
    model = fix_precision(mobile, bits, ROIS)
    pack_model(model, tmp_path / "fixed.irq")
    loaded = load_packed_model(tmp_path / "fixed.irq")
    np.testing.assert_array_equal(embed_rois(loaded, ROIS), embed_rois(model, ROIS))
