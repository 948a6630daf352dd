package org.iristf.core

import kotlin.math.abs

/**
 * The numbers by which two templates are scored, as a model card carries them: `ScoreModel` of
 * `iris_tf/tflite/score_model.py`. A score is a natural logarithm of the likelihood ratio same eye : different
 * eyes, `offset + slope * (evidence + learnedWeight * max(cosine - learnedFrom, 0))`.
 *
 * @property learnedWeight evidence per unit of the learned components' cosine
 * @property learnedFrom cosine above which the learned components count
 * @property leastFreedom degrees of freedom of a comparison, below which there is no decision
 * @property thresholds least score that is accepted as the same eye, by operating point
 * @property wideShare share of the false matches, 0 to less than 1, that may come of shifts beyond those of the phase
 *   code's layout: above 0, images rotated by any angle are found
 * @property levelling how phase codes are levelled before they are compared; null if they are compared as they are
 */
data class ScoreModel(
    val offset: Double, val slope: Double, val learnedWeight: Double, val learnedFrom: Double, val leastFreedom: Double,
    val thresholds: Map<String, Double>, val wideShare: Double = 0.0,
    val levelling: Levelling? = null,
) {
    /**
     * Degrees of freedom that a template needs by itself, before levelling. Those of a comparison of levelled codes do
     * not tell blur, so coarse codes need as many as a comparison.
     */
    fun leastOwnFreedom(coarseness: Double): Double =
        (if (levelling != null && coarseness > MOST_COARSENESS) 1.0 else OWN_SHARE) * leastFreedom

    companion object {
        /** Operating points with an FMR of 1 % to one in a million, from lenient to strict. */
        val OPERATING_POINTS = listOf("fmr_1e-2", "fmr_1e-3", "fmr_1e-4", "fmr_1e-5", "fmr_1e-6")

        /** Of decisions by score; the default of `iris-tf verify`, too. */
        const val DEFAULT_POINT = "fmr_1e-4"

        // Compared with a sharp image, even a very blurred one leaves enough for few false matches, but it would hardly
        // ever match its own eye.
        private const val OWN_SHARE = 0.75

        /** Coarseness of an image's phase code, beyond which strangers are too similar. */
        const val MOST_COARSENESS = 1.6

        private val REQUIRED = listOf("offset", "slope", "learned_weight", "learned_from", "least_freedom", "thresholds")
        private val OPTIONAL = listOf("thresholds_from", "wide_share", "levelling")

        /** Read the block `score` of a model card; it refuses what Python refuses. */
        @Throws(JsonException::class)
        fun read(json: JsonObject): ScoreModel {
            json.refuseOthers(REQUIRED + OPTIONAL)
            if (json.has("thresholds_from")) json.child("thresholds_from")
            val (offset, slope, weight, from, freedom) = REQUIRED.take(NUMBERS).map(json::number)
            if (slope <= 0) throw json.wrong("slope", "positive")
            if (weight < 0) throw json.wrong("learned_weight", "0 or more")
            if (abs(from) > 1) throw json.wrong("learned_from", "a cosine")
            if (freedom <= 0) throw json.wrong("least_freedom", "positive")
            val wide = if (json.has("wide_share")) json.number("wide_share") else 0.0
            if (wide < 0 || wide >= 1) throw json.wrong("wide_share", "0 to less than 1")
            val thresholds = readThresholds(json.child("thresholds"))
            val levelled = json.has("levelling") && !json.isNull("levelling")
            val levelling = if (levelled) Levelling.read(json.child("levelling")) else null
            return ScoreModel(offset, slope, weight, from, freedom, thresholds, wide, levelling)
        }

        private const val NUMBERS = 5 // of the required fields, before the thresholds

        private fun readThresholds(json: JsonObject): Map<String, Double> {
            json.refuseOthers(OPERATING_POINTS)
            val thresholds = OPERATING_POINTS.associateWith(json::number)
            for ((lenient, strict) in OPERATING_POINTS.zipWithNext()) {
                if (thresholds.getValue(strict) <= thresholds.getValue(lenient)) {
                    throw json.wrong(strict, "higher than $lenient, a more lenient point")
                }
            }
            return thresholds
        }
    }
}
