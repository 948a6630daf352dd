package org.iristf.core

import kotlin.math.PI
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sqrt

/**
 * The phase code of an embedding, with what comparisons need to know of it: computed once, compared many times.
 * The counterpart of `iris_tf/matching/phase_evidence.py`; formulas are in `docs/how-it-works/scores.md`.
 *
 * @param code complex responses of two filters, column after column around the ring; hidden ones are 0
 * @property plain the code before levelling; null if there is none
 */
class PhaseCode private constructor(code: DoubleArray, private val layout: PhaseCodeLayout, private val plain: PhaseCode?) {
    private val rows = layout.size / (layout.columns * ENTRIES)
    private val column = rows * FILTERS // complex responses of a column
    private val responses = layout.size / 2
    private val real = DoubleArray(responses) { code[2 * it] }
    private val imaginary = DoubleArray(responses) { code[2 * it + 1] }
    private val energy = DoubleArray(responses) { real[it] * real[it] + imaginary[it] * imaginary[it] }

    /** Visible places per degree of freedom in comparisons with codes like this one. */
    val spread: Double

    /** Correlation of similarities with codes like this one at neighbouring rotations, 0..0.95. */
    val smoothness: Double

    init {
        var square = 0.0
        var nextSquare = 0.0
        val total = max((0 until FILTERS).sumOf(::meanEnergy), TINY)
        for (rowLag in 0 until min(ROW_LAGS, rows)) {
            // Fewer places have a neighbour that many rows away; lags but 0 occur with both signs.
            val weight = (if (rowLag == 0) 1.0 else 2.0) * (1.0 - rowLag.toDouble() / rows)
            for (moved in 0 until FILTERS) for (fixed in 0 until FILTERS) {
                val found = autocorrelations(moved, fixed, rowLag, total)
                square += weight * found.sumOf { it.dot(it) }
                nextSquare += weight * found.zipWithNext { one, next -> one.dot(next) }.sum()
            }
        }
        spread = max(SHARED * square, LEAST_SPREAD)
        smoothness = (nextSquare / max(square, TINY)).coerceIn(0.0, SMOOTHEST)
    }

    /** Degrees of freedom of the comparison of this code with itself, before levelling, which would make up for blur. */
    val freedom: Double get() = plain?.freedom ?: (energy.count { it > 0 } / spread)

    /**
     * Mean energy of the coarse filter's visible responses over the fine filter's, before levelling: near 1 for sharp
     * images, higher for blurred ones, and 0 where a filter sees nothing.
     */
    val coarseness: Double get() {
        if (plain != null) return plain.coarseness
        val (coarse, fine) = (0 until FILTERS).map(::meanEnergy)
        return if (fine > 0) coarse / fine else 0.0
    }

    /**
     * How unlikely it is that a stranger on the same camera is as similar as another code.
     *
     * @param wideShare share of strangers' evidence, 0 to less than 1, that may come of shifts beyond those of the
     *   layout, as of images that are upside down; with 0 they are not tried
     */
    fun compare(other: PhaseCode, wideShare: Double = 0.0): PhaseEvidence {
        require(layout == other.layout) { "the codes have the layouts $layout and ${other.layout}" }
        val upright = compareAt(other, -layout.maxShift..layout.maxShift, 1.0 - wideShare)
        val beyond = layout.maxShift + 1..<layout.columns - layout.maxShift
        if (wideShare == 0.0 || beyond.isEmpty()) return upright
        val wide = compareAt(other, beyond, wideShare)
        if (wide.evidence <= upright.evidence) return upright
        // Else what both show upright counts, which may be nothing.
        return PhaseEvidence(if (wide.evidence > BY_CHANCE) wide.freedom else upright.freedom, wide.evidence)
    }

