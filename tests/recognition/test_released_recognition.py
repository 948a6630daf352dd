"""The released recognition model, on generated eyes that it has not seen."""

import contextlib
import dataclasses
import itertools
import json
import math
import shutil
import warnings

import cv2
import numpy as np
import pytest

from iris_tf import IrisRecognizer
from iris_tf.config.names import CARD_NAME, SCORE_RATES
from iris_tf.data.layouts import read_layout
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.calibration import Calibration, ImpostorEstimate
from iris_tf.matching.embeddings import Embeddings
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.keyed_transform import KeyedTransform
from iris_tf.matching.levelling import mean_spectrum
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import Template
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.recognition.cropper import Cropper
from iris_tf.recognition.embed_folder import embed_folder
from iris_tf.recognition.fit_scores import SiteComparisons, fit_scores
from iris_tf.recognition.refusals import _blur, why_inconclusive
from iris_tf.support.errors import ExtractionError, FailureReason, ModelError
from iris_tf.synthetic.sites import draw_site, render_site_eye
from iris_tf.tflite.cost import model_cost
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import released_folder, released_model, released_weights
from iris_tf.tflite.score_model import Levelling
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

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


def test_it_fits_the_papers_size_and_costs_less_than_the_stock_network(released_float32):
    for file, most in ((released_float32, 12.0), (released_model("mobiiris"), 6.0)):
        cost = model_cost(file)
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
    # By score alone: similarities are those within the rotations of a head.
    upside_down = recognizer.verify(template, np.roll(strip, 256, axis=1), kind="roi")
    assert upside_down.same_eye and upside_down.similarity < 0.2


def test_strangers_upside_down_are_not_found(recognizer, embedded):
    identities, vectors = embedded
    scores = recognizer.scores(vectors, recognizer.matcher.layout.rotate(vectors, 64))
    same = identities[:, None] == identities[None]
    threshold = recognizer.thresholds["fmr_1e-4"]
    assert np.mean(scores[same] >= threshold) >= 0.95
    assert np.mean(scores[~same] >= threshold) <= 1e-3


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


def test_scores_tell_eyes_apart_at_the_rates_that_they_claim(embedded, recognizer):
    identities, vectors = embedded
    scores = recognizer.scores(vectors, vectors)
    np.testing.assert_allclose(scores, scores.T, atol=1e-3)
    same = (identities[:, None] == identities[None, :])[np.triu_indices(len(vectors), 1)]
    pairs = scores[np.triu_indices(len(vectors), 1)]
    thresholds = recognizer.thresholds
    assert np.mean(pairs[same] >= thresholds["fmr_1e-4"]) >= 0.93
    # Comparisons of the same two eyes are alike, so each pair of eyes counts once.
    first, second = np.triu_indices(len(vectors), 1)
    for point, rate in SCORE_RATES.items():
        false = ~same & (pairs >= thresholds[point])
        eyes = set(zip(identities[first[false]], identities[second[false]], strict=True))
        assert len(eyes) <= 2 * rate * np.sum(~same) + 3


def test_rates_hold_at_a_site_that_nothing_was_fitted_to(recognizer):
    site, vectors = draw_site(2024, 3), []
    for number in range(40):
        for eye in render_site_eye(site, 2024, 3, number, 1):
            try:
                vectors.append(recognizer.embed([eye.image])[0])
            except ExtractionError:
                continue
    assert len(vectors) >= 30
    scores = recognizer.scores(np.stack(vectors), np.stack(vectors))
    strangers = scores[np.triu_indices(len(vectors), 1)]
    for point in ("fmr_1e-2", "fmr_1e-3", "fmr_1e-4"):
        most = 2 * SCORE_RATES[point] * len(strangers) + 3
        assert np.sum(strangers >= recognizer.thresholds[point]) <= most


def out_of_focus(sigma):
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma)


def shaken(columns, rows):
    return lambda image: cv2.blur(image, (columns, rows))


