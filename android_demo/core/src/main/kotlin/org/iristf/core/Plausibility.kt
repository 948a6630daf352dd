package org.iristf.core

import kotlin.math.PI
import kotlin.math.hypot
import kotlin.math.roundToInt

/**
 * Plausibility checks of segmentations, and the confidence of a network; equal to
 * `iris_tf/segmentation/plausibility.py`, down to the messages.
 */
internal object Plausibility {
    fun checkGeometry(pupil: Ellipse, iris: Ellipse, height: Int, width: Int) {
        val ratio = pupil.radius / iris.radius
        val decentring = hypot(pupil.x - iris.x, pupil.y - iris.y) / iris.radius
        val aspect = minOf(aspect(pupil), aspect(iris))
        val problem = when {
            !(ratio in MIN_RATIO..MAX_RATIO) -> "the pupil has ${hundredths(ratio)} of the iris's radius"
            decentring > MAX_DECENTRING -> "the pupil lies ${hundredths(decentring)} iris radii off the iris's centre"
            aspect < MIN_ASPECT -> "an outline is ${hundredths(aspect)} times as wide as long"
            !(0 <= iris.x && iris.x < width && 0 <= iris.y && iris.y < height) -> "the iris's centre lies outside the image"
            else -> return
        }
        throw ExtractionException("No eye looks like this: $problem.")
    }

    fun checkVisible(pupil: Ellipse, iris: Ellipse, visible: Mask) {
        val share = visibleShare(pupil, iris, visible)
        if (share < MIN_VISIBLE) {
            throw ExtractionException(
                "Only ${(100 * share).roundToInt()}% of the iris can be seen (at least ${(100 * MIN_VISIBLE).roundToInt()}% are needed).",
            )
        }
    }

    /** Visible share of the ring between the two outlines. */
    fun visibleShare(pupil: Ellipse, iris: Ellipse, visible: Mask): Double =
        visible.inside.count { it } / (PI * (iris.radius * iris.radius - pupil.radius * pupil.radius))

    fun checkConfidence(confidence: Double) {
        if (confidence < MIN_CONFIDENCE) {
            throw ExtractionException(
                "The network is unsure where the iris is (confidence ${hundredths(confidence)}, " +
                    "at least ${hundredths(MIN_CONFIDENCE)} is needed).",
            )
        }
    }

    /** Intersection over union with the truth that is expected if the network's probabilities hold. */
    fun expectedOverlap(probabilities: Plane): Double {
        var inside = 0.0
        var either = 0.0
        for (value in probabilities.values) {
            if (value > 0.5f) inside += value
            either += if (value > 0.5f) 1.0 else value.toDouble()
        }
        return if (either > 0.0) inside / either else 0.0
    }

    private fun aspect(ellipse: Ellipse) = minOf(ellipse.a, ellipse.b) / maxOf(ellipse.a, ellipse.b)

    private fun hundredths(value: Double) = fixed(value, 2)

    private const val MIN_RATIO = 0.12 // pupil radius over iris radius
    private const val MAX_RATIO = 0.77
    private const val MAX_DECENTRING = 0.3 // distance of the centres, in iris radii
    private const val MIN_ASPECT = 0.65
    private const val MIN_VISIBLE = 0.2 // share of the ring between the ellipses
    private const val MIN_CONFIDENCE = 0.75
}
