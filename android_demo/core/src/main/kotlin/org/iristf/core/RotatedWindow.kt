package org.iristf.core

import kotlin.math.PI
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.floor
import kotlin.math.sin

/**
 * A 4:3 rectangle, rotated against the image, that is resampled for the network; equal to
 * `RotatedWindow` of `iris_tf/imaging/rotated_window.py`. Beyond the image, it is black.
 *
 * @property x column of its centre in the image
 * @property y row of its centre in the image
 * @property unit a quarter of the width and a third of the height in pixels, at least 1
 * @property angle direction of its +x axis in the image, in radians from +x towards +y
 */
data class RotatedWindow(val x: Double, val y: Double, val unit: Int, val angle: Double) : Section {
    override fun cut(image: GrayImage, rows: Int): GrayImage {
        val content = GrayImage(3 * unit, 4 * unit)
        val cos = cos(angle)
        val sin = sin(angle)
        for (row in 0 until content.height) for (column in 0 until content.width) {
            val across = column - (2 * unit - 0.5)
            val down = row - (1.5 * unit - 0.5)
            val value = black(
                image.height, image.width, single(x + cos * across - sin * down), single(y + sin * across + cos * down),
            ) { y, x -> image[y, x].toFloat() }
            content[row, column] = roundHalfEven(value.toDouble()).coerceIn(0, 255)
        }
        return Resize.roi(content, rows, rows * 4 / 3)
    }

    override fun outwards(ellipse: Ellipse, rows: Int): Ellipse {
        val factor = 3.0 * unit / rows
        val across = (ellipse.x + 0.5) * factor - 2 * unit
        val down = (ellipse.y + 0.5) * factor - 1.5 * unit
        val cos = cos(angle)
        val sin = sin(angle)
        return Ellipse(
            x + cos * across - sin * down, y + sin * across + cos * down, ellipse.a * factor, ellipse.b * factor,
            (ellipse.angle + angle).mod(PI),
        )
    }

    override fun outside(probabilities: Plane, height: Int, width: Int): Mask {
        val mask = Mask(height, width)
        val factor = probabilities.height / (3.0 * unit)
        val reach = ceil(2.5 * unit).toInt() // half a diagonal
        val cos = cos(angle)
        val sin = sin(angle)
        for (row in maxOf(floor(y).toInt() - reach, 0)..minOf(ceil(y).toInt() + reach, height - 1)) {
            for (column in maxOf(floor(x).toInt() - reach, 0)..minOf(ceil(x).toInt() + reach, width - 1)) {
                val right = column - x
                val below = row - y
                mask[row, column] = black(
                    probabilities.height, probabilities.width,
                    single((cos * right + sin * below + 2 * unit) * factor - 0.5),
                    single((cos * below - sin * right + 1.5 * unit) * factor - 0.5),
                ) { y, x -> probabilities[y, x] } > 0.5f
            }
        }
        return mask
    }

    /** Bilinear interpolation; pixels beyond the frame are 0. */
    private inline fun black(height: Int, width: Int, x: Float, y: Float, pixel: (Int, Int) -> Float): Float =
        bilinear(x, y) { row, column -> if (row in 0 until height && column in 0 until width) pixel(row, column) else 0f }

    companion object {
        /** Window of about [height] pixels in height, centred on a point. */
        fun around(x: Double, y: Double, height: Double, angle: Double) =
            RotatedWindow(x, y, maxOf(roundHalfEven(height / 3), 1), angle)
    }
}
