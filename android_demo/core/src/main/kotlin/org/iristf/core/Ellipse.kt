package org.iristf.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.round
import kotlin.math.sin
import kotlin.math.sqrt

/**
 * An ellipse in image coordinates (x to the right, y down), in pixels; pixel centres have integer
 * coordinates.
 *
 * @property a semi-axis along [angle]
 * @property b semi-axis perpendicular to it
 * @property angle in radians, from +x towards +y
 */
data class Ellipse(val x: Double, val y: Double, val a: Double, val b: Double, val angle: Double = 0.0) {
    /** Radius of the circle of equal area, in pixels. */
    val radius: Double get() = sqrt(a * b)

    /** This ellipse scaled about the origin by [factor], then shifted. */
    fun scaled(factor: Double, shiftX: Double, shiftY: Double) =
        Ellipse(x * factor + shiftX, y * factor + shiftY, a * factor, b * factor, angle)

    /** The outline's point at the angle [at], measured from +x and not from the ellipse's own axis. */
    fun point(at: Double): Pair<Double, Double> {
        val u = cos(at - angle) * a
        val v = sin(at - angle) * b
        val cos = cos(angle)
        val sin = sin(angle)
        return Pair(x + u * cos - v * sin, y + u * sin + v * cos)
    }

    /** The filled ellipse, equal to `Ellipse.mask` of `iris_tf/imaging/geometry.py`. */
    fun mask(height: Int, width: Int): Mask {
        val step = 2.0 * PI / CORNERS
        val corners = List(CORNERS) { point(it * step) }
        val fixed = Polygon.ONE.toDouble()
        return Polygon(
            LongArray(CORNERS) { round(corners[it].first * fixed).toLong() },
            LongArray(CORNERS) { round(corners[it].second * fixed).toLong() },
        ).fill(height, width)
    }

    private companion object {
        const val CORNERS = 180
    }
}
