"""Readers of the folder layouts in which iris and face image sets are distributed.

| layout | path | subject | eye |
|---|---|---|---|
| casia-thousand | ``000/L/S5000L00.jpg`` | ``000`` | L, R |
| casia-lamp | ``001/L/S2001L01.jpg`` | ``001`` | L, R |
| casia-interval | ``001/L/S1001L01.jpg`` | ``001`` | L, R |
| casia-v1 | ``001/1/001_1_1.bmp`` | the folder, which is one eye | not known |
| iitd | ``001/01_L.bmp`` | ``001`` | L, R |
| mmu1 | ``1/left/aeval1.bmp`` | ``1`` | L, R |
| mmu2 | ``010101.bmp`` (subject, eye, sample) | ``01`` | L, R |
| ufpr-periocular | ``C0001S1I1L.jpg`` (subject, session, image, eye) | ``0001`` | L, R |
| eye-folders | ``<subject>/<L, R, left or right>/<image>`` | the subject's folder | L, R |
| eye-suffixes | ``<subject>_<L, R, left or right>/<image>`` | the folder without it | L, R |
| eye-names | ``<subject>/IMG_<L, R, left or right>_1.png`` | the folder | L, R |
| folder | ``<identity>/<image>`` | the folder | not known |

``auto`` chooses ``eye-suffixes`` or ``eye-names`` if at least 80 % of the images fit and some
subject has both eyes: two eyes under one identity would give false genuine pairs, and two subjects
made of one would let a split separate their eyes. Strays are listed and left out. Hidden files
and the ``*_mask.png`` files of synthetic eyes are skipped.
IITD's labels are used as published, although its eyes 008_L and 042_L are known to be the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from iris_tf.data.image_listing import FolderListing, list_folder
from iris_tf.data.manifest import ManifestRow
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import real_path

AUTO = "auto"
MIN_MATCH = 0.8  # share of the images that must fit; a few strays do not decide the layout

_IMAGE = r"\.(?:jpe?g|png|bmp|tiff?|pgm)"
_EYES = {"l": "L", "left": "L", "r": "R", "right": "R", "01": "L", "02": "R"}


@dataclass(frozen=True)
class _Layout:
    name: str
    example: str
    # Named groups: subject, sample, and eye where the layout encodes it.
    pattern: re.Pattern
    # Files of the distribution that are not eye images of this layout.
    aside: re.Pattern | None = None

    def parse(self, image: str) -> ManifestRow | None:
        match = self.pattern.fullmatch(image)
        if match is None or not _fits_a_table(image):
            return None
        fields = match.groupdict()
        subject, eye = fields["subject"], _EYES.get(fields.get("eye", "").lower(), "")
        return ManifestRow(
            image=image,
            dataset=self.name,
            subject=subject,
            eye=eye,
            identity=f"{subject}_{eye}" if eye else subject,
            sample=fields["sample"],
        )


def _casia_v4(name: str, digit: int, example: str) -> _Layout:
    pattern = rf"(?P<subject>\d{{3}})/(?P<eye>[LR])/S{digit}(?P=subject)(?P=eye)(?P<sample>\d+)"
    return _Layout(name, example, re.compile(pattern + _IMAGE, re.IGNORECASE))


_SPECIFIC = (
    _casia_v4("casia-thousand", 5, "000/L/S5000L00.jpg"),
    _casia_v4("casia-lamp", 2, "001/L/S2001L01.jpg"),
    _casia_v4("casia-interval", 1, "001/L/S1001L01.jpg"),
    _Layout(
        "casia-v1",
        "001/1/001_1_1.bmp",
        # Session 1 or 2 is both a folder and part of the name.
        re.compile(
            r"(?P<subject>\d{3})/(?P<session>[12])/(?P=subject)_(?P<sample>(?P=session)_\d+)"
            + _IMAGE,
            re.IGNORECASE,
        ),
    ),
    _Layout(
        "iitd",
        "001/01_L.bmp",
        # BMP as distributed, or PNG made of it: the JPEGs in folder 001 are strays.
        re.compile(
            r"(?P<subject>\d{3})/(?P<sample>\d{2})_(?P<eye>[LR])\.(?:bmp|png)", re.IGNORECASE
        ),
        aside=re.compile(r"Normalized_Images/.*", re.IGNORECASE),
    ),
    _Layout(
        "mmu1",
        "1/left/aeval1.bmp",
        re.compile(
            r"(?P<subject>\d{1,3})/(?P<eye>left|right)/(?P<sample>[^/]+)" + _IMAGE, re.IGNORECASE
        ),
    ),
    _Layout(
        "mmu2",
        "010101.bmp",
        re.compile(r"(?P<subject>\d{2,3})(?P<eye>0[12])(?P<sample>\d{2})" + _IMAGE, re.IGNORECASE),
    ),
    _Layout(
        "ufpr-periocular",
        "C0001S1I1L.jpg",
        re.compile(r"C(?P<subject>\d{4})(?P<sample>S\d+I\d+)(?P<eye>[LR])" + _IMAGE),
    ),
)
_EYE_FOLDERS = _Layout(
    "eye-folders",
    "<subject>/L/<image>",
    re.compile(
        r"(?P<subject>[^/]+)/(?P<eye>[LR]|left|right)/(?P<sample>[^/]+)" + _IMAGE, re.IGNORECASE
    ),
)
_EYE_SUFFIXES = _Layout(
    "eye-suffixes",
    "<subject>_L/<image>",
    re.compile(
        r"(?P<subject>[^/]*[^/_-])[_-](?P<eye>[LR]|left|right)/(?P<sample>[^/]+)" + _IMAGE,
        re.IGNORECASE,
    ),
)
_EYE_WORD = r"(?<![a-z])(?:left|right|[lr])(?![a-z])"
_EYE_NAMES = _Layout(
    "eye-names",
    "<subject>/IMG_L_1.png",
    re.compile(
        rf"(?P<subject>[^/]+)/(?P<sample>(?:(?!{_EYE_WORD})[^/])*"
        rf"(?<![a-z])(?P<eye>left|right|[lr])(?![a-z])(?:(?!{_EYE_WORD})[^/])*)" + _IMAGE,
        re.IGNORECASE,
    ),
)
_FOLDER = _Layout(
    "folder",
    "<identity>/<image>",
    re.compile(r"(?P<subject>[^/]+)/(?P<sample>[^/]+)" + _IMAGE, re.IGNORECASE),
)
_GENERAL = (_EYE_FOLDERS, _EYE_SUFFIXES, _EYE_NAMES, _FOLDER)
_BY_NAME = {layout.name: layout for layout in (*_SPECIFIC, *_GENERAL)}
LAYOUTS = (AUTO, *_BY_NAME)
ONE_EYE_PER_FOLDER = _FOLDER.name
"""Layout in which all images of a folder are of one identity."""

PUBLISHED = tuple(layout.name for layout in _SPECIFIC)
"""Layouts of published datasets, whose folders are known to be subjects."""


@dataclass(frozen=True)
class LayoutScan:
    """The content of a folder, read as one layout.

    Attributes
    ----------
    name : str
        The layout, given or detected.
    rows : list of ManifestRow
        One row per image, sorted by path.
    unmatched : list of str
        Images that do not fit the layout, which are left out, sorted.
    unread : list of str
        Files of kinds that are not read and that may be images, sorted.
    without_images : list of str
        Identities of which there is no image that is read, and folders without any; sorted.
    """

    name: str
    rows: list[ManifestRow]
    unmatched: list[str]
    unread: list[str] = field(default_factory=list)
    without_images: list[str] = field(default_factory=list)


def dataset_name(layout: str, images: Path) -> str:
    """Name of a dataset: that of its layout if published, else of its image folder."""
    folder = real_path(images).name
    return layout if layout in PUBLISHED or not (folder and _fits_a_table(folder)) else folder


def parse_image(image: str, layout: str) -> ManifestRow | None:
    """Read subject, eye and sample from an image's path.

    Parameters
    ----------
    image : str
        Path relative to the image folder, with ``/``.
    layout : str
        One of `LAYOUTS` except ``"auto"``.

    Returns
    -------
    ManifestRow or None
        None if the name does not fit the layout.
    """
    return _BY_NAME[layout].parse(image)


def read_layout(images: str | Path, layout: str = AUTO) -> LayoutScan:
    """List the images of a folder with their subject, eye and identity.

    Parameters
    ----------
    images : str or Path
        The folder.
    layout : str
        One of `LAYOUTS`. ``"auto"`` chooses the layout of a published dataset that most images
        fit, or else one of the general ones.

    Returns
    -------
    LayoutScan

    Raises
    ------
    DatasetError
        When the folder is missing, holds no image, or fewer than `MIN_MATCH`
        of its images fit the layout.
    """
    if layout not in LAYOUTS:
        raise DatasetError(f"layout {layout!r} is unknown; choose one of {', '.join(LAYOUTS)}.")
    folder = Path(images)
    listing = list_folder(folder)
    found = listing.images
    candidates = _SPECIFIC if layout == AUTO else (_BY_NAME[layout],)
    scan = _fit_here(folder, found, candidates)
    if scan is None and layout == AUTO:
        scan = _fit_here(folder, found, (_EYE_FOLDERS, _FOLDER))
        if scan is not None and scan.name == _FOLDER.name:
            scan = _both_eyes(found) or scan
        candidates = (*candidates, *_GENERAL)
    if scan is None:
        raise DatasetError(_mismatch(folder, found, candidates))
    return replace(
        scan,
        unread=listing.unread,
        without_images=_without_images(_BY_NAME[scan.name], scan.rows, listing),
    )


def _without_images(
    layout: _Layout, rows: Sequence[ManifestRow], listing: FolderListing
) -> list[str]:
    """Identities with nothing but files that are not read, and folders without images."""
    missing = set()
    for path in (*listing.unread, *(f"{folder}/0" for folder in listing.without_images)):
        image = PurePosixPath(path).with_suffix(".png").as_posix()
        row = layout.parse(image) or (_FOLDER.parse(image) if layout in _GENERAL else None)
        if row is not None:
            missing.add(row.identity)
        elif path not in listing.unread:
            missing.add(path.rpartition("/")[0])
    return sorted(missing - {row.identity for row in rows} - {row.subject for row in rows})


def _fit_here(folder: Path, found: list[str], candidates: tuple[_Layout, ...]) -> LayoutScan | None:
    """Return the best fit or None; refuse a folder whose images fit one level further down."""
    scan = _best_fit(found, candidates)
    if scan is None and (inner := _inner_fit(found, candidates)) is not None:
        name, top = inner
        raise DatasetError(
            f"{folder}: its images fit the layout {name} one level further down; "
            f"give the folder {folder / top} instead."
        )
    return scan


def _best_fit(found: list[str], candidates: tuple[_Layout, ...]) -> LayoutScan | None:
    """The candidate that most images fit, or None when none reaches `MIN_MATCH`."""
    best = None
    for layout in candidates:
        rows, unmatched, aside = [], [], 0
        for image in found:
            if layout.aside is not None and layout.aside.fullmatch(image):
                aside += 1
            elif (row := layout.parse(image)) is not None:
                rows.append(row)
            else:
                unmatched.append(image)
        enough = rows and len(rows) >= MIN_MATCH * (len(found) - aside)
        if enough and (best is None or len(rows) > len(best.rows)):
            best = LayoutScan(layout.name, rows, unmatched)
    return best


def _both_eyes(found: list[str]) -> LayoutScan | None:
    """Read eyes from the names of folders or images, if most have one and a subject has both."""
    for layout in (_EYE_SUFFIXES, _EYE_NAMES):
        scan = _best_fit(found, (layout,))
        if scan is not None:
            subjects = {row.subject for row in scan.rows}
            if len(subjects) < len({row.identity for row in scan.rows}):
                return scan
    return None


def _inner_fit(found: list[str], candidates: tuple[_Layout, ...]) -> tuple[str, str] | None:
    """Layout and subfolder when everything fits inside one subfolder of the folder given."""
    tops = {image.partition("/")[0] for image in found}
    if len(tops) != 1:
        return None
    # Nested folders may mean anything, so the general layouts are not guessed there.
    told = tuple(
        layout for layout in candidates if layout not in (_EYE_SUFFIXES, _EYE_NAMES, _FOLDER)
    )
    scan = _best_fit([image.partition("/")[2] for image in found], told)
    return None if scan is None else (scan.name, tops.pop())


def _mismatch(folder: Path, found: list[str], candidates: tuple[_Layout, ...]) -> str:
    fits = []
    for layout in candidates:
        matching = sum(layout.parse(image) is not None for image in found)
        note = f"; {matching} fit" if matching else ""
        fits.append(f"{layout.name} ({layout.example}{note})")
    plural = "s" if len(found) != 1 else ""
    return (
        f"{folder}: found {len(found)} image{plural} like {found[len(found) // 2]}; "
        f"tried {', '.join(fits)}: fewer than {MIN_MATCH:.0%} fit; give the folder that holds "
        "the subjects' folders, or arrange the images as <identity>/<image> for the layout folder."
    )


def _fits_a_table(name: str) -> bool:
    """Whether a name can be written to a manifest: valid UTF-8 on one line."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\n" not in name and "\r" not in name
