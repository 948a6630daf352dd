import copy
from pathlib import Path

import numpy as np
import pytest

from iris_tf.evaluation.iriscode import encode_images, hamming_distances, pack_template
from iris_tf.metrics.evaluate_embeddings import evaluate_similarities
from iris_tf.segmentation.open_iris_segmenter import failure_reason, ir_image
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason

iris = pytest.importorskip("iris")

from iris_tf.segmentation.open_iris_node import (  # noqa: E402
    SegmenterNode,
    open_iris_pipeline,
    segmentation_map,
)
from iris_tf.segmentation.segmenter import SegmentedEye  # noqa: E402


def test_classes_of_the_map(true_eyes):
    for truth in true_eyes[2][::7]:
        eye = SegmentedEye(truth.pupil, truth.iris, truth.visible, 1.0, truth.opening)
        found = segmentation_map(eye)
        assert list(found.index2class.values()) == ["eyeball", "iris", "pupil", "eyelashes"]
        eyeball, limbus, pupil, hidden = np.moveaxis(found.predictions.astype(bool), -1, 0)
        shape = truth.image.shape
        # Specks that lids or frames cut off are not kept.
        assert (eyeball != truth.opening).sum() < 50
        assert (limbus != (truth.iris.mask(shape) & truth.opening)).sum() < 50
        assert (pupil != (truth.pupil.mask(shape) & truth.opening)).sum() < 50
        visible = limbus & ~pupil & ~hidden
        assert (visible & ~truth.visible).sum() == 0
        assert (visible != truth.visible).sum() < 50


def test_binarised_it_gives_the_masks_of_the_eye(true_eyes):
    truth = true_eyes[2][0]
    eye = SegmentedEye(truth.pupil, truth.iris, truth.visible, 1.0, truth.opening)
    geometry, noise = iris.MultilabelSegmentationBinarization()(segmentation_map(eye))
    ring = geometry.filled_iris_mask & ~geometry.pupil_mask & ~noise.mask
    assert (ring != truth.visible).sum() < 50


def test_the_rest_of_the_pipeline_is_stock(truth, grey_network):
    stock = iris.IRISPipeline.load_config(None)
    for segmenter, model in ((truth, None), ("open-iris", grey_network)):
        params = copy.deepcopy(open_iris_pipeline(segmenter, model).params)
        assert [node.name for node in params.pipeline] == [n["name"] for n in stock["pipeline"]]
        wanted = iris.IRISPipeline.Parameters(**stock).pipeline[1:]
        for found, node in zip(params.pipeline[1:], wanted, strict=True):
            assert found.algorithm.class_name == node.algorithm.class_name
            assert [c.class_name for c in found.callbacks or []] == [
                c.class_name for c in node.callbacks or []
            ]
            assert [c.params for c in found.callbacks or []] == [
                c.params for c in node.callbacks or []
            ]


