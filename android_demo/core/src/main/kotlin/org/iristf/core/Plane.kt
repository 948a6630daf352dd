package org.iristf.core

import kotlin.math.floor

/** A single-channel float32 image, e.g. the probabilities in one channel of a network's output. */
class Plane(val height: Int, val width: Int, val values: FloatArray = FloatArray(height * width)) {
    init {
        require(values.size == height * width) { "${values.size} values do not make a plane of $width x $height." }
    }

    operator fun get(y: Int, x: Int): Float = values[y * width + x]

    /** The bilinearly interpolated value at a point. */
    fun at(x: Float, y: Float): Float = replicated(height, width, x, y) { row, column -> this[row, column] }

    /** This plane resized to [newHeight] x [newWidth] pixels, as with `cv2.INTER_LINEAR`. */
    fun resized(newHeight: Int, newWidth: Int): Resized = Resized(newHeight, newWidth)

    /** A resized view whose values are computed on access, because windows of images may be large. */
    inner class Resized(private val newHeight: Int, private val newWidth: Int) {
        operator fun get(y: Int, x: Int): Float = at(source(x, width, newWidth), source(y, height, newHeight))

        private fun source(i: Int, from: Int, to: Int): Float =
            single((i + 0.5) * (1.0 / (to.toDouble() / from)) - 0.5)
    }
}

/** Bilinear interpolation between four pixels; beyond the frame, edge pixels are replicated. */
internal inline fun replicated(height: Int, width: Int, x: Float, y: Float, pixel: (Int, Int) -> Float): Float =
    bilinear(x, y) { row, column -> pixel(row.coerceIn(0, height - 1), column.coerceIn(0, width - 1)) }

/** Bilinear interpolation between four pixels, some of which may lie beyond the frame. */
internal inline fun bilinear(x: Float, y: Float, pixel: (Int, Int) -> Float): Float {
    val left = floor(x).toInt()
    val top = floor(y).toInt()
    val across = single(x.toDouble() - left)
    return lerp(
        lerp(pixel(top, left), pixel(top, left + 1), across),
        lerp(pixel(top + 1, left), pixel(top + 1, left + 1), across),
        single(y.toDouble() - top),
    )
}

/**
 * `a + fraction (b - a)` as a float32 fused multiply-add, as in OpenCV 5: the product is exact in
 * double precision.
 */
internal fun lerp(a: Float, b: Float, fraction: Float): Float =
    single(a.toDouble() + single(b.toDouble() - a).toDouble() * fraction.toDouble())
