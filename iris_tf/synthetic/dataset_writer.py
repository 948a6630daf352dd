"""Writes a folder of synthetic eye images in the layout of CASIA-Iris-Thousand."""

import os
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import joblib

from iris_tf.config.names import CAMERAS, IMAGE_FORMATS
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import is_there, is_unused, real_path, write_bytes, write_json
from iris_tf.support.foreign_files import read_json
from iris_tf.support.parallel import check_jobs, one_opencv_thread, run_in_processes
from iris_tf.support.progress import StageProgress
from iris_tf.synthetic.capture import draw_capture
from iris_tf.synthetic.eye_renderer import render_eye
from iris_tf.synthetic.ground_truth import (
    SYNTHESIS_FILE,
    geometry_path,
    mask_path,
    write_truth,
)
from iris_tf.synthetic.synthetic_identity import (
    EYES,
    appearance_generator,
    draw_identity,
    image_generator,
)
from iris_tf.synthetic.variety import (
    draw_varied_camera,
    draw_varied_capture,
    draw_varied_face,
)

MAX_SUBJECTS, MAX_IMAGES = 1000, 100  # file names of the layout have three and two digits

_GENERATOR = 3  # increment when the same seed yields different images
_JPEG_QUALITY = 92


def image_path(out: Path, subject: int, eye: str, sample: int, image_format: str) -> Path:
    """Path of an image in the layout, e.g. ``out/000/L/S5000L00.jpg``."""
    name = f"S5{subject:03d}{eye}{sample:02d}.{image_format}"
    return out / f"{subject:03d}" / eye / name


def synthesize(
    out: str | os.PathLike,
    subjects: int,
    images: int,
    seed: int,
    jobs: int = -1,
    image_format: str = "jpg",
    cameras: str = "one",
    scheduler: str | None = None,
) -> Path:
    """Generate eye images with ground truth, or resume an interrupted generation.

    Each image ``S5000L00.jpg`` comes with ``S5000L00.json`` (ellipses and rendering
    parameters) and ``S5000L00_mask.png`` (visible iris, 0 or 255). Existing images are kept.
    The output is deterministic to the byte, independent of `jobs`.

    Parameters
    ----------
    out : path
        Folder; created if missing. It must be empty or hold the same synthesis.
    subjects : int
        Number of subjects, 1..1000; each has two eyes, which are two identities.
    images : int
        Images of each eye, 1..100.
    seed : int
        0 or more.
    jobs : int, optional
        Number of processes; -1 for one per core.
    image_format : {"jpg", "png"}, optional
    cameras : {"one", "many"}, optional
        ``"one"``: a camera of 640 x 480 pixels and cooperative subjects, as in
        CASIA-Iris-Thousand. ``"many"``: a different camera, distance and light for each
        image and a far wider range of appearances, for testing segmenters.
    scheduler : str, optional
        Address ``tcp://host:port`` of a ``dask.distributed`` scheduler, whose workers
        render instead of local processes. They must see `out` under the same path.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    DatasetError
        For values out of range, if `out` holds other data, or if a worker process is
        killed.
    OSError
        If a file cannot be written, e.g. on a full disk; no partial file remains.
    """
    _check_range("subjects", subjects, 1, MAX_SUBJECTS)
    _check_range("images", images, 1, MAX_IMAGES)
    if seed < 0:
        raise DatasetError(f"seed is {seed}; give 0 or more.")
    check_jobs(jobs, scheduler)
    if image_format not in IMAGE_FORMATS:
        raise DatasetError(
            f"image format is {image_format!r}; choose one of {', '.join(IMAGE_FORMATS)}."
        )
    if cameras not in CAMERAS:
        raise DatasetError(f"cameras is {cameras!r}; choose one of {', '.join(CAMERAS)}.")
    out = Path(out)
    _claim(
        out,
        {
            "generator": _GENERATOR,
            "subjects": subjects,
            "images": images,
            "seed": seed,
            "image_format": image_format,
            "cameras": cameras,
        },
    )

    work = []
    for subject in range(subjects):
        for eye in EYES:
            missing = [
                sample
                for sample in range(images)
                if not _finished(image_path(out, subject, eye, sample, image_format))
            ]
            if missing:
                work.append((subject, eye, missing))
    total = subjects * len(EYES) * images
    done = total - sum(len(missing) for _, _, missing in work)
    folder = real_path(out)  # cluster workers have their own working directories
    with StageProgress("Synthesizing eyes", total, done) as progress:
        calls = (
            joblib.delayed(_write_identity)(
                folder, seed, subject, eye, missing, image_format, cameras
            )
            for subject, eye, missing in work
        )
        for count in run_in_processes(calls, jobs, out, scheduler) if work else ():
            progress.advance(count)
    return out


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise DatasetError(f"{name} is {value}; give {low} to {high}.")


def _claim(out: Path, parameters: dict) -> None:
    """Record `parameters` in `out`; raise if the folder holds anything else."""
    path = out / SYNTHESIS_FILE
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder for the synthetic eyes.")
    if not path.exists():
        if not is_unused(out):
            raise DatasetError(
                f"{out} holds files but no {SYNTHESIS_FILE}; give an empty or a new folder."
            )
        write_json(path, parameters)
        return
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); give another folder.") from error
    if found != parameters:
        wanted = (
            ", ".join(
                f"{name} {found.get(name) if isinstance(found, dict) else None} instead of {value}"
                for name, value in parameters.items()
                if not isinstance(found, dict) or found.get(name) != value
            )
            or "unknown parameters"
        )
        raise DatasetError(
            f"{out} holds another synthesis ({wanted}); give another folder or remove this one."
        )


def _finished(path: Path) -> bool:
    return all(map(is_there, (path, geometry_path(path), mask_path(path))))


def _write_identity(
    out: Path,
    seed: int,
    subject: int,
    eye: str,
    samples: list[int],
    image_format: str,
    cameras: str,
) -> int:
    """Write all images of one eye, in one job because they share the expensive texture."""
    if not (out / SYNTHESIS_FILE).is_file():
        raise DatasetError(
            f"{out}: a worker process does not see this folder; all machines of a cluster must "
            "share it under the same path."
        )
    with one_opencv_thread():
        identity = draw_identity(seed, subject, eye)
        camera = None
        if cameras == "many":
            face = draw_varied_face(appearance_generator(seed, subject), identity.face)
            identity = replace(identity, face=face)
        for sample in samples:
            rng = image_generator(seed, subject, eye, sample)
            capture = draw_capture(rng, identity)
            if cameras == "many":
                camera = draw_varied_camera(rng)
                capture = draw_varied_capture(rng, identity, capture, camera)
            rendered = render_eye(identity, capture, rng, camera)
            path = image_path(out, subject, eye, sample, image_format)
            parameters = {
                "subject": subject,
                "eye": eye,
                "sample": sample,
                "texture_contrast": identity.texture.contrast,
                "texture_level": identity.texture.level,
                **asdict(capture),
                **({} if camera is None else {"camera": asdict(camera)}),
            }
            write_truth(path, rendered.pupil, rendered.iris, rendered.visible, parameters)
            options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if image_format == "jpg" else []
            encoded = cv2.imencode(f".{image_format}", rendered.image, options)[1]
            write_bytes(path, encoded.tobytes())
    return len(samples)
