package org.iristf.core

import kotlin.math.floor

/** An image of float32 values, e.g. one of the probabilities that a network gives for each pixel. */
class Plane(val height: Int, val width: Int, val values: FloatArray = FloatArray(height * width)) {
    init {
        require(values.size == height * width) { "${values.size} values are no plane of $width x $height." }
    }

    operator fun get(y: Int, x: Int): Float = values[y * width + x]

    /** The value at a point between pixels. */
    fun at(x: Float, y: Float): Float = bilinear(height, width, x, y) { row, column -> this[row, column] }

    /** This as if it were [newHeight] x [newWidth] pixels large: what `cv2.INTER_LINEAR` makes of it. */
    fun resized(newHeight: Int, newWidth: Int): Resized = Resized(newHeight, newWidth)

    /** Values are computed when they are asked for, because a photograph's window may be large. */
    inner class Resized(private val newHeight: Int, private val newWidth: Int) {
        operator fun get(y: Int, x: Int): Float = at(place(x, width, newWidth), place(y, height, newHeight))

        private fun place(i: Int, from: Int, to: Int): Float =
            ((i + 0.5) * (1.0 / (to.toDouble() / from)) - 0.5).toFloat()
    }
}

/** Bilinear between four pixels; the frame's edge is continued outwards. */
internal inline fun bilinear(height: Int, width: Int, x: Float, y: Float, pixel: (Int, Int) -> Float): Float {
    val left = floor(x).toInt()
    val top = floor(y).toInt()
    val above = top.coerceIn(0, height - 1)
    val below = (top + 1).coerceIn(0, height - 1)
    val first = left.coerceIn(0, width - 1)
    val second = (left + 1).coerceIn(0, width - 1)
    return between(
        between(pixel(above, first), pixel(above, second), x - left),
        between(pixel(below, first), pixel(below, second), x - left),
        y - top,
    )
}

/**
 * `a + share (b - a)` as a fused multiply-add of float32, which OpenCV 5 uses: the product is exact
 * in a double.
 */
internal fun between(a: Float, b: Float, share: Float): Float =
    (a.toDouble() + (b - a).toDouble() * share.toDouble()).toFloat()