def test_a_pipeline_file_can_name_the_node(true_eyes, truth):
    text = Path(iris.IRISPipeline.DEFAULT_PIPELINE_CFG_PATH).read_text(encoding="utf-8")
    text = text.replace(
        "iris.MultilabelSegmentation.create_from_hugging_face",
        "iris_tf.segmentation.open_iris_node.SegmenterNode",
    ).replace("denoise: True", f"segmenter: {truth}")
    image = ir_image(true_eyes[2][0].image)
    one, other = iris.IRISPipeline(text)(image), open_iris_pipeline(truth)(image)
    assert one["error"] is None
    for mine, theirs in zip(
        one["iris_template"].iris_codes, other["iris_template"].iris_codes, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_iriscode_tells_synthetic_eyes_apart(true_eyes, truth):
    """The whole of Open-Iris on our masks: 48 images, 72 genuine, 1,056 impostor comparisons."""
    folder, rows, _ = true_eyes
    codes = encode_images(rows, folder, truth, jobs=1)
    assert len(codes.images) + sum(codes.failures.values()) == len(rows)
    assert len(codes.images) >= 0.9 * len(rows)
    kept = [rows[i] for i in codes.images]
    distances = hamming_distances(codes.codes, codes.masks)
    found = evaluate_similarities(1.0 - distances, kept, resamples=0).metrics
    print(f"IrisCode EER {100 * found.eer:.2f} % of {found.counts}")
    assert found.eer < 0.02
    assert found.values["cmc_1"] > 0.95
    # Codes of different eyes are independent: their distance is near the matcher's norm.
    identity = np.array([row.identity for row in kept])
    assert 0.43 < np.median(distances[identity[:, None] != identity]) < 0.5


def test_the_embedded_network_is_the_node_s_default(true_eyes):
    pipeline = open_iris_pipeline()
    assert pipeline.nodes["segmentation"].params.segmenter.name == "network"
    templates = [pipeline(ir_image(eye.image))["iris_template"] for eye in true_eyes[2][:4]]
    codes, masks = (
        np.stack(part)
        for part in zip(*(pack_template(t) for t in templates if t is not None), strict=True)
    )
    assert len(codes) >= 3  # of one eye
    assert hamming_distances(codes, masks).max() < 0.35


def test_failures_of_the_segmenter_come_through(truth):
    pipeline = open_iris_pipeline(truth)
    output = pipeline(ir_image(np.full((240, 320), 90, np.uint8)))
    assert output["iris_template"] is None
    assert output["error"]["error_type"] == "ExtractionError"
    assert failure_reason(pipeline.call_trace.get_error()) is FailureReason.NO_PUPIL


def test_a_segmenter_without_lids_is_refused():
    node = SegmenterNode("opencv")
    image = np.full((240, 320), 170, np.uint8)
    y, x = np.mgrid[:240, :320]
    image[(x - 160) ** 2 + (y - 120) ** 2 < 60**2] = 110
    image[(x - 160) ** 2 + (y - 120) ** 2 < 25**2] = 30
    with pytest.raises(DatasetError, match="'opencv' does not detect eyelids"):
        node(ir_image(image))


def test_an_eye_whose_iris_is_behind_the_lids_has_no_iris(true_eyes, truth, monkeypatch):
    import true_segmenter

    image, eye = next(iter(true_segmenter.KNOWN.items()))
    nothing = np.zeros(eye.visible.shape, bool)
    hidden = SegmentedEye(eye.pupil, eye.iris, nothing, 1.0, nothing)
    monkeypatch.setitem(true_segmenter.KNOWN, image, hidden)
    pipeline = open_iris_pipeline(truth)
    pipeline(ir_image(true_eyes[2][0].image))
    assert failure_reason(pipeline.call_trace.get_error()) is FailureReason.NO_IRIS


def test_reasons_of_open_iris_s_errors():
    errors = vars(iris.io.errors)
    wanted = {
        "Pupil2IrisValidatorErrorDilation": FailureReason.IMPLAUSIBLE_GEOMETRY,
        "PupilIrisPropertyEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
        "EyeCentersEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
        "OffgazeEstimationError": FailureReason.IMPLAUSIBLE_GEOMETRY,
        "OcclusionError": FailureReason.OCCLUDED,
        "MaskTooSmallError": FailureReason.LOW_QUALITY,
        "SharpnessEstimationError": FailureReason.LOW_QUALITY,
        "MatcherError": FailureReason.INTERNAL,
    }
    for name, reason in wanted.items():
        assert failure_reason(errors[name]("why")) is reason
    assert failure_reason(ValueError("why")) is FailureReason.INTERNAL
    assert failure_reason(ExtractionError(FailureReason.DUPLICATE, "why")) is (
        FailureReason.DUPLICATE
    )


def test_every_name_in_the_table_is_an_error_of_the_library():
    from iris_tf.segmentation.open_iris_segmenter import _REASONS

    assert set(_REASONS) <= set(vars(iris.io.errors))


@pytest.mark.parametrize(
    ("pupil", "iris_region", "reason"),
    [
        ([], [], FailureReason.NO_IRIS),
        ([], [(10, 50)], FailureReason.NO_PUPIL),
        ([(20, 25), (30, 35)], [(10, 50)], FailureReason.IMPLAUSIBLE_GEOMETRY),
    ],
)
def test_reasons_of_the_three_vectorisation_errors(pupil, iris_region, reason):
    masks = []
    for squares in (pupil, iris_region, [(5, 60)]):
        mask = np.zeros((64, 64), bool)
        for low, high in squares:
            mask[low:high, low:high] = True
        masks.append(mask)
    geometry = iris.GeometryMask(pupil_mask=masks[0], iris_mask=masks[1], eyeball_mask=masks[2])
    with pytest.raises(iris.VectorizationError) as raised:
        iris.ContouringAlgorithm()(geometry)
    assert failure_reason(raised.value) is reason
