package org.iristf.core

import kotlin.math.sqrt

/**
 * Checks of eye images and crops: what shows no iris is not compared, because any two such crops are
 * similar. As in `iris_tf/recognition/cropper.py`, with the same limits and messages.
 */
internal object CropChecks {
    private const val MAX_ASPECT = 4 // no image of one eye is wider or higher, relative to its other side
    private const val MIN_TEXTURE = 0.5 // standard deviation in grey levels; less than a camera's noise

    /** Refuse an image with the shape of no image of one eye, such as a finished strip. */
    @Throws(ExtractionException::class)
    fun checkShape(height: Int, width: Int) {
        if (maxOf(height, width) >= MAX_ASPECT * minOf(height, width).toLong()) {
            val side = if (width > height) "wide" else "high"
            throw ExtractionException(
                "With ${width}x$height pixels the image is too $side for one eye; use an image of one eye, not a crop of it.",
            )
        }
    }

    /** Refuse a crop without texture; pixels of level 0 are hidden. */
    @Throws(ExtractionException::class)
    fun checkTexture(crop: GrayImage) {
        val visible = crop.pixels.map { it.toInt() and 0xff }.filter { it > 0 }
        if (visible.isEmpty()) throw ExtractionException("No iris is visible in the crop, which is black all over.")
        val mean = visible.average()
        val deviation = sqrt(visible.sumOf { (it - mean) * (it - mean) } / visible.size)
        if (deviation < MIN_TEXTURE) {
            throw ExtractionException(
                "The crop has no texture: its visible pixels are all of grey level ${roundHalfEven(mean)}; use a sharp, " +
                    "well-exposed image.",
            )
        }
    }
}
