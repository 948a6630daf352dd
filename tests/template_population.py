"""Templates of eyes that never were, for tests of galleries: smooth, and partly hidden."""

import numpy as np

from iris_tf.config.names import SCORE_RATES
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import Origin, unit
from iris_tf.matching.template_records import TemplateKind
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel

LAYOUT = PhaseCodeLayout(size=768, columns=64, turns=3)
LEARNED = 16
KIND = TemplateKind(Origin("mobiiris", "ab" * 32), LEARNED + LAYOUT.size, LAYOUT)
THRESHOLDS = {name: 2.0 * number for number, name in enumerate(SCORE_RATES, start=1)}
MATCHER = Matcher(LAYOUT, ScoreModel(-4.0, 0.9, 8.0, 0.35, 10.0, THRESHOLDS))


def fields(rng, count):
    """Smooth random complex fields (count, columns, places of a column)."""
    places = LAYOUT.size // (2 * LAYOUT.columns)
    white = rng.normal(size=(2, count, LAYOUT.columns, places))
    white = white[0] + 1j * white[1]
    return (white + np.roll(white, 1, axis=1)) / np.sqrt(2.0)


def templates(rng, codes):
    """Unit vectors with the phases of complex fields, partly hidden, and random learned parts."""
    phases = codes / np.abs(codes)
    start = rng.integers(0, LAYOUT.columns, len(codes))
    hidden = (np.arange(LAYOUT.columns) - start[:, None]) % LAYOUT.columns < LAYOUT.columns // 5
    phases[hidden] = 0.0
    flat = phases.astype(np.complex64).reshape(len(codes), -1).view(np.float32)
    learned = rng.normal(size=(len(codes), LEARNED)) * 8.0
    return unit(np.concatenate([learned, flat], axis=1))


def strangers(seed, count):
    """Templates (count, D) of different eyes."""
    rng = np.random.default_rng(seed)
    return templates(rng, fields(rng, count))


def mates(seed, count, noise=0.7):
    """Two templates (count, D) each of different eyes, the second rotated by a column."""
    rng = np.random.default_rng(seed)
    codes = fields(rng, count)
    again = np.roll(codes, 1, axis=1) + noise * fields(rng, count)
    return templates(rng, codes), templates(rng, again)
