from dataclasses import asdict, replace

import pytest

from iris_tf.data.iris_record import IRIS_COLUMNS
from iris_tf.imaging.geometry import Ellipse
from iris_tf.preparation.journal import Outcome
from iris_tf.preparation.quality_rules import MAXIMA, check_limits, parse_limits, rejection
from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.errors import DatasetError

QUALITY = IrisQuality(80.0, 20.0, 70.0, 6.5, 100.0, 40.0, 95.0, 100.0, 15.0)
EYE = Ellipse(0, 0, 1, 1)
OUTCOME = Outcome("a.png", "", "", pupil=EYE, iris=EYE, confidence=0.5, quality=QUALITY)


def test_there_is_a_limit_and_a_column_for_every_figure():
    assert set(MAXIMA) == {"confidence", *asdict(QUALITY)}
    assert list(IRIS_COLUMNS[-len(MAXIMA) :]) == ["confidence", *asdict(QUALITY)]


def test_limits_are_read_from_a_command_line():
    assert parse_limits("") == {}
    assert parse_limits(" sharpness=20, confidence = 0.3 ,") == {
        "sharpness": 20.0,
        "confidence": 0.3,
    }


@pytest.mark.parametrize(
    "text, words",
    (
        ("sharp=20", "no quality figure called 'sharp'; the names are confidence, usable_iris"),
        ("sharpness", "'sharpness' is not of the form name=number; the names are confidence, "),
        ("sharpness=high", "'sharpness=high' is not of the form"),
        ("sharpness=", "'sharpness=' is not of the form"),
        ("sharpness=1=2", "'sharpness=1=2' is not of the form"),
        ("sharpness=1,sharpness=2", "sharpness is given twice"),
        ("sharpness=-1", "sharpness=-1 must be a number of at least 0 and at most 100"),
        ("sharpness=nan", "sharpness=nan must be"),
        ("sharpness=inf", "sharpness=inf must be"),
        ("confidence=30", "confidence=30 must be a number of at least 0 and at most 1"),
        ("iris_radius=inf", "iris_radius=inf must be a number of at least 0"),
    ),
)
def test_mistakes_are_one_sentence(text, words):
    with pytest.raises(DatasetError, match=words):
        parse_limits(text)


def test_limits_of_a_call_are_checked_alike():
    check_limits({"iris_radius": 4000, "grey_scale_utilisation": 8})
    with pytest.raises(DatasetError, match="no quality figure called 'focus'"):
        check_limits({"focus": 1})


def test_an_image_at_its_limits_stays():
    assert rejection(OUTCOME, {}) is None
    limits = {"confidence": 0.5, **asdict(QUALITY)}
    assert rejection(OUTCOME, limits) is None


def test_each_figure_turns_away_alone():
    for name, value in asdict(QUALITY).items():
        reason, detail = rejection(OUTCOME, {"confidence": 0.1, name: value + 0.5})
        assert reason == "low_quality"
        assert detail.startswith(f"Below the quality limits: {name} {value:.4f} (at least ")
        assert detail.count("at least") == 1


def test_low_confidence_comes_first_and_all_figures_are_named():
    reason, detail = rejection(OUTCOME, {"sharpness": 20.0, "margin_adequacy": 5, "confidence": 1})
    assert reason == "low_confidence"
    assert "confidence 0.5000 (at least 1), sharpness 15.0000 (at least 20)." in detail
    assert rejection(replace(OUTCOME, confidence=1.0), {"confidence": 1}) is None
