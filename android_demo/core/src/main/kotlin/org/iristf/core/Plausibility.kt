package org.iristf.core

import kotlin.math.PI
import kotlin.math.hypot
import kotlin.math.roundToInt

/** What no eye looks like, and how far a network trusts itself: `iris_tf/segmentation/plausibility.py`. */
internal object Plausibility {
    fun checkGeometry(pupil: Ellipse, iris: Ellipse, height: Int, width: Int) {
        val ratio = pupil.radius / iris.radius
        val decentring = hypot(pupil.x - iris.x, pupil.y - iris.y) / iris.radius
        val aspect = minOf(aspect(pupil), aspect(iris))
        val problem = when {
            !(ratio in LEAST_RATIO..MOST_RATIO) -> "the pupil has ${hundredths(ratio)} of the iris's radius"
            decentring > MOST_DECENTRING -> "the pupil lies ${hundredths(decentring)} iris radii off the iris's centre"
            aspect < LEAST_ASPECT -> "an outline is ${hundredths(aspect)} times as wide as long"
            !(0 <= iris.x && iris.x < width && 0 <= iris.y && iris.y < height) -> "the iris's centre lies outside the image"
            else -> return
        }
        throw ExtractionException("No eye looks like this: $problem.")
    }

    fun checkVisible(pupil: Ellipse, iris: Ellipse, visible: Mask) {
        val share = visible.inside.count { it } / (PI * (iris.radius * iris.radius - pupil.radius * pupil.radius))
        if (share < LEAST_VISIBLE) {
            throw ExtractionException(
                "Only ${(100 * share).roundToInt()}% of the iris can be seen (at least ${(100 * LEAST_VISIBLE).roundToInt()}% are needed).",
            )
        }
    }

    fun checkConfidence(confidence: Double) {
        if (confidence < LEAST_CONFIDENCE) {
            throw ExtractionException(
                "The network is unsure where the iris is (confidence ${hundredths(confidence)}, " +
                    "at least ${hundredths(LEAST_CONFIDENCE)} is needed).",
            )
        }
    }

    /** Intersection over union with the truth that a network's own probabilities promise. */
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

    private fun hundredths(value: Double) = String.format(java.util.Locale.ROOT, "%.2f", value)

    private const val LEAST_RATIO = 0.12 // of the pupil's radius to the iris's
    private const val MOST_RATIO = 0.77
    private const val MOST_DECENTRING = 0.3 // of the pupil's centre, in iris radii
    private const val LEAST_ASPECT = 0.65
    private const val LEAST_VISIBLE = 0.2 // of the ring between the ellipses
    private const val LEAST_CONFIDENCE = 0.75
}
