"""The released recognition model, on generated eyes that it has not seen."""

import numpy as np
import pytest

from iris_tf import IrisRecognizer
from iris_tf.data.layouts import read_layout
from iris_tf.support.errors import ExtractionError
from iris_tf.tflite.cost import model_cost
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import released_folder, released_model, released_weights

STOCK_MACS = 216.6e6  # MobileNetV3-Large at 224x224 without its classifier


@pytest.fixture(scope="module")
def recognizer():
    return IrisRecognizer()


@pytest.fixture(scope="module")
def embedded(recognizer, small_images):
    rows, vectors = [], []
    for row in read_layout(small_images, "auto").rows:
        try:
            vectors.append(recognizer.embed([small_images / row.image])[0])
        except ExtractionError:
            continue
        rows.append(row)
    assert len(rows) >= 90  # of 96
    return np.array([row.identity for row in rows]), np.stack(vectors)


def test_eyes_are_told_apart(embedded, recognizer):
    identities, vectors = embedded
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    similarity = recognizer.similarities(vectors, vectors)
    same = identities[:, None] == identities[None, :]
    np.fill_diagonal(similarity, -1.0)
    nearest = identities[similarity.argmax(axis=1)]
    assert np.mean(nearest == identities) >= 0.97
    pairs = np.triu(np.ones_like(same), 1)
    threshold = recognizer.thresholds["far_1e-2"]
    assert np.mean(similarity[same & pairs] >= threshold) >= 0.95
    assert np.mean(similarity[~same & pairs] >= threshold) <= 0.03


def test_it_fits_the_papers_size_and_costs_less_than_the_stock_network():
    for precision, most in (("float32", 12.0), ("float16", 6.0)):
        cost = model_cost(released_model("mobiiris", precision))
        assert cost.bytes / 2**20 <= most
        assert cost.macs < 0.5 * STOCK_MACS


def test_the_card_says_what_taught_it():
    card = ModelCard.read(released_folder("mobiiris") / "model_card.json")
    assert "no real image" in card.training_data
    assert card.network == "mobilenet_v3_large"
    assert card.parity["float16"] > 0.9999


def test_a_tilted_head_is_found_again(recognizer, small_images):
    path = small_images / read_layout(small_images, "auto").rows[0].image
    strip = recognizer._crop(path).roi
    template = recognizer.enroll(strip, "roi")
    tilts = (
        (0, 0.999), (11.25, 0.9), (-14.0625, 0.85), (22.5, 0.8), (-22.5, 0.8), (28.125, 0.75),
        (-28.125, 0.75),
    )  # fmt: skip
    for degrees, least in tilts:
        turned = np.roll(strip, round(degrees * 512 / 360), axis=1)
        assert recognizer.verify(template, turned, kind="roi").similarity >= least
    upside_down = recognizer.verify(template, np.roll(strip, 256, axis=1), kind="roi")
    assert not upside_down.same_eye


def test_trainings_can_start_from_it(embedded):
    from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
    from iris_tf.networks.embedding_model import build_embedding_model
    from iris_tf.networks.registry import NETWORKS

    model = build_embedding_model(
        "mobilenet_v3_large",
        (64, 512),
        112,
        weights="pretrained",
        attention=NETWORKS["mobilenet_v3_large"].attention,
        pooling="depthwise",
        normalization="local_contrast",
        reduction=(2, 2),
    )
    strips = np.random.default_rng(1).integers(0, 256, (2, 64, 512), dtype=np.uint8)
    released = load_embedding_model(released_weights("mobiiris"))
    np.testing.assert_allclose(embed_rois(model, strips), embed_rois(released, strips), atol=1e-5)
