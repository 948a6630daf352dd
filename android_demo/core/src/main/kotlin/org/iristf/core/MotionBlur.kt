package org.iristf.core

import kotlin.math.PI
import kotlin.math.atanh
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.exp
import kotlin.math.hypot
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

/**
 * Refusal of strips that motion blurred, since those of strangers are alike if the motion was the same: the counterpart
 * of `iris_tf/recognition/motion_blur.py`, with the same limit and message.
 */
internal object MotionBlur {
    private const val MOST_ANISOTROPY = 1.1
    private const val FINE_SIGMA = 1.5 // pixels
    private const val FINE_REACH = 4
    private const val COARSE_REACH = 7
    private const val STEP = 2 // of central differences
    private const val MARGIN = 4 // around hidden pixels
    private const val EDGE = 8 // first and last rows: the outlines
    private const val SECTORS = 16
    private const val MIN_SHARE = 0.1 // of a sector, of which differences are known
    private const val RIDGE = 0.15
    private const val MOST_COHERENCE = 0.99
    private const val TINY = 1e-6

    /** Refuse a strip that motion blurred; hidden pixels are 0. */
    @Throws(ExtractionException::class)
    fun check(strip: GrayImage) {
        val found = anisotropy(strip)
        if (found <= MOST_ANISOTROPY) return
        val ratio = ceil(10 * exp(found)) / 10
        throw ExtractionException(
            "The image is blurred by motion (its texture across one direction is ${fixed(ratio, 1)} times as strong as " +
                "along it, at most ${fixed(exp(MOST_ANISOTROPY), 1)} times is accepted); keep camera and eye still, or " +
                "use a shorter exposure.",
        )
    }

    /**
     * Logarithm of the ratio of the structure tensor's eigenvalues, of that part of the tensor which has the same
     * direction in the eye image all around the iris.
     */
    fun anisotropy(strip: GrayImage): Double {
        val sectors = sectors(strip).filter { it.count >= MIN_SHARE * strip.height * strip.width / SECTORS }
        if (sectors.isEmpty()) return 0.0
        val total = sectors.sumOf { it.count.toDouble() }
        // Least squares of `own + common * turn` with a real `own`, which is the iris's; pairs are complex numbers.
        var (meanTurn, turned) = List(2) { doubleArrayOf(0.0, 0.0) }
        var mean = 0.0
        for (sector in sectors) {
            val weight = sector.count / total
            val angle = 4 * PI * (sector.index + 0.5) / SECTORS
            val (re, im) = sector.tensor()
            mean += weight * re
            meanTurn = doubleArrayOf(meanTurn[0] + weight * cos(angle), meanTurn[1] + weight * sin(angle))
            turned = doubleArrayOf(
                turned[0] + weight * (re * cos(angle) + im * sin(angle)),
                turned[1] + weight * (im * cos(angle) - re * sin(angle)),
            )
        }
        val scale = 1 + RIDGE
        val square = meanTurn[0] * meanTurn[0] + meanTurn[1] * meanTurn[1]
        val product = meanTurn[0] * turned[0] - meanTurn[1] * turned[1]
        val own = (mean - product / scale) / (1 - square / scale)
        return hypot(turned[0] - own * meanTurn[0], turned[1] + own * meanTurn[1]) / scale
    }

    /** Sums over a sector of the squared differences along the angle and along the radius, and of their products. */
    private class Sector(val index: Int) {
        var count = 0
        var along = 0.0
        var across = 0.0
        var mixed = 0.0

        fun add(angular: Double, radial: Double) {
            count++
            along += angular * angular
            across += radial * radial
            mixed += angular * radial
        }

        /** Deviatoric structure tensor, whose magnitude is the logarithm of the ratio of the eigenvalues. */
        fun tensor(): Pair<Double, Double> {
            val energy = max(along + across, TINY)
            val re = (along - across) / energy
            val im = 2 * mixed / energy
            val coherence = hypot(re, im)
            val factor = 2 * atanh(min(coherence, MOST_COHERENCE)) / max(coherence, TINY)
            return re * factor to im * factor
        }
    }

    private fun sectors(strip: GrayImage): List<Sector> {
        val (height, width) = strip.height to strip.width
        val texture = texture(strip)
        val known = farFromHidden(strip)
        val sectors = List(SECTORS, ::Sector)
        for (y in EDGE + STEP until height - EDGE - STEP) for (x in 0 until width) {
            val left = (x - STEP).mod(width)
            val right = (x + STEP).mod(width)
            val row = y * width
            val above = row - STEP * width
            val below = row + STEP * width
            if (!(known[row + x] && known[row + left] && known[row + right] && known[above + x] && known[below + x])) continue
            sectors[x * SECTORS / width].add(
                texture[row + right] - texture[row + left], texture[below + x] - texture[above + x],
            )
        }
        return sectors
    }

    /** Levels without noise and without what is coarser than the iris's texture. */
    private fun texture(strip: GrayImage): DoubleArray {
        val visible = DoubleArray(strip.pixels.size) { if (strip.pixels[it].toInt() != 0) 1.0 else 0.0 }
        val levels = DoubleArray(strip.pixels.size) { (strip.pixels[it].toInt() and 0xff).toDouble() }
        val gaussian = DoubleArray(2 * FINE_REACH + 1) {
            exp(-(it - FINE_REACH) * (it - FINE_REACH) / (2 * FINE_SIGMA * FINE_SIGMA))
        }
        val box = DoubleArray(2 * COARSE_REACH + 1) { 1.0 }
        val (fine, coarse) = listOf(gaussian, box).map { kernel ->
            val unit = DoubleArray(kernel.size) { kernel[it] / kernel.sum() }
            val (sums, weights) = listOf(levels, visible).map { filtered(it, strip.width, unit) }
            DoubleArray(sums.size) { sums[it] / max(weights[it], TINY) }
        }
        return DoubleArray(fine.size) { fine[it] - coarse[it] }
    }

    /** Convolution with a symmetric kernel along columns, beyond which is 0, and along rows, which are rings. */
    private fun filtered(values: DoubleArray, width: Int, kernel: DoubleArray): DoubleArray {
        val reach = kernel.size / 2
        val height = values.size / width
        val across = DoubleArray(values.size)
        for (y in 0 until height) for (from in max(y - reach, 0)..min(y + reach, height - 1)) {
            val weight = kernel[from - y + reach]
            for (x in 0 until width) across[y * width + x] += weight * values[from * width + x]
        }
        val result = DoubleArray(values.size)
        for (y in 0 until height) for (shift in -reach..reach) {
            val weight = kernel[shift + reach]
            for (x in 0 until width) result[y * width + x] += weight * across[y * width + (x + shift).mod(width)]
        }
        return result
    }

    /** Whether all pixels around each are visible. */
    private fun farFromHidden(strip: GrayImage): BooleanArray {
        val hidden = DoubleArray(strip.pixels.size) { if (strip.pixels[it].toInt() == 0) 1.0 else 0.0 }
        val near = filtered(hidden, strip.width, DoubleArray(2 * MARGIN + 1) { 1.0 })
        return BooleanArray(near.size) { index ->
            near[index] == 0.0 && index / strip.width in EDGE until strip.height - EDGE
        }
    }
}