@pytest.mark.parametrize(
    "blur",
    [*map(out_of_focus, (6, 8, 12)), shaken(31, 1), shaken(1, 31), shaken(41, 1), shaken(1, 41)],
)
def test_no_blur_makes_strangers_alike(recognizer, small_images, blur):
    firsts = {row.identity: row.image for row in read_layout(small_images, "auto").rows}
    images = [
        cv2.imread(str(small_images / name), cv2.IMREAD_GRAYSCALE) for name in firsts.values()
    ]
    kept, reasons = [], []
    for image in images:
        try:
            kept.append(recognizer.embed([blur(image)])[0])
        except ExtractionError as refusal:
            reasons.append(refusal.reason)
    assert reasons.count(FailureReason.LOW_QUALITY) >= 0.7 * len(images)
    if kept:
        found = recognizer.similarities(np.array(kept), np.array(kept))
        strangers = found[np.triu_indices(len(kept), 1)]
        assert np.sum(strangers >= recognizer.thresholds["far_1e-2"]) <= 1


@pytest.fixture(scope="module")
def sharp_and_blurred(small_images):
    [row, *_] = read_layout(small_images, "auto").rows
    sharp = cv2.imread(str(small_images / row.image), cv2.IMREAD_GRAYSCALE)
    return sharp, cv2.GaussianBlur(sharp, (0, 0), 12)


def test_blurred_images_are_refused(recognizer, sharp_and_blurred, tmp_path):
    sharp, blurred = sharp_and_blurred
    cv2.imwrite(str(tmp_path / "blurred.png"), blurred)
    template = recognizer.enroll(sharp)
    for call in (
        lambda: recognizer.embed([sharp, blurred]),
        lambda: recognizer.enroll([sharp, blurred]),
        lambda: recognizer.verify(template, blurred),
        lambda: recognizer.verify(blurred, sharp, "far_1e-2"),
        lambda: recognizer.identify(blurred, {"a": template}),
        lambda: recognizer.embed([tmp_path / "blurred.png"]),
    ):
        with pytest.raises(ExtractionError, match="use an image in focus") as refused:
            call()
        assert refused.value.reason == FailureReason.LOW_QUALITY
    assert str(refused.value).startswith(f"{tmp_path / 'blurred.png'}: The image ")


def test_an_image_of_another_eye_is_named_when_enrolled(recognizer, small_images):
    rows = read_layout(small_images, "auto").rows
    *own, _ = [small_images / row.image for row in rows if row.identity == rows[0].identity]
    stranger = next(row.image for row in rows if row.identity != rows[0].identity)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        template = recognizer.enroll(iter(own))
        recognizer.enroll(own[0])
    np.testing.assert_array_equal(template.embedding, recognizer.enroll(own).embedding)
    with pytest.warns(UserWarning, match="is like none of the others of this eye") as found:
        recognizer.enroll([*own, small_images / stranger])
    assert [str(small_images / stranger) in str(each.message) for each in found] == [True]
    # Of two images that differ, either may be the wrong one.
    with pytest.warns(UserWarning, match="is like none") as found:
        recognizer.enroll([own[0], small_images / stranger])
    assert len(found) == 2


def test_figures_are_rounded_away_from_limits(recognizer):
    model = recognizer.card.score
    assert _blur(1.6) == ""
    assert "is 1.7 times as strong as its fine texture, at most 1.6" in _blur(1.601)
    own = {"probe": (60.0, 1.0)}
    assert "(63 degrees of freedom, at least 64 are needed)" in why_inconclusive(model, own, 63.9)
    reason = why_inconclusive(model, {"probe": (47.9, 1.0)}, 70.0)
    assert "(47 degrees of freedom, at least 48 are needed)" in reason


def test_blurred_images_of_a_folder_are_counted(recognizer, sharp_and_blurred, tmp_path):
    for name, image in zip(("sharp.png", "blurred.png"), sharp_and_blurred, strict=True):
        cv2.imwrite(str(tmp_path / name), image)
    found = embed_folder(recognizer, tmp_path)
    assert (found.images, found.failures) == (("sharp.png",), {"low_quality": 1})
    assert found.missing == ("blurred.png",)


