package org.iristf.core

import kotlin.math.PI
import kotlin.math.atan2
import kotlin.math.cos
import kotlin.math.hypot
import kotlin.math.sin

/** How an eye is tilted, from what its eyelids hide; equal to `iris_tf/segmentation/tilt.py`. */
internal object LidTilt {
    private const val RAYS = 72
    private const val RADII = 12
    private const val LEAST_HARMONIC = 0.05 // about a sixth of that of an iris of which one half is hidden

    /**
     * Rotation of an eye from upright, by the side on which most of its iris is hidden.
     *
     * @return in radians, -pi..pi, from +x towards +y; null if too little is hidden on one side to tell
     */
    fun of(pupil: Ellipse, iris: Ellipse, visible: Mask): Double? {
        var right = 0.0
        var down = 0.0
        for (ray in 0 until RAYS) {
            val angle = ray * (2.0 * PI / RAYS)
            val inner = pupil.point(angle)
            val outer = iris.point(angle)
            val hidden = (0 until RADII).count {
                val share = (it + 0.5) / RADII
                val column = roundHalfEven((1.0 - share) * inner.first + share * outer.first)
                val row = roundHalfEven((1.0 - share) * inner.second + share * outer.second)
                column in 0 until visible.width && row in 0 until visible.height && !visible[row, column]
            }
            right += hidden * cos(angle)
            down += hidden * sin(angle)
        }
        if (hypot(right, down) < LEAST_HARMONIC * RAYS * RADII) return null
        return atan2(right, -down)
    }
}
