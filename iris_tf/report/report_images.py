"""Images of crops on the report's page."""

import base64
import html

import cv2
import numpy as np

from iris_tf.imaging.images import resize_roi, with_channel_axis

FALLS, RISES = "#E69F00", "#56B4E9"  # of Okabe and Ito: light on grey, distinguishable by all
_PAIR_SIDE = 160  # pixels; crops of pairs are shown smaller than that
_STRIP_WIDTH = 384
_JPEG_QUALITY = 85
_STRONGEST = 0.8  # cover of the full colour, so that the crop shines through


def image_tag(content: bytes, alt: str, kind: str = "png") -> str:
    """An image embedded in the page itself."""
    data = base64.b64encode(content).decode("ascii")
    return f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(alt)}">'


def is_strip(crop: np.ndarray) -> bool:
    """Whether a crop is so wide that two do not fit side by side."""
    return crop.shape[1] > 2 * crop.shape[0]


def crop_png(crop: np.ndarray) -> bytes:
    """Encode a crop (height, width) or (height, width, 3), RGB, without loss."""
    return cv2.imencode(".png", _in_order_of_opencv(crop))[1].tobytes()


def small_jpeg(crop: np.ndarray) -> bytes:
    """Encode a crop (height, width) or (height, width, 3), RGB, at the size of a thumbnail.

    A smaller crop keeps its size.
    """
    height, width = crop.shape[:2]
    shrink = _thumbnail_scale(crop)
    if shrink < 1.0:
        crop = resize_roi(crop, (max(1, round(shrink * height)), max(1, round(shrink * width))))
    return _jpeg(_in_order_of_opencv(crop))


def overlay_jpeg(crop: np.ndarray, drop: np.ndarray, full: float) -> bytes:
    """Encode a crop with a saliency map as an overlay, at the size of a thumbnail.

    Parameters
    ----------
    crop : ndarray of shape (height, width) or (height, width, 3), uint8
        The crop, grey or RGB.
    drop : ndarray of shape (height, width), float
        Shown in the colour `FALLS` where positive, `RISES` where negative.
    full : float
        Absolute value that has the full colour, larger than 0.
    """
    colours = np.array([_bgr(FALLS), _bgr(RISES)])
    cover = _STRONGEST * np.clip(np.abs(drop) / full, 0.0, 1.0)[..., None]
    below = with_channel_axis(_in_order_of_opencv(crop)[None])[0]
    mixed = (1 - cover) * below + cover * colours[(drop < 0).astype(int)]
    scale = _thumbnail_scale(crop)
    return _jpeg(
        cv2.resize(
            mixed.round().astype(np.uint8),
            None,
            fx=scale,
            fy=scale,
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
        )
    )


def _thumbnail_scale(crop: np.ndarray) -> float:
    return (_STRIP_WIDTH if is_strip(crop) else _PAIR_SIDE) / max(crop.shape[:2])


def _in_order_of_opencv(crop: np.ndarray) -> np.ndarray:
    return crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def _bgr(colour: str) -> tuple[int, int, int]:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
