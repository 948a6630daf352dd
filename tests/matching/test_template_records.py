import cmath
import zlib

import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, LEARNED, MATCHER, mates, strangers

from iris_tf.matching.row_file import DamagedRowsError
from iris_tf.matching.template import Origin
from iris_tf.matching.template_records import TemplateKind, TemplateRecords

RECORDS = TemplateRecords(KIND)


def test_a_record_is_what_its_description_says():
    [embedding] = strangers(0, 1)
    [record] = RECORDS.encode(embedding[None])
    responses = len(embedding[LEARNED:]) // 2
    assert len(record) == LEARNED + responses + 8 + 4
    data = record.tobytes()
    assert int.from_bytes(data[-4:], "little") == zlib.crc32(data[:-4])
    learned_step, length_step = np.frombuffer(data[-12:-4], "<f4").tolist()
    pairs = embedding[LEARNED:].reshape(-1, 2).tolist()
    longest = max(abs(complex(*pair)) for pair in pairs)
    assert learned_step == pytest.approx(max(map(abs, embedding[:LEARNED].tolist())) / 127)
    assert length_step == pytest.approx(longest / 15)
    for entry, byte in zip(embedding[:LEARNED].tolist(), record[:LEARNED].tolist(), strict=True):
        signed = byte - 256 if byte > 127 else byte
        assert abs(signed * learned_step - entry) <= 0.5001 * learned_step
    for pair, byte in zip(pairs, record[LEARNED:-12].tolist(), strict=True):
        response = complex(*pair)
        if response == 0:
            assert byte == 0
            continue
        length, direction = divmod(byte, 16)
        angle = cmath.phase(response) % (2 * cmath.pi)
        assert direction == int(angle / (2 * cmath.pi) * 16) % 16
        assert length == max(1, round(abs(response) / length_step))


def test_what_is_read_back_is_nearly_what_was_written():
    embeddings = strangers(1, 200)
    stored = RECORDS.decode(RECORDS.encode(embeddings))
    assert stored.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1.0, atol=1e-6)
    assert (stored * embeddings).sum(axis=1).min() > 0.995
    codes, kept = embeddings[:, LEARNED:], stored[:, LEARNED:]
    np.testing.assert_array_equal(kept == 0, codes == 0)  # hidden places stay, and no others
    np.testing.assert_array_equal(np.sign(kept), np.sign(codes))
    np.testing.assert_allclose(RECORDS.decode(RECORDS.encode(stored)), stored, atol=5e-3)


def test_scores_hardly_change():
    enrolled, probes = mates(2, 300)
    stored = RECORDS.decode(RECORDS.encode(enrolled))
    before, after = (
        MATCHER.scores(MATCHER.describe(probes), MATCHER.describe(which)).values
        for which in (enrolled, stored)
    )
    same = np.eye(300, dtype=bool)
    assert np.corrcoef(before[same], after[same])[0, 1] > 0.995
    loss = before[same] - after[same]
    assert abs(loss.mean()) < 0.02 * before[same].mean()
    np.testing.assert_allclose(np.quantile(after[~same], 0.99), np.quantile(before[~same], 0.99),
                               atol=0.15)  # fmt: skip


def test_a_template_of_the_released_model_takes_little_more_than_two_kilobytes():
    from iris_tf.tflite.model_card import ModelCard
    from iris_tf.tflite.released_models import RECOGNITION, released_model

    card = ModelCard.beside(released_model(RECOGNITION))
    kind = TemplateKind(Origin("mobiiris", "ab" * 32), card.embedding_size, card.phase)
    assert TemplateRecords(kind).size == 112 + 2048 + 8 + 4 <= 2200


def test_embeddings_without_a_phase_code_and_components_of_zeros():
    plain = TemplateRecords(TemplateKind(Origin("m", "ab" * 32), 8, None))
    vectors = np.eye(8, dtype=np.float32)[:3]
    np.testing.assert_array_equal(plain.decode(plain.encode(vectors)), vectors)
    for hidden in (slice(0, LEARNED), slice(LEARNED, None)):
        [embedding] = strangers(3, 1)
        embedding[hidden] = 0.0
        embedding /= np.linalg.norm(embedding)
        [stored] = RECORDS.decode(RECORDS.encode(embedding[None]))
        assert not stored[hidden].any()
        assert stored @ embedding > 0.99
    assert RECORDS.encode(np.empty((0, KIND.embedding_size), np.float32)).shape == (0, RECORDS.size)


def test_every_changed_byte_is_noticed():
    [record] = RECORDS.encode(strangers(4, 1))
    for place in range(len(record)):
        damaged = record.copy()
        damaged[place] ^= 0x10
        with pytest.raises(DamagedRowsError, match="checksum of a template is wrong"):
            RECORDS.decode(damaged[None])
