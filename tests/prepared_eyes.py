"""A small folder of synthetic eyes, prepared by `prepare`."""

import csv
import functools

import cv2
import numpy as np

from iris_tf.preparation.prepare_dataset import prepare as prepare_with_any_segmenter

# The fastest segmenter, whatever the default is.
prepare = functools.partial(prepare_with_any_segmenter, segmenter="opencv")

PERSONS, IMAGES_PER_EYE = 4, 4


def drawn_eye(seed):
    """A 320x240 eye without eyelids, with its centre and radii."""
    rng = np.random.default_rng(seed)
    image = np.full((240, 320), 190, np.float32)
    x, y = 160 + rng.uniform(-15, 15), 120 + rng.uniform(-10, 10)
    iris, pupil = rng.uniform(70, 85), rng.uniform(25, 35)
    centre = (round(x * 16), round(y * 16))
    cv2.circle(image, centre, round(iris * 16), 110, -1, cv2.LINE_AA, 4)
    image += 30 * cv2.GaussianBlur(rng.normal(0, 4, image.shape), (0, 0), 3)
    cv2.circle(image, centre, round(pupil * 16), 20, -1, cv2.LINE_AA, 4)
    image = cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), (x, y, pupil, iris)


def draw_folder(folder, persons=PERSONS, images=IMAGES_PER_EYE):
    """Eyes in the CASIA-Thousand layout; image n is `drawn_eye(n)`."""
    for i, name in enumerate(image_names(persons, images)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), drawn_eye(i)[0])
    return folder


def image_names(persons=PERSONS, images=IMAGES_PER_EYE):
    return [
        f"{p:03d}/{eye}/S5{p:03d}{eye}{i:02d}.png"
        for p in range(persons)
        for eye in "LR"
        for i in range(images)
    ]


def failures_of(out):
    with open(out / "failures.csv", newline="", encoding="utf-8") as file:
        return {row["image"]: (row["reason"], row["detail"]) for row in csv.DictReader(file)}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
