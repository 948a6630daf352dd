package org.iristf.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.hypot
import kotlin.math.max
import kotlin.math.pow
import kotlin.math.sin
import kotlin.math.sqrt

/**
 * Makes phase codes of all images alike in what says nothing about the eye: the counterpart of
 * `iris_tf/matching/levelling.py`.
 *
 * @property spectrum root mean power of a levelled code at each frequency along the ring, from 0 to half a cycle per
 *   column
 * @property exponent power to which magnitudes of responses are raised, above 0 up to 1
 */
data class Levelling(val spectrum: List<Double>, val exponent: Double) {
    /**
     * Level a phase code.
     *
     * @param code real and imaginary parts of responses, column after column around the ring; hidden ones are 0 and
     *   stay so
     */
    fun level(code: DoubleArray, columns: Int): DoubleArray {
        val ring = Ring(code, columns)
        for ((frequency, target) in spectrum.withIndex()) {
            ring.scale(frequency, target / max(ring.rootMeanPower(frequency), LEAST_POWER))
        }
        val levelled = ring.values()
        for (at in code.indices step 2) {
            val seen = code[at] != 0.0 || code[at + 1] != 0.0
            val magnitude = hypot(levelled[at], levelled[at + 1])
            val factor = if (seen && magnitude > 0) magnitude.pow(exponent - 1) else 0.0
            levelled[at] *= factor
            levelled[at + 1] *= factor
        }
        return levelled
    }

    companion object {
        private const val LEAST_POWER = 1e-6 // root mean, of a frequency, below which it is not scaled up further

        /** Read the block `levelling` of a score model; it refuses what Python refuses. */
        @Throws(JsonException::class)
        fun read(json: JsonObject): Levelling {
            json.refuseOthers(listOf("spectrum", "exponent"))
            val spectrum = json.numbers("spectrum")
            if (spectrum.any { it < 0 } || spectrum.all { it == 0.0 }) throw json.wrong("spectrum", "0 or more, and not 0 everywhere")
            val exponent = json.number("exponent")
            if (exponent <= 0 || exponent > 1) throw json.wrong("exponent", "above 0 up to 1")
            return Levelling(spectrum, exponent)
        }
    }
}

/** Fourier coefficients along a ring of columns, for each number of a column. */
private class Ring(values: DoubleArray, private val columns: Int) {
    private val channels = values.size / columns
    private val frequencies = columns / 2 + 1
    private val cosines = DoubleArray(columns) { cos(2 * PI * it / columns) }
    private val sines = DoubleArray(columns) { sin(2 * PI * it / columns) }
    private val real = DoubleArray(frequencies * channels)
    private val imaginary = DoubleArray(frequencies * channels)

    init {
        forEach { coefficient, place, angle ->
            real[coefficient] += values[place] * cosines[angle]
            imaginary[coefficient] -= values[place] * sines[angle]
        }
    }

    fun rootMeanPower(frequency: Int) =
        sqrt(coefficients(frequency).sumOf { real[it] * real[it] + imaginary[it] * imaginary[it] } / channels)

    fun scale(frequency: Int, by: Double) = coefficients(frequency).forEach {
        real[it] *= by
        imaginary[it] *= by
    }

    /** The numbers that have these coefficients. */
    fun values() = DoubleArray(columns * channels).also { values ->
        forEach { coefficient, place, angle ->
            // Frequencies between the lowest and the highest occur with both signs.
            val occurrences = if (2 * (coefficient / channels) % columns == 0) 1.0 else 2.0
            values[place] +=
                occurrences / columns * (real[coefficient] * cosines[angle] - imaginary[coefficient] * sines[angle])
        }
    }

    private fun coefficients(frequency: Int) = frequency * channels until (frequency + 1) * channels

    /** Every coefficient with every place that it depends on, and the angle between them, in columns. */
    private inline fun forEach(visit: (coefficient: Int, place: Int, angle: Int) -> Unit) {
        for (frequency in 0 until frequencies) for (column in 0 until columns) {
            val angle = frequency * column % columns
            for (channel in 0 until channels) visit(frequency * channels + channel, column * channels + channel, angle)
        }
    }
}
