package org.iristf.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.roundToInt
import kotlin.math.sin
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class MotionBlurTest {
    /** The strip of an image, given as a function of x and y, around a pupil of radius 20 in an iris of radius 60. */
    private fun strip(level: (Double, Double) -> Double): GrayImage {
        val strip = GrayImage(64, 512)
        for (row in 0 until 64) for (column in 0 until 512) {
            val radius = 20 + 40 * (row + 0.5) / 64
            val angle = 2 * PI * column / 512
            strip[row, column] = level(radius * cos(angle), radius * sin(angle)).roundToInt()
        }
        return strip
    }

    @Test
    fun `anisotropy equals that of the Python code`() {
        for (name in listOf("eye0", "eye1", "eye2")) {
            val expected = Fixtures.json("$name.json").number("anisotropy")
            assertEquals(expected, MotionBlur.anisotropy(Fixtures.image("${name}_unrolled.pgm")), 1e-3, name)
        }
    }

    @Test
    fun `stripes in one direction are refused, spokes and rings are not`() {
        val stripes = strip { x, y -> 128 + 50 * sin(0.8 * x + 0.6 * y) }
        val error = assertThrows(ExtractionException::class.java) { MotionBlur.check(stripes) }
        val message = error.message.orEmpty()
        assertTrue(message.startsWith("The image is blurred by motion (its texture across one direction is "), message)
        assertTrue(message.contains(" times as strong as along it, at most 3.0 times is accepted)"), message)
        MotionBlur.check(strip { x, y -> 128 + 50 * sin(60 * kotlin.math.atan2(y, x)) })
        MotionBlur.check(strip { x, y -> 128 + 50 * sin(kotlin.math.hypot(x, y)) })
    }

    @Test
    fun `a hidden strip has no direction`() {
        assertEquals(0.0, MotionBlur.anisotropy(GrayImage(64, 512)))
    }
}
