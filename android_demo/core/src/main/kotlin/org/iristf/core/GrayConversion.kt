package org.iristf.core

/** Conversion of colour images to grey, equal to what `iris_tf/imaging/images.py` does with them. */
object GrayConversion {
    private const val MIN_SIDE = 64 // in a smaller image, an iris has no texture left

    /** Larger images are halved while decoding; several copies of this size fit into a phone's memory. */
    private const val MAX_PIXELS = 1L shl 22

    // Luma weights of ITU-R BT.601 in units of 2^-15, as in OpenCV.
    private const val RED = 9798
    private const val GREEN = 19235
    private const val BLUE = 3735
    private const val SHIFT = 15

    /** The power of two by which the sides of an image are divided while it is decoded. */
    fun sampleSize(height: Int, width: Int): Int {
        var factor = 1
        while ((height.toLong() / factor) * (width / factor) > MAX_PIXELS) factor *= 2
        return factor
    }

    /**
     * Convert a colour image to grey.
     *
     * @param colours 0xAARRGGBB, row by row; alpha is ignored
     * @param orientation EXIF orientation, 1 to 8; other values count as 1
     * @throws ExtractionException if the image is too small
     */
    @Throws(ExtractionException::class)
    fun toGray(height: Int, width: Int, colours: IntArray, orientation: Int = 1): GrayImage {
        if (minOf(height, width) < MIN_SIDE) {
            throw ExtractionException("The image has ${width}x$height pixels; both sides must be at least $MIN_SIDE.")
        }
        val grey = GrayImage(height, width, ByteArray(height * width) { level(colours[it]).toByte() })
        return oriented(grey, orientation)
    }

    // The weights add up to 1, so equal channels keep their value.
    private fun level(colour: Int): Int {
        val sum = RED * (colour shr 16 and 0xff) + GREEN * (colour shr 8 and 0xff) + BLUE * (colour and 0xff)
        return (sum + (1 shl SHIFT - 1)) shr SHIFT
    }

    /** The image upright, according to its EXIF orientation. */
    internal fun oriented(image: GrayImage, orientation: Int): GrayImage {
        val bottom = image.height - 1
        val right = image.width - 1
        val transposed = orientation in 5..8
        val result = if (transposed) GrayImage(image.width, image.height) else GrayImage(image.height, image.width)
        for (y in 0 until result.height) for (x in 0 until result.width) {
            result[y, x] = when (orientation) {
                2 -> image[y, right - x]
                3 -> image[bottom - y, right - x]
                4 -> image[bottom - y, x]
                5 -> image[x, y]
                6 -> image[bottom - x, y]
                7 -> image[bottom - x, right - y]
                8 -> image[x, right - y]
                else -> image[y, x]
            }
        }
        return result
    }
}
