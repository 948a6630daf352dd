"""Content of packed templates: who made them in JSON, and an embedding in few bits."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from iris_tf.matching.packed_embeddings import pack, packed_size, unpack
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

VERSION = 2
"""Version of templates in the form of this module; those before it were float32 arrays."""

_MOST_HEADER = 2**14  # bytes


def packed_template(
    header: dict[str, Any], embedding: np.ndarray, layout: PhaseCodeLayout
) -> np.ndarray:
    """Content of a template file.

    Parameters
    ----------
    header : dict
        What JSON can hold.
    embedding : ndarray of shape (D,)
        Unit vector.
    layout : PhaseCodeLayout
        Of its phase code.

    Returns
    -------
    ndarray of shape (bytes,), uint8
        JSON with `header`, ``version`` and ``phase``, a byte 0, and what
        `iris_tf.matching.packed_embeddings.pack` returns.
    """
    said = header | {"version": VERSION, "phase": list(asdict(layout).values())}
    text = json.dumps(said, separators=(",", ":")).encode()
    return np.frombuffer(text + b"\0" + pack(embedding[None], layout).tobytes(), np.uint8)


def unpacked_template(content: np.ndarray) -> tuple[dict[str, Any], np.ndarray, PhaseCodeLayout]:
    """Header, embedding (D,) and layout of what `packed_template` returned.

    Raises
    ------
    ValueError
        When it is no such content, or of another version.
    """
    if content.dtype != np.uint8 or content.ndim != 1:
        raise ValueError("not bytes")
    text, _, payload = content.tobytes().partition(b"\0")
    if len(text) > _MOST_HEADER:
        raise ValueError("the header is too long")
    try:
        header = json.loads(text)
        if header.pop("version") != VERSION:
            raise ValueError("another version")
        layout = PhaseCodeLayout(*header.pop("phase"))
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"a damaged header ({error})") from None
    if len(payload) < packed_size(layout.size, layout):
        raise ValueError("too few bytes")
    return header, unpack(np.frombuffer(payload, np.uint8)[None], layout)[0], layout
