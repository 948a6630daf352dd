package org.iristf.core

import kotlin.math.PI

/** Renders images and segmentations as 0xAARRGGBB, row by row. */
object Overlay {
    private const val PUPIL = 0xFFE69F00.toInt()
    private const val IRIS = 0xFF56B4E9.toInt()
    private const val OPAQUE = 0xFF shl 24
    private const val STEPS = 1440
    private const val PIXELS_PER_WIDTH = 320 // image width per pixel of line width

    fun colours(image: GrayImage): IntArray = IntArray(image.pixels.size) {
        val level = image.pixels[it].toInt() and 0xff
        OPAQUE or (level shl 16) or (level shl 8) or level
    }

    /** The image with the visible iris in green and the outlines of pupil and iris. */
    fun colours(image: GrayImage, eye: SegmentedEye): IntArray {
        val result = colours(image)
        for (i in result.indices) {
            if (!eye.visible.inside[i]) continue
            val level = image.pixels[i].toInt() and 0xff
            // Green by halving red and blue.
            result[i] = OPAQUE or (level / 2 shl 16) or (level shl 8) or level / 2
        }
        val half = maxOf(1, image.width / PIXELS_PER_WIDTH) / 2
        for ((outline, colour) in listOf(eye.iris to IRIS, eye.pupil to PUPIL)) {
            for (step in 0 until STEPS) {
                val (x, y) = outline.point(step * 2.0 * PI / STEPS)
                for (dy in -half..half) for (dx in -half..half) {
                    val row = roundHalfEven(y) + dy
                    val column = roundHalfEven(x) + dx
                    if (row in 0 until image.height && column in 0 until image.width) {
                        result[row * image.width + column] = colour
                    }
                }
            }
        }
        return result
    }
}
