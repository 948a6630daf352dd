package org.iristf.core

import kotlin.math.ceil

/** A part of an image that the network sees. */
interface Section {
    /** The content resized to [rows] rows, a multiple of 3. */
    fun cut(image: GrayImage, rows: Int): GrayImage

    /** Transform an ellipse from the content, at [rows] rows, to image coordinates. */
    fun outwards(ellipse: Ellipse, rows: Int): Ellipse

    /** The pixels of an image whose probability in the content exceeds 1/2. */
    fun outside(probabilities: Plane, height: Int, width: Int): Mask
}

/**
 * A 4:3 rectangle of whole pixels that is resampled for the network, equal to `Window` of
 * `iris_tf/imaging/geometry.py`. It may extend beyond the image, which is padded with black.
 *
 * @property left first column in the image
 * @property top first row in the image
 * @property unit a quarter of the width and a third of the height in pixels, at least 1
 */
data class Window(val left: Int, val top: Int, val unit: Int) : Section {
    override fun cut(image: GrayImage, rows: Int): GrayImage {
        val content = GrayImage(3 * unit, 4 * unit)
        forEachInside(image.height, image.width) { y, x -> content[y - top, x - left] = image[y, x] }
        // Both axes are scaled by the same factor.
        return Resize.roi(content, rows, rows * 4 / 3)
    }

    override fun outwards(ellipse: Ellipse, rows: Int): Ellipse {
        val factor = 3.0 * unit / rows
        // Pixel centres have integer coordinates, so scaling shifts them by half a pixel.
        return ellipse.scaled(factor, 0.5 * factor - 0.5 + left, 0.5 * factor - 0.5 + top)
    }

    override fun outside(probabilities: Plane, height: Int, width: Int): Mask {
        val mask = Mask(height, width)
        val enlarged = probabilities.resized(3 * unit, 4 * unit)
        forEachInside(height, width) { y, x -> mask[y, x] = enlarged[y - top, x - left] > 0.5f }
        return mask
    }

    private inline fun forEachInside(height: Int, width: Int, action: (Int, Int) -> Unit) {
        for (y in maxOf(top, 0) until minOf(top + 3 * unit, height)) {
            for (x in maxOf(left, 0) until minOf(left + 4 * unit, width)) action(y, x)
        }
    }

    companion object {
        /** Smallest window that contains the whole image, centred on it. */
        fun whole(height: Int, width: Int): Window {
            val unit = maxOf(ceil(height / 3.0).toInt(), ceil(width / 4.0).toInt())
            return Window((width - 4 * unit).floorDiv(2), (height - 3 * unit).floorDiv(2), unit)
        }

        /** Window of about [height] pixels in height, centred as closely as possible on a point. */
        fun around(x: Double, y: Double, height: Double): Window {
            val unit = maxOf(roundHalfEven(height / 3), 1)
            return Window(roundHalfEven(x + 0.5 - 2 * unit), roundHalfEven(y + 0.5 - 1.5 * unit), unit)
        }
    }
}
