package org.iristf.core

import kotlin.math.ceil

/**
 * A 4:3 rectangle of whole pixels that is looked at in another resolution, equal to `Window` of
 * `iris_tf/imaging/geometry.py`. It may reach beyond the image; what lies there is black.
 *
 * @property left its first column in the image
 * @property top its first row
 * @property unit a quarter of its width and a third of its height, at least 1
 */
data class Window(val left: Int, val top: Int, val unit: Int) {
    /** The window's content, [rows] rows high; a multiple of 3. */
    fun cut(image: GrayImage, rows: Int): GrayImage {
        val part = GrayImage(3 * unit, 4 * unit)
        forEachInside(image.height, image.width) { y, x -> part[y - top, x - left] = image[y, x] }
        // Both axes shrink or grow alike.
        return Resize.roi(part, rows, rows * 4 / 3)
    }

    /** Turn an ellipse of the window at [rows] rows into one of the image. */
    fun outwards(ellipse: Ellipse, rows: Int): Ellipse {
        val factor = 3.0 * unit / rows
        // Pixel centres lie at whole numbers, so scaling shifts by half a pixel.
        return ellipse.scaled(factor, 0.5 * factor - 0.5 + left, 0.5 * factor - 0.5 + top)
    }

    /** Put what is likelier than not in the window back into an image. */
    fun outside(probabilities: Plane, height: Int, width: Int): Mask {
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
        /** Smallest window that holds a whole image, centred on it. */
        fun whole(height: Int, width: Int): Window {
            val unit = maxOf(ceil(height / 3.0).toInt(), ceil(width / 4.0).toInt())
            return Window(Math.floorDiv(width - 4 * unit, 2), Math.floorDiv(height - 3 * unit, 2), unit)
        }

        /** Window of about [height] pixels whose centre is nearest to a point. */
        fun around(x: Double, y: Double, height: Double): Window {
            val unit = maxOf(roundHalfEven(height / 3), 1)
            return Window(roundHalfEven(x + 0.5 - 2 * unit), roundHalfEven(y + 0.5 - 1.5 * unit), unit)
        }
    }
}
