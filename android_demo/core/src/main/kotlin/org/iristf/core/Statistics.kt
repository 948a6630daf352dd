package org.iristf.core

import kotlin.math.floor
import kotlin.math.sqrt

/**
 * Summary statistics of durations in milliseconds, named as in TFLite's `benchmark_model`.
 *
 * The standard deviation is that of the population. The percentile p of n sorted samples is
 * interpolated linearly at the position (n - 1) p / 100, NumPy's default.
 */
class Statistics(samples: List<Double>) {
    /** The individual durations in the order of measurement. */
    val samples: List<Double> = samples.toList()

    private val sorted: List<Double>

    init {
        require(samples.isNotEmpty()) { "Statistics need at least one sample." }
        sorted = samples.sorted()
    }

    val count: Int get() = samples.size
    val avg: Double = samples.sum() / samples.size
    val min: Double get() = sorted.first()
    val max: Double get() = sorted.last()
    val stddev: Double = sqrt(samples.sumOf { (it - avg) * (it - avg) } / samples.size)
    val median: Double get() = percentile(50)
    val p5: Double get() = percentile(5)
    val p90: Double get() = percentile(90)
    val p95: Double get() = percentile(95)
    val p99: Double get() = percentile(99)

    fun percentile(percent: Int): Double {
        val position = (sorted.size - 1) * percent / 100.0
        val below = floor(position).toInt()
        val above = minOf(below + 1, sorted.size - 1)
        return sorted[below] + (position - below) * (sorted[above] - sorted[below])
    }

    /** Statistics by their names in the schema, without the samples. */
    fun byName(): Map<String, Double> = linkedMapOf(
        "avg" to avg, "min" to min, "max" to max, "stddev" to stddev, "median" to median,
        "p5" to p5, "p90" to p90, "p95" to p95, "p99" to p99,
    )

    fun toJson(): Map<String, Any?> =
        linkedMapOf<String, Any?>("count" to count) + byName() + ("samples" to samples)

    /** Numbers of samples in [bins] bins of equal width from [min] to [max]. */
    fun histogram(bins: Int): IntArray {
        val counts = IntArray(bins)
        val width = (max - min) / bins
        for (sample in samples) {
            val bin = if (width > 0) ((sample - min) / width).toInt() else 0
            counts[minOf(bin, bins - 1)]++
        }
        return counts
    }

    companion object {
        // Relative to the largest sample; other programs may round.
        private const val TOLERANCE = 1e-4

        /** Parse what [toJson] writes; all statistics must agree with the samples. */
        @Throws(JsonException::class)
        fun fromJson(json: JsonObject): Statistics {
            val samples = json.numbers("samples")
            if (samples.isEmpty() || samples.any { it < 0 || !it.isFinite() }) {
                throw json.wrong("samples", "a list of durations in milliseconds")
            }
            if (json.integer("count", 1) != samples.size.toLong()) {
                throw json.wrong("count", "the number of samples, ${samples.size}")
            }
            val statistics = Statistics(samples)
            for ((name, expected) in statistics.byName()) {
                if (kotlin.math.abs(json.number(name) - expected) > TOLERANCE * statistics.max) {
                    throw json.wrong(name, "$expected, the value of the samples")
                }
            }
            return statistics
        }
    }
}
