package org.iristf.core

/** Pictures of phones as grey images: what `iris_tf/imaging/images.py` does with colours and sides. */
object Photograph {
    private const val MIN_SIDE = 64 // in a smaller image, an iris has no texture left

    /** What a phone's memory holds several times over; a camera's picture is halved until it fits. */
    private const val MAX_PIXELS = 1L shl 22

    // Luma of ITU-R 601 in 2^-15, as OpenCV has it.
    private const val RED = 9798
    private const val GREEN = 19235
    private const val BLUE = 3735
    private const val SHIFT = 15

    /** By which power of two the sides of a picture are divided while it is read. */
    fun reduction(height: Int, width: Int): Int {
        var factor = 1
        while ((height.toLong() / factor) * (width / factor) > MAX_PIXELS) factor *= 2
        return factor
    }

    /**
     * A grey image of colours.
     *
     * @param colours 0xAARRGGBB, row by row; alpha is dropped
     * @param orientation of EXIF, 1 to 8: how to turn the picture; 1 for any other number
     */
    @Throws(ExtractionException::class)
    fun grey(height: Int, width: Int, colours: IntArray, orientation: Int = 1): GrayImage {
        if (minOf(height, width) < MIN_SIDE) {
            throw ExtractionException("The image has ${width}x$height pixels; both sides must be at least $MIN_SIDE.")
        }
        val grey = GrayImage(height, width, ByteArray(height * width) { level(colours[it]).toByte() })
        return turned(grey, orientation)
    }

    // The weights add up to 1: equal channels stay what they are.
    private fun level(colour: Int): Int {
        val sum = RED * (colour shr 16 and 0xff) + GREEN * (colour shr 8 and 0xff) + BLUE * (colour and 0xff)
        return (sum + (1 shl SHIFT - 1)) shr SHIFT
    }

    /** The image as an EXIF orientation says that it is to be seen. */
    internal fun turned(image: GrayImage, orientation: Int): GrayImage {
        val bottom = image.height - 1
        val right = image.width - 1
        val sideways = orientation in 5..8
        val result = if (sideways) GrayImage(image.width, image.height) else GrayImage(image.height, image.width)
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