def test_templates_of_blurred_images_are_inconclusive(recognizer, sharp_and_blurred):
    # As made by earlier versions, which did not refuse the image.
    sharp, blurred = sharp_and_blurred
    crop = Cropper(recognizer.card.segmenter, recognizer.card.roi_mode)(blurred).roi
    [embedding] = TFLiteEmbedder(recognizer.model).embed([crop])
    template = Template(embedding, recognizer.origin)
    result = recognizer.verify(template, template)
    assert result.operating_point == "fmr_1e-4"
    assert not result.same_eye and result.score == -math.inf
    assert "degrees of freedom" in result.inconclusive
    for point in ("far_1e-2", -1.0):  # reached by every similarity
        result = recognizer.verify(template, template, point)
        assert result.similarity >= result.threshold
        assert result.inconclusive and not result.same_eye
        assert recognizer.identify(template, {"a": template}, point).identity is None
    assert recognizer.verify(sharp, sharp).inconclusive == ""
    assert recognizer.verify(sharp, sharp, -1.0).same_eye


def test_a_search_shares_its_rate_among_the_images(embedded, recognizer):
    identities, vectors = embedded
    names = tuple(identities)
    gallery = Gallery(vectors, names, ("",) * len(names), recognizer.origin)
    probe = Template(vectors[0], recognizer.origin)
    found = recognizer.identify(probe, gallery)
    slope = recognizer.card.score.slope
    expected = recognizer.thresholds["fmr_1e-4"] + slope * math.log(len(names))
    assert found.threshold == pytest.approx(expected)
    assert found.identity == identities[0]
    scores = [match.score for match in found.matches]
    assert scores == sorted(scores, reverse=True)
    by_similarity = recognizer.identify(probe, gallery, "far_1e-3")
    assert by_similarity.threshold == recognizer.card.thresholds["far_1e-3"]
    assert by_similarity.matches[0].score is None


def test_scores_are_fitted_to_comparisons(embedded, recognizer):
    identities, vectors = embedded
    layout = recognizer.matcher.layout
    levelling = Levelling(mean_spectrum(recognizer.matcher.split(vectors)[1], layout), 0.5)
    site = SiteComparisons.of(vectors, identities, layout, levelling)
    fitted = fit_scores([site], levelling)
    assert fitted.slope > 0
    assert fitted.levelling == levelling
    line = np.diff(list(fitted.thresholds.values()))
    np.testing.assert_allclose(line, fitted.slope * math.log(10), atol=1e-3)
    assert fitted.thresholds_from["cameras"] == 1


def with_scores_of(recognizer, path, score):
    """A calibration that changes nothing but the scores."""
    impostors = ImpostorEstimate(1, 0.0, 9.0, {"far_1e-2": 0.2, "far_1e-3": 0.3}, {})
    size = recognizer.card.embedding_size - recognizer.matcher.code_size
    origin = recognizer.origin
    Calibration(
        "gate", origin.model, origin.model_sha256, np.eye(size, dtype=np.float32), 2, 2, {},
        dataclasses.replace(impostors, methods=dict.fromkeys(impostors.thresholds, "empirical")),
        recognizer.matcher, score=score,
    ).write(path)  # fmt: skip
    return path


def test_calibrated_embeddings_have_no_scores(embedded, recognizer, tmp_path):
    """Those of the card are fitted to its own learned components."""
    path = with_scores_of(recognizer, tmp_path / "gate.json", None)
    calibrated = IrisRecognizer(recognizer.model, calibration=path)
    rows = [
        ManifestRow(str(i), "made", name[:3], "L", name, str(i))
        for i, name in enumerate(embedded[0])
    ]
    for which, scored in ((recognizer, True), (calibrated, False)):
        embeddings = Embeddings(embedded[1], which.origin, which.matcher)
        found = evaluate_embeddings(embeddings, rows, resamples=0).metrics
        assert (found.scores is not None) == scored
    assert not calibrated.has_scores
    # Unless the calibration brings its own.
    with_scores_of(recognizer, path, recognizer.card.score)
    scored = IrisRecognizer(recognizer.model, calibration=path)
    assert scored.has_scores and scored.matcher.has_scores
    assert {"far_1e-2", "fmr_1e-4"} < set(scored.thresholds)
    np.testing.assert_allclose(  # the matrix changes nothing
        scored.scores(embedded[1][:3], embedded[1]), recognizer.scores(embedded[1][:3], embedded[1])
    )