    /** Evidence at the best of some shifts, which are to contribute a share of strangers' evidence. */
    private fun compareAt(other: PhaseCode, shifts: IntRange, share: Double): PhaseEvidence {
        val shift = shifts.maxBy { product(other, it) }
        var common = 0
        var own = 0.0
        var others = 0.0
        for (at in 0 until responses) {
            val from = shifted(at, shift)
            if (energy[from] > 0 && other.energy[at] > 0) {
                common++
                own += energy[from]
                others += other.energy[at]
            }
        }
        val freedom = common / sqrt(spread * other.spread)
        val similarity = max(product(other, shift), 0.0) / sqrt(max(own * others, TINY))
        // A Gaussian process is above a level z at the start with probability exp(-z^2 / 2) / 2 at most, and
        // rises above it this often until the last rotation, times exp(-z^2 / 2) (Rice, 1945).
        val steps = shifts.last - shifts.first
        val crossings = steps * sqrt(2 * (1 - (smoothness + other.smoothness) / 2)) / (2 * PI)
        return PhaseEvidence(freedom, freedom * similarity * similarity / 2 - ln((0.5 + crossings) / share))
    }

    /** Scalar product with another code, while this one is shifted to the right by some columns. */
    private fun product(other: PhaseCode, shift: Int): Double = (0 until responses).sumOf {
        val from = shifted(it, shift)
        real[from] * other.real[it] + imaginary[from] * other.imaginary[it]
    }

    private fun shifted(at: Int, shift: Int) = (at - shift * column).mod(responses)

    private fun meanEnergy(filter: Int): Double {
        val visible = (filter until responses step FILTERS).map { energy[it] }.filter { it > 0 }
        return if (visible.isEmpty()) 0.0 else visible.average()
    }

    /** Autocorrelations of two filters at one row lag, by column lag. */
    private fun autocorrelations(moved: Int, fixed: Int, rowLag: Int, total: Double): List<Complex> {
        val reach = min(COLUMN_LAGS, (layout.columns - 1) / 2)
        return (-reach..reach).map { autocorrelation(moved, fixed, rowLag, it, total) }
    }

    private fun autocorrelation(moved: Int, fixed: Int, rowLag: Int, columnLag: Int, total: Double): Complex {
        var sumReal = 0.0
        var sumImaginary = 0.0
        var count = 0
        for (at in 0 until layout.columns) {
            val movedColumn = (at + columnLag).mod(layout.columns)
            for (row in 0 until rows - rowLag) {
                val one = movedColumn * column + (row + rowLag) * FILTERS + moved
                val other = at * column + row * FILTERS + fixed
                if (energy[one] > 0 && energy[other] > 0) {
                    count++
                    sumReal += real[one] * real[other] + imaginary[one] * imaginary[other]
                    sumImaginary += imaginary[one] * real[other] - real[one] * imaginary[other]
                }
            }
        }
        val scale = max(count, LEAST_COUNT) * total
        return Complex(sumReal / scale, sumImaginary / scale)
    }

    private class Complex(val real: Double, val imaginary: Double) {
        /** Real part of the product with the conjugate of another number. */
        fun dot(other: Complex) = real * other.real + imaginary * other.imaginary
    }

    companion object {
        private const val FILTERS = 2
        private const val ENTRIES = 2 * FILTERS // per place of a code: real and imaginary parts
        private const val ROW_LAGS = 4 // 0..3; negative ones follow by symmetry
        private const val COLUMN_LAGS = 11 // in either direction
        private const val LEAST_COUNT = 20 // places, below which an autocorrelation is not scaled up further
        private const val LEAST_SPREAD = 1.0 / ENTRIES

        /** A code shares the sampling error of its autocorrelation with itself, not with strangers. */
        private const val SHARED = 0.85
        private const val SMOOTHEST = 0.95
        private const val BY_CHANCE = 4.6 // evidence that one stranger in a hundred reaches, no sign of rotation
        private const val TINY = 1e-12

        /** The code in the last entries of an embedding, levelled if there is a [levelling]. */
        fun of(embedding: FloatArray, layout: PhaseCodeLayout, levelling: Levelling? = null): PhaseCode {
            val code = DoubleArray(layout.size) { embedding[embedding.size - layout.size + it].toDouble() }
            val plain = PhaseCode(code, layout, null)
            return levelling?.let { PhaseCode(it.level(code, layout.columns), layout, plain) } ?: plain
        }
    }
}

/**
 * Evidence of a pair of phase codes.
 *
 * @property freedom degrees of freedom of the comparison: they fall with blur and with a smaller common area
 * @property evidence negative natural logarithm of the share of strangers that are as similar at any rotation
 */
data class PhaseEvidence(val freedom: Double, val evidence: Double)
