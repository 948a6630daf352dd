import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.preparation import contact_sheet
from iris_tf.preparation.contact_sheet import write_contact_sheet
from iris_tf.preparation.journal import Outcome
from iris_tf.segmentation.quality import IrisQuality

QUALITY = IrisQuality(*[50.0] * 9)
EYE = Ellipse(0, 0, 1, 1)


def prepared(image, confidence):
    return Outcome(
        image, "", pupil=EYE, iris=EYE, confidence=confidence, quality=QUALITY, overlay=True
    )


def failed(image, reason, detail="Because.", overlay=True):
    return Outcome(image, "", reason=reason, detail=detail, overlay=overlay)


class Page(HTMLParser):
    """Sources of pictures, texts, and a check that what is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.texts, self.addresses, self._open = [], [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "img":
            assert values["loading"] == "lazy"
            self.pictures.append(unquote(values["src"]))
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        if tag not in ("img", "meta", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "title") and data.strip():
            self.texts.append(data.strip())


def page_of(tmp_path, outcomes):
    overlays = [f"overlays/{outcome.image}.jpg" for outcome in outcomes]
    write_contact_sheet(tmp_path, "opencv 2", outcomes, overlays)
    return Page((tmp_path / "contact_sheet.html").read_text(encoding="utf-8"))


def test_failures_come_first_by_reason_then_least_confidence(tmp_path):
    page = page_of(
        tmp_path,
        [
            prepared("sure.png", 0.9),
            failed("blind.png", "no_pupil"),
            prepared("worst.png", 0.1),
            failed("lid.png", "no_iris", "Lid & lashes."),
            prepared("middle.png", 0.5),
            failed("torn.png", "unreadable", "The file is empty.", overlay=False),
        ],
    )
    names = [re.sub(r"overlays/(\w+)\.png\.jpg", r"\1", picture) for picture in page.pictures]
    assert names == ["lid", "blind", "worst", "middle", "sure"]
    text = "\n".join(page.texts)
    assert "6 images, 3 prepared, 3 failed (50.0 %); segmenter opencv 2." in text
    assert re.findall(r"^\w+: \d+$|^Prepared.*", text, re.M) == [
        "Failed: 3",
        "no_iris: 1",
        "no_pupil: 1",
        "unreadable: 1",
        "Prepared: 3, least confidence first",
    ]
    assert "Lid & lashes." in text
    assert "torn.png: The file is empty." in text
    assert re.findall(r"^0\.\d\d$", text, re.M) == ["0.10", "0.50", "0.90"]


def test_a_turned_away_image_shows_its_confidence(tmp_path):
    outcome = Outcome(
        "soft.png", "", reason="low_quality", detail="Below.", confidence=0.7, quality=QUALITY,
        overlay=True,
    )  # fmt: skip
    assert "0.70" in page_of(tmp_path, [outcome]).texts


@pytest.mark.parametrize("shown", (2, 3))
def test_only_the_worst_are_shown_and_the_rest_is_counted(tmp_path, monkeypatch, shown):
    monkeypatch.setattr(contact_sheet, "MOST_SHOWN", shown)
    outcomes = [prepared(f"{i}.png", i / 10) for i in range(5)]
    outcomes += [failed(f"a{i}.png", "no_iris") for i in range(2)]
    outcomes += [failed(f"b{i}.png", "no_pupil") for i in range(3)]
    page = page_of(tmp_path, outcomes)
    pictures = [
        picture.removeprefix("overlays/").removesuffix(".png.jpg") for picture in page.pictures
    ]
    assert pictures == ["a0", "a1", "b0"][:shown] + ["0", "1", "2"][:shown]
    more = [text for text in page.texts if "more are not shown" in text]
    assert more == [
        f"{5 - shown} more are not shown; failures.csv lists all.",
        f"{5 - shown} more are not shown; manifest.csv lists all.",
    ]


def test_names_are_escaped_and_nothing_is_fetched(tmp_path):
    nasty = "a<b>&\"c' %20#?.png"
    page = page_of(tmp_path, [prepared(nasty, 0.5), failed("<i>.png", "unreadable", "<u>", False)])
    assert page.pictures == [f"overlays/{nasty}.jpg"]
    assert nasty in page.texts
    assert "<i>.png: <u>" in page.texts
    assert page.addresses == [address for address in page.addresses if ":" not in address]
    assert "url(" not in (tmp_path / "contact_sheet.html").read_text()


def test_a_dataset_of_failures_only(tmp_path):
    page = page_of(tmp_path, [failed("x.png", "unreadable", "Empty.", False)])
    assert page.pictures == []
    assert "Prepared: 0, least confidence first" in page.texts
