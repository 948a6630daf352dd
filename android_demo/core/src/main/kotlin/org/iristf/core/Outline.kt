package org.iristf.core

import kotlin.math.PI
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.sin
import kotlin.math.sqrt

/** Ellipse fit to a network's mask, equal to `_outline` of `iris_tf/segmentation/network_segmenter.py`. */
internal object Outline {
    private const val RAYS = 96
    private const val STEP = 0.5
    private const val RIDGE = 0.02 // regularisation of the fits towards circles
    private const val MIN_FALL = 1e-6f
    private const val MIN_SHARPNESS = 0.02f

    // Radius of the ellipse relative to that of a disc of the component's area.
    private const val MIN_RADIUS_RATIO = 0.6
    private const val MAX_RADIUS_RATIO = 1.6

    /**
     * Ellipse through the edge of a mask's largest connected component.
     *
     * @param minRadius least radius of a disc of the component's area, in pixels
     * @return null if no component is that large, or the ellipse's size does not match it
     */
    fun of(mask: Plane, minRadius: Double): Ellipse? {
        val component = LargestComponent.of(mask) ?: return null
        val radius = sqrt(component.area / PI)
        if (radius < minRadius) return null
        // Pixels of other components must not count as inside.
        val isolated = Plane(mask.height, mask.width, FloatArray(mask.values.size) {
            if (component.contains(it)) mask.values[it] else minOf(mask.values[it], 0.5f)
        })
        val start = 0.3 * radius
        val reach = DoubleArray(ceil((1.8 * radius + 2.0 - start) / STEP).toInt()) { start + it * STEP }
        val x = DoubleArray(RAYS)
        val y = DoubleArray(RAYS)
        val weights = DoubleArray(RAYS)
        for (ray in 0 until RAYS) {
            val angle = ray * (2.0 * PI / RAYS)
            val profile = FloatArray(reach.size) {
                isolated.at(
                    single(component.x + cos(angle) * reach[it]), single(component.y + sin(angle) * reach[it]),
                )
            }
            // The outermost step from inside to outside, because a highlight may leave a hole.
            val at = (profile.size - 2 downTo 0).firstOrNull { profile[it] > 0.5f && profile[it + 1] <= 0.5f } ?: continue
            val fall = maxOf(single(profile[at].toDouble() - profile[at + 1]), MIN_FALL)
            val share = single(single(profile[at] - 0.5).toDouble() / fall)
            val edge = reach[at] + STEP * share.coerceIn(0f, 1f)
            x[ray] = component.x + edge * cos(angle)
            y[ray] = component.y + edge * sin(angle)
            // Edges are weighted by their sharpness: the network blurs edges that it has to guess.
            val inner = profile[maxOf(at - 2, 0)]
            val outer = profile[minOf(at + 3, profile.size - 1)]
            weights[ray] = single(inner.toDouble() - outer).coerceIn(MIN_SHARPNESS, 1f).toDouble()
        }
        val outline = EllipseFit.fit(x, y, weights, RIDGE) ?: return null
        val ratio = outline.radius / radius
        return if (ratio > MIN_RADIUS_RATIO && ratio < MAX_RADIUS_RATIO) outline else null
    }
}

/** The largest 4-connected component of a mask: its area in pixels and its centroid. */
internal class LargestComponent private constructor(
    private val labels: IntArray, private val label: Int, val area: Int, val x: Double, val y: Double,
) {
    /** Whether it contains the pixel at a row-major index. */
    fun contains(pixel: Int) = labels[pixel] == label

    companion object {
        fun of(mask: Plane): LargestComponent? {
            val labels = IntArray(mask.values.size)
            val stack = IntArray(mask.values.size)
            var largest: LargestComponent? = null
            var label = 0
            for (start in labels.indices) {
                if (labels[start] != 0 || mask.values[start] <= 0.5f) continue
                label++
                var area = 0
                var sumX = 0.0
                var sumY = 0.0
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
                    largest = LargestComponent(labels, label, area, sumX / area, sumY / area)
                }
            }
            return largest
        }
    }
}
