package org.iristf.core

import kotlin.math.PI
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.sin
import kotlin.math.sqrt

/** From a network's mask to an ellipse: `_outline` of `iris_tf/segmentation/network_segmenter.py`. */
internal object Outline {
    private const val RAYS = 96
    private const val STEP = 0.5
    private const val RIDGE = 0.02 // pull of the fits to circles
    private const val LEAST_FALL = 1e-6f
    private const val LEAST_SHARPNESS = 0.02f

    /** Radius of an outline, in radii of a disc of the mask's area. */
    private const val LEAST_LIKENESS = 0.6
    private const val MOST_LIKENESS = 1.6

    /**
     * Ellipse through the edge of a mask's largest part.
     *
     * @return null where there is no part of at least the radius [smallest], or the ellipse is not
     *   like it
     */
    fun of(mask: Plane, smallest: Double): Ellipse? {
        val part = LargestPart.of(mask) ?: return null
        val radius = sqrt(part.area / PI)
        if (radius < smallest) return null
        // Nothing outside the largest part counts as inside.
        val alone = Plane(mask.height, mask.width, FloatArray(mask.values.size) {
            if (part.holds(it)) mask.values[it] else minOf(mask.values[it], 0.5f)
        })
        val start = 0.3 * radius
        val reach = DoubleArray(ceil((1.8 * radius + 2.0 - start) / STEP).toInt()) { start + it * STEP }
        val x = DoubleArray(RAYS)
        val y = DoubleArray(RAYS)
        val weights = DoubleArray(RAYS)
        for (ray in 0 until RAYS) {
            val angle = ray * (2.0 * PI / RAYS)
            val profile = FloatArray(reach.size) {
                alone.at((part.x + cos(angle) * reach[it]).toFloat(), (part.y + sin(angle) * reach[it]).toFloat())
            }
            // The last step from inside to outside: a highlight may leave a hole.
            val at = (profile.size - 2 downTo 0).firstOrNull { profile[it] > 0.5f && profile[it + 1] <= 0.5f } ?: continue
            val fall = maxOf(profile[at] - profile[at + 1], LEAST_FALL)
            val edge = reach[at] + STEP * ((profile[at] - 0.5f) / fall).coerceIn(0f, 1f)
            x[ray] = part.x + edge * cos(angle)
            y[ray] = part.y + edge * sin(angle)
            // Edges are trusted as far as they are sharp: the network blurs what it has to guess.
            val inner = profile[maxOf(at - 2, 0)]
            val outer = profile[minOf(at + 3, profile.size - 1)]
            weights[ray] = (inner - outer).coerceIn(LEAST_SHARPNESS, 1f).toDouble()
        }
        val outline = EllipseFit.fit(x, y, weights, RIDGE) ?: return null
        val likeness = outline.radius / radius
        return if (likeness > LEAST_LIKENESS && likeness < MOST_LIKENESS) outline else null
    }
}

/** The largest part of a mask whose pixels touch at their sides: its area in pixels and its centre. */
internal class LargestPart private constructor(
    private val labels: IntArray, private val label: Int, val area: Int, val x: Double, val y: Double,
) {
    /** Whether a pixel, counted in the order of memory, belongs to it. */
    fun holds(pixel: Int) = labels[pixel] == label

    companion object {
        fun of(mask: Plane): LargestPart? {
            val labels = IntArray(mask.values.size)
            val stack = IntArray(mask.values.size)
            var largest: LargestPart? = null
            var label = 0
            for (start in labels.indices) {
                if (labels[start] != 0 || mask.values[start] <= 0.5f) continue
                label++
                var area = 0
                var sumX = 0L
                var sumY = 0L
                var waiting = 0
                fun reach(pixel: Int) {
                    if (labels[pixel] == 0 && mask.values[pixel] > 0.5f) {
                        labels[pixel] = label
                        stack[waiting++] = pixel
                    }
                }
                reach(start)
                while (waiting > 0) {
                    val pixel = stack[--waiting]
                    val y = pixel / mask.width
                    val x = pixel % mask.width
                    area++
                    sumX += x
                    sumY += y
                    if (x > 0) reach(pixel - 1)
                    if (x < mask.width - 1) reach(pixel + 1)
                    if (y > 0) reach(pixel - mask.width)
                    if (y < mask.height - 1) reach(pixel + mask.width)
                }
                if (largest == null || area > largest.area) {
                    largest = LargestPart(labels, label, area, sumX.toDouble() / area, sumY.toDouble() / area)
                }
            }
            return largest
        }
    }
}
