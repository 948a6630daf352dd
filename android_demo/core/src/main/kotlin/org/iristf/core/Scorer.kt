package org.iristf.core

import kotlin.math.max
import kotlin.math.sqrt

/**
 * Scores pairs of templates: the counterpart of `Matcher` of `iris_tf/matching/matcher.py`, for models whose cards
 * have scores.
 */
class Scorer(private val layout: PhaseCodeLayout, private val model: ScoreModel) {
    /** Compute what scores need to know of an embedding: once, for any number of comparisons. */
    fun describe(embedding: FloatArray) = DescribedTemplate(
        unit(embedding.copyOf(embedding.size - layout.size)), PhaseCode.of(embedding, layout, model.levelling),
    )

    /** Refuse an image of which a template cannot tell eyes apart. */
    @Throws(ExtractionException::class)
    fun check(template: DescribedTemplate) {
        lackOfTexture(template)?.let { throw ExtractionException("The image $it") }
        val coarseness = template.code.coarseness
        if (coarseness <= ScoreModel.MOST_COARSENESS) return
        throw ExtractionException(
            "The image is blurred (its coarse texture is ${fixed(coarseness, 1)} times as strong as its " +
                "fine texture, at most ${ScoreModel.MOST_COARSENESS} times is accepted); use an image in focus.",
        )
    }

    /** Score two templates. The score is symmetric, and rises with both similarities. */
    fun score(first: DescribedTemplate, second: DescribedTemplate): Score {
        val found = first.code.compare(second.code, model.wideShare)
        val cosine = first.learned.indices.sumOf { first.learned[it] * second.learned[it] }
        val learned = model.learnedWeight * max(cosine - model.learnedFrom, 0.0)
        val problem = problem(first, second, found.freedom)
        val value = if (problem == null) model.offset + model.slope * (found.evidence + learned) else Double.NEGATIVE_INFINITY
        return Score(value, found.freedom, problem)
    }

    private fun problem(first: DescribedTemplate, second: DescribedTemplate, freedom: Double): String? {
        for ((template, which) in listOf(first to "first", second to "second")) {
            lackOfTexture(template)?.let { return "The $which image $it" }
        }
        if (freedom >= model.leastFreedom) return null
        return "The two images show too little in common (${figures(freedom, model.leastFreedom)}); choose images that show " +
            "the same parts of the iris."
    }

    private fun lackOfTexture(template: DescribedTemplate): String? {
        val least = model.leastOwnFreedom(template.code.coarseness)
        if (template.code.freedom >= least) return null
        return "shows too little texture (${figures(template.code.freedom, least)}); use an image in focus " +
            "that shows more of the iris."
    }

    private fun figures(freedom: Double, least: Double) =
        "${freedom.toInt()} degrees of freedom, at least ${least.toInt()} are needed"

    private fun unit(values: FloatArray): DoubleArray {
        val length = sqrt(values.sumOf { it.toDouble() * it })
        return DoubleArray(values.size) { if (length == 0.0) 0.0 else values[it] / length }
    }
}

/** A template with what scores need to know of it: learned components at unit length, and phase code. */
class DescribedTemplate(internal val learned: DoubleArray, internal val code: PhaseCode)

/**
 * The score of a pair of templates.
 *
 * @property value natural logarithm of the likelihood ratio same eye : different eyes; minus infinity if inconclusive, so
 *   that no decision in favour of the pair can come of it
 * @property freedom degrees of freedom of the comparison
 * @property inconclusive one sentence on why the pair shows too little for a decision; null if it shows enough
 */
data class Score(val value: Double, val freedom: Double, val inconclusive: String?)
