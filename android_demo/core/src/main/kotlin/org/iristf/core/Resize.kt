package org.iristf.core

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.ulp

/**
 * Resizing of crops to a model's input size, bit-exact with `resize_roi` of `iris_tf/imaging/images.py`:
 * axes that shrink are averaged over areas, axes that grow are interpolated linearly, with the
 * rounding of OpenCV's `INTER_AREA` and `INTER_LINEAR` on 8-bit images.
 */
object Resize {
    fun roi(image: GrayImage, height: Int, width: Int): GrayImage {
        val smaller = shrink(image, minOf(image.height, height), minOf(image.width, width))
        return enlarge(smaller, height, width)
    }

    /** Downscale by area averaging; neither side may grow. */
    internal fun shrink(image: GrayImage, height: Int, width: Int): GrayImage {
        if (image.height == height && image.width == width) return image
        val factorY = wholeFactor(image.height, height)
        val factorX = wholeFactor(image.width, width)
        return if (factorY > 0 && factorX > 0) shrinkWhole(image, height, width, factorY, factorX)
        else shrinkShares(image, height, width)
    }

    private fun scale(from: Int, to: Int): Double = 1.0 / (to.toDouble() / from)

    private fun wholeFactor(from: Int, to: Int): Int {
        val scale = scale(from, to)
        val whole = roundHalfEven(scale)
        return if (abs(scale - whole) < 1.0.ulp) whole else 0
    }

    /** Each new pixel covers whole pixels, so sums are exact and rounded once. */
    private fun shrinkWhole(image: GrayImage, height: Int, width: Int, factorY: Int, factorX: Int): GrayImage {
        val result = GrayImage(height, width)
        val share = single(1.0 / (factorY * factorX))
        for (y in 0 until height) for (x in 0 until width) {
            var sum = 0
            for (dy in 0 until factorY) for (dx in 0 until factorX) {
                sum += image[y * factorY + dy, x * factorX + dx]
            }
            // For 2x2 pixels ties are rounded up, otherwise to even.
            result[y, x] = if (factorY == 2 && factorX == 2) (sum + 2) shr 2
            else roundHalfEven(single(sum * share.toDouble()).toDouble()).coerceIn(0, 255)
        }
        return result
    }

    /** The source pixels that a new pixel covers, and the weight of each. */
    private class Cover(val indices: IntArray, val shares: FloatArray)

    private fun covers(from: Int, to: Int): List<Cover> {
        val scale = scale(from, to)
        return List(to) { i ->
            val start = i * scale
            val end = start + scale
            val width = minOf(scale, from - start)
            val last = minOf(floor(end).toInt(), from - 1)
            val first = minOf(ceil(start).toInt(), last)
            val indices = ArrayList<Int>()
            val shares = ArrayList<Float>()
            // Slivers that are rounding errors are ignored.
            if (first - start > SLIVER) {
                indices.add(first - 1)
                shares.add(single((first - start) / width))
            }
            for (whole in first until last) {
                indices.add(whole)
                shares.add(single(1.0 / width))
            }
            if (end - last > SLIVER) {
                indices.add(last)
                shares.add(single(minOf(minOf(end - last, 1.0), width) / width))
            }
            Cover(indices.toIntArray(), shares.toFloatArray())
        }
    }

    private fun shrinkShares(image: GrayImage, height: Int, width: Int): GrayImage {
        val result = GrayImage(height, width)
        val columns = covers(image.width, width)
        val sums = FloatArray(width)
        // In float32 and in this order, as OpenCV: each source row is summed over its columns, then
        // the rows are summed.
        for ((y, rows) in covers(image.height, height).withIndex()) {
            sums.fill(0f)
            for ((k, row) in rows.indices.withIndex()) for (x in 0 until width) {
                val cover = columns[x]
                var sum = 0f
                for (j in cover.indices.indices) {
                    sum = single(sum.toDouble() + single(image[row, cover.indices[j]] * cover.shares[j].toDouble()))
                }
                val part = single(rows.shares[k].toDouble() * sum)
                sums[x] = if (k == 0) part else single(sums[x].toDouble() + part)
            }
            for (x in 0 until width) result[y, x] = roundHalfEven(sums[x].toDouble()).coerceIn(0, 255)
        }
        return result
    }

    /** Upscale by linear interpolation in fixed point; neither side may shrink. */
    internal fun enlarge(image: GrayImage, height: Int, width: Int): GrayImage {
        if (image.height == height && image.width == width) return image
        val columns = List(width) { place(it, image.width, width, true) }
        val result = GrayImage(height, width)
        for (y in 0 until height) {
            val row = place(y, image.height, height, false)
            val above = row.index.coerceIn(0, image.height - 1)
            val below = (row.index + 1).coerceIn(0, image.height - 1)
            for (x in 0 until width) {
                val top = across(image, above, columns[x])
                val bottom = across(image, below, columns[x])
                result[y, x] = (((row.first * (top shr 4)) shr 16) +
                    ((row.second * (bottom shr 4)) shr 16) + 2) shr 2
            }
        }
        return result
    }

    /** The source pixels [index] and [index] + 1 around a new pixel, with weights in units of 2^-11. */
    private class Place(val index: Int, val first: Int, val second: Int)

    private fun place(i: Int, from: Int, to: Int, stopAtEdges: Boolean): Place {
        val at = single((i + 0.5) * scale(from, to) - 0.5)
        var index = floor(at).toInt()
        var fraction = single(at.toDouble() - index)
        if (stopAtEdges && index < 0) {
            index = 0
            fraction = 0f
        }
        if (stopAtEdges && index >= from - 1) {
            index = from - 1
            fraction = 0f
        }
        return Place(index, weight(single(1.0 - fraction)), weight(fraction))
    }

    private fun weight(share: Float) = roundHalfEven(share.toDouble() * WEIGHT_ONE)

    private fun across(image: GrayImage, row: Int, place: Place): Int {
        val right = minOf(place.index + 1, image.width - 1)
        return image[row, place.index] * place.first + image[row, right] * place.second
    }

    private const val SLIVER = 1e-3
    private const val WEIGHT_ONE = 2048.0
}
