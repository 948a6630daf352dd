package org.iristf.core

import kotlin.math.PI
import kotlin.math.ceil

/** An eye image from which no crop can be extracted; the message is one sentence. */
class ExtractionException(message: String) : Exception(message)

/**
 * The segmentation of one eye image.
 *
 * @property visible visible iris mask
 * @property irisMinusPupil the mask for Algorithm 1, from segmenters that provide one; if null,
 *   [visible] without the pupil is used
 * @property confidence the segmenter's estimate of its accuracy, 0..1
 * @property tilt rotation of the eye from upright, in radians from +x towards +y; 0 for eyes that are about upright
 */
class SegmentedEye(
    val pupil: Ellipse, val iris: Ellipse, val visible: Mask, val irisMinusPupil: Mask? = null,
    val confidence: Double = 1.0, val tilt: Double = 0.0,
)

/**
 * How a crop is cut from an eye image, bit-exact with `iris_tf/segmentation/roi_modes.py`. Pixels
 * outside the visible iris are 0.
 */
enum class RoiMode(val id: String) {
    /** The paper's Algorithm 1: masked bounding box of the visible iris. */
    ALGORITHM1("algorithm1") {
        override fun crop(image: GrayImage, eye: SegmentedEye): GrayImage {
            val mask = roiMask(image, eye, eye.irisMinusPupil)
            val rows = (0 until mask.height).filter { y -> (0 until mask.width).any { mask[y, it] } }
            val columns = (0 until mask.width).filter { x -> rows.any { mask[it, x] } }
            val height = rows.last() - rows.first() + 1
            val width = columns.last() - columns.first() + 1
            if (height == image.height && width == image.width) {
                throw ExtractionException(
                    "The iris region is as large as the whole image; use an image that shows more around the eye.",
                )
            }
            return masked(image, mask, rows.first(), columns.first(), height, width)
        }
    },

    /** Masked square around the limbus ellipse; pixels beyond the frame are 0. */
    ALIGNED("aligned") {
        override fun crop(image: GrayImage, eye: SegmentedEye): GrayImage {
            val mask = roiMask(image, eye, null)
            val radius = ceil(maxOf(eye.iris.a, eye.iris.b)).toInt()
            val side = 2 * radius + 1
            return masked(
                image, mask, roundHalfEven(eye.iris.y) - radius, roundHalfEven(eye.iris.x) - radius, side, side,
            )
        }
    },

    /** Rubber-sheet strip between pupil and limbus, radius by angle (Daugman). */
    UNROLLED("unrolled") {
        override fun crop(image: GrayImage, eye: SegmentedEye): GrayImage {
            val mask = roiMask(image, eye, null)
            val strip = GrayImage(STRIP_RADII, STRIP_ANGLES)
            val step = 2.0 * PI / STRIP_ANGLES
            for (column in 0 until STRIP_ANGLES) {
                val inner = eye.pupil.point(eye.tilt + column * step)
                val outer = eye.iris.point(eye.tilt + column * step)
                for (row in 0 until STRIP_RADII) {
                    val share = (row + 0.5) / STRIP_RADII
                    val x = single((1.0 - share) * inner.first + share * outer.first)
                    val y = single((1.0 - share) * inner.second + share * outer.second)
                    // Masking before interpolation would bleed zeros into visible pixels.
                    val nearestX = roundHalfEven(x.toDouble())
                    val nearestY = roundHalfEven(y.toDouble())
                    val seen = nearestX in 0 until image.width && nearestY in 0 until image.height &&
                        mask[nearestY, nearestX]
                    // 0 means hidden to the networks, so visible pixels are at least 1.
                    if (seen) strip[row, column] = maxOf(1, interpolate(image, x, y))
                }
            }
            Halos.hide(strip)
            return strip
        }
    };

    /** The crop at the image's own resolution. */
    @Throws(ExtractionException::class)
    abstract fun crop(image: GrayImage, eye: SegmentedEye): GrayImage

    companion object {
        internal const val STRIP_RADII = 64
        internal const val STRIP_ANGLES = 512

        fun byId(id: String): RoiMode? = values().firstOrNull { it.id == id }

        private fun roiMask(image: GrayImage, eye: SegmentedEye, given: Mask?): Mask {
            require(eye.visible.height == image.height && eye.visible.width == image.width) {
                "The sizes of mask and image differ; segment the same image that is cropped."
            }
            val mask = given ?: (eye.visible - eye.pupil.mask(image.height, image.width))
            if (!mask.any()) {
                throw ExtractionException("No pixel of the iris is visible; use an image of an open eye.")
            }
            return mask
        }

        private fun masked(
            image: GrayImage, mask: Mask, top: Int, left: Int, height: Int, width: Int,
        ): GrayImage {
            val result = GrayImage(height, width)
            for (y in maxOf(top, 0) until minOf(top + height, image.height)) {
                for (x in maxOf(left, 0) until minOf(left + width, image.width)) {
                    if (mask[y, x]) result[y - top, x - left] = image[y, x]
                }
            }
            return result
        }

        private fun interpolate(image: GrayImage, x: Float, y: Float): Int =
            roundHalfEven(replicated(image.height, image.width, x, y) { row, column -> image[row, column].toFloat() }.toDouble())
                .coerceIn(0, 255)
    }
}
