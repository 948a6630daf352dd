package org.iristf.core

import kotlin.math.round

/** An 8-bit grey image, one byte per pixel, row by row. */
class GrayImage(val height: Int, val width: Int, val pixels: ByteArray = ByteArray(height * width)) {
    init {
        require(height > 0 && width > 0 && pixels.size == height * width) {
            "${pixels.size} bytes do not make an image of $width x $height pixels."
        }
    }

    /** Grey level 0..255 at a row and column. */
    operator fun get(y: Int, x: Int): Int = pixels[y * width + x].toInt() and 0xff

    operator fun set(y: Int, x: Int, value: Int) {
        pixels[y * width + x] = value.toByte()
    }

    /** The pixels as model input: float32 in 0..255. */
    fun toFloats(): FloatArray = FloatArray(pixels.size) { (pixels[it].toInt() and 0xff).toFloat() }

    override fun equals(other: Any?) =
        other is GrayImage && height == other.height && pixels.contentEquals(other.pixels)

    override fun hashCode() = 31 * height + pixels.contentHashCode()
}

/** A binary mask over the pixels of an image. */
class Mask(val height: Int, val width: Int, val inside: BooleanArray = BooleanArray(height * width)) {
    operator fun get(y: Int, x: Int): Boolean = inside[y * width + x]

    operator fun set(y: Int, x: Int, value: Boolean) {
        inside[y * width + x] = value
    }

    fun any() = inside.any { it }

    /** Set difference with another mask of the same size. */
    operator fun minus(other: Mask) =
        Mask(height, width, BooleanArray(inside.size) { inside[it] && !other.inside[it] })

    /** Intersection over union with another mask of the same size; 0 if both are empty. */
    fun overlap(other: Mask): Double {
        val both = inside.indices.count { inside[it] && other.inside[it] }
        val either = inside.indices.count { inside[it] || other.inside[it] }
        return both.toDouble() / maxOf(either, 1)
    }
}

/** Round to the nearest integer, ties to even, as OpenCV, NumPy and Python do. */
internal fun roundHalfEven(value: Double): Int = round(value).toInt()