@pytest.fixture
def old_model(recognizer, tmp_path):
    """The released model with a card of an earlier version, which has no scores."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(recognizer.model, folder)
    dataclasses.replace(recognizer.card, score=None).write(folder / CARD_NAME)
    return folder / recognizer.model.name


def test_old_cards_have_no_scores(old_model, embedded):
    old = IrisRecognizer(old_model)
    assert "fmr_1e-4" not in old.thresholds
    with pytest.raises(ModelError, match="no scores"):
        old.scores(embedded[1], embedded[1])


def test_scores_and_thresholds_are_those_of_the_calibration(
    recognizer, old_model, embedded, sharp_and_blurred, tmp_path
):
    card = recognizer.card.score
    thresholds = {point: value + 7.0 for point, value in card.thresholds.items()}
    own = dataclasses.replace(card, thresholds=thresholds, slope=2 * card.slope)
    names, vectors = embedded
    for model in (recognizer.model, old_model):
        path = with_scores_of(recognizer, tmp_path / "gate.json", own)
        calibrated = IrisRecognizer(model, calibration=path)
        probe = Template(vectors[0], calibrated.origin)
        found = calibrated.verify(probe, probe)
        assert (found.operating_point, found.threshold) == ("fmr_1e-4", thresholds["fmr_1e-4"])
        gallery = Gallery(vectors, tuple(names), ("",) * len(names), calibrated.origin)
        searched = calibrated.identify(probe, gallery)
        raised = thresholds["fmr_1e-4"] + 2 * card.slope * math.log(len(names))
        assert searched.threshold == pytest.approx(raised)
        assert searched.identity == names[0]
        best = (found.score - card.offset) / (2 * card.slope)  # of the image itself
        expected = (recognizer.scores(vectors[:1], vectors[:1])[0, 0] - card.offset) / card.slope
        assert best == pytest.approx(expected, rel=1e-4)
        with pytest.raises(ExtractionError, match="use an image in focus"):
            calibrated.enroll(sharp_and_blurred[1])


@pytest.fixture(scope="module")
def halves(recognizer, sharp_and_blurred):
    """Templates of two parts of one iris that hardly overlap, and of the whole."""
    strip = recognizer._crop(sharp_and_blurred[0]).roi
    left, right = strip.copy(), strip.copy()
    left[:, 288:] = 0
    right[:, :224] = 0
    return [recognizer.enroll(image, "roi") for image in (left, right, strip)]


def test_a_search_says_why_it_is_inconclusive(recognizer, halves):
    left, right, whole = halves
    reason = recognizer.verify(left, right).inconclusive
    assert "too little in common" in reason
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the low thresholds
        for point in (None, 0.01, -1.0):
            found = recognizer.identify(left, {"right": right}, point)
            assert (found.identity, found.inconclusive) == (None, reason)
            assert [(match.same_eye, match.inconclusive) for match in found.matches] == [
                (False, reason)
            ]
            # A conclusive match ranks first, whatever the similarities are.
            found = recognizer.identify(left, {"right": right, "whole": whole}, point)
            assert (found.identity, found.inconclusive) == ("whole", "")
            assert [match.inconclusive for match in found.matches] == ["", reason]


def test_conclusive_strangers_rank_before_inconclusive_ones(recognizer, halves, embedded):
    left, right, _ = halves
    vectors = embedded[1]
    similarities = recognizer.similarities(left.embedding[None], vectors)[0]
    stranger = Template(vectors[similarities.argmin()], recognizer.origin)
    found = recognizer.identify(left, {"right": right, "stranger": stranger}, "far_1e-3")
    assert [match.identity for match in found.matches] == ["stranger", "right"]
    assert found.matches[0].similarity < found.matches[1].similarity
    assert (found.identity, found.inconclusive) == (None, "")


def test_the_command_ends_with_2_if_a_search_is_inconclusive(
    recognizer, sharp_and_blurred, run_cli, tmp_path
):
    strip = recognizer._crop(sharp_and_blurred[0]).roi
    for name, hidden in (("left", slice(288, None)), ("right", slice(224))):
        part = strip.copy()
        part[:, hidden] = 0
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "eye.png"), part)
    recognizer.embed([tmp_path / "right" / "eye.png"], "roi")
    arguments = ("identify", tmp_path / "left" / "eye.png", "--gallery", tmp_path / "g.npz")
    right = recognizer.enroll(tmp_path / "right" / "eye.png", "roi")
    Gallery.of_templates({"ann": right}).save(tmp_path / "g.npz")
    for more in ((), ("--threshold", "0.3")):
        status, out, _ = run_cli(*arguments, "--kind", "roi", *more)
        assert status == 2
        assert "inconclusive" in out.splitlines()[2]
        assert "): inconclusive, the two show too little in common (" in out
        assert "no identity reaches it" not in out
        status, out, _ = run_cli(*arguments, "--kind", "roi", "--json", *more)
        found = json.loads(out)
        assert (status, found["identity"]) == (2, None)
        assert found["inconclusive"].startswith("the two show too little in common (")
        assert found["matches"][0]["inconclusive"] == found["inconclusive"]
    whole = Template(recognizer.embed(strip, "roi")[0], recognizer.origin)
    Gallery.of_templates({"ann": right, "bea": whole}).save(tmp_path / "g.npz")
    status, out, _ = run_cli(*arguments, "--kind", "roi")
    assert status == 0 and "the eye is bea's" in out
    assert "inconclusive for 1 of 2 identities, of ann because the two show too little" in out


def test_a_rate_taken_for_a_similarity_is_told(recognizer, sharp_and_blurred):
    template = recognizer.enroll(sharp_and_blurred[0])
    for call in (
        lambda: recognizer.verify(template, template, 1e-4),
        lambda: recognizer.identify(template, {"a": template}, 1e-4),
    ):
        lenient = recognizer.thresholds["far_1e-2"]
        with pytest.warns(UserWarning, match=f"0.0001 .* {lenient:.4f} .*fmr_1e-4"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recognizer.verify(template, template, recognizer.thresholds["far_1e-2"])
        recognizer.verify(template, template, "far_1e-2")


def test_transformed_templates_are_decided_upon_as_plain_ones_are(recognizer, small_images):
    rows = read_layout(small_images, "auto").rows[:12]
    plain = []
    for row in rows:
        with contextlib.suppress(ExtractionError):
            plain.append((row.identity, recognizer.enroll(small_images / row.image)))
    first, second = (KeyedTransform(SecretKey(bytes([n]) * 32), recognizer.matcher) for n in (1, 2))
    kept = [(identity, first.template(template)) for identity, template in plain]
    rekeyed = [second.template(template) for _, template in plain]
    for ((identity, a), (other, b)), ((_, p), (_, q)), again in zip(
        itertools.combinations(kept, 2),
        itertools.combinations(plain, 2),
        itertools.combinations(rekeyed, 2),
        strict=True,
    ):
        found, expected = recognizer.verify(a, b), recognizer.verify(p, q)
        assert found.same_eye == (identity == other) == expected.same_eye
        # A transform levels what its key does not change, so its scores differ from plain ones,
        # but they are the same under every key.
        assert found.score == pytest.approx(recognizer.verify(*again).score, rel=1e-3, abs=0.02)
    for wrong, theirs in (
        (second.template(plain[0][1]), r"the transform \w+"),
        (plain[0][1], "no transform"),
    ):
        with pytest.raises(ModelError, match=rf"the transform \w+, but {theirs} is in use"):
            recognizer.verify(kept[0][1], wrong)
    with pytest.raises(ModelError, match="protected by no transform"):
        recognizer.verify(small_images / rows[0].image, kept[0][1])
    gallery = first.gallery(Gallery.of_templates({f"{n}": one for n, (_, one) in enumerate(plain)}))
    result = recognizer.identify(kept[3][1], gallery)
    assert result.identity == "3"
    with pytest.raises(ModelError, match="The gallery is protected"):
        recognizer.identify(plain[3][1], gallery)
