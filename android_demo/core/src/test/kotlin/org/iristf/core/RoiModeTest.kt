package org.iristf.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class RoiModeTest {
    private fun outline(values: List<Double>) = Ellipse(values[0], values[1], values[2], values[3], values[4])

    @Test
    fun `crops equal those of the Python code pixel for pixel`() {
        for (name in listOf("eye0", "eye1", "eye2")) {
            val json = Fixtures.json("$name.json")
            val image = Fixtures.image("$name.pgm")
            val eye = SegmentedEye(
                outline(json.numbers("pupil")), outline(json.numbers("iris")), Fixtures.mask("${name}_visible.pgm"),
            )
            for (mode in RoiMode.values()) {
                val expected = Fixtures.image("${name}_${mode.id}.pgm")
                val found = mode.crop(image, eye)
                assertEquals(expected.height to expected.width, found.height to found.width, "$name ${mode.id}")
                assertArrayEquals(expected.pixels, found.pixels, "$name ${mode.id}")
            }
        }
    }

    @Test
    fun `ellipse masks equal those of OpenCV, also beyond the frame`() {
        val numbers = PseudoRandom(1)
        val wrong = Fixtures.checksums("ellipses.json").withIndex().filter { (_, expected) ->
            val height = 20 + numbers.below(100)
            val width = 20 + numbers.below(100)
            val ellipse = Ellipse(
                numbers.below(16 * width) / 16.0 * 1.2 - 0.1 * width,
                numbers.below(16 * height) / 16.0 * 1.2 - 0.1 * height,
                1 + numbers.below(900) / 16.0,
                1 + numbers.below(900) / 16.0,
                numbers.below(314) / 100.0,
            )
            val inside = ellipse.mask(height, width).inside
            Fixtures.checksum(ByteArray(inside.size) { if (inside[it]) 1 else 0 }) != expected
        }
        assertEquals(emptyList<Int>(), wrong.map { it.index })
    }

    @Test
    fun `a mask computed by hand`() {
        // A circle of radius 1 around a pixel: its corners at 0, 90, 180, 270 degrees are the
        // four neighbours, and rounding puts no other pixel's centre inside.
        val mask = Ellipse(2.0, 2.0, 1.0, 1.0).mask(5, 5)
        assertTrue(mask[2, 1] && mask[2, 2] && mask[2, 3] && mask[1, 2] && mask[3, 2])
        assertTrue((0 until 5).none { mask[0, it] || mask[4, it] || mask[it, 0] || mask[it, 4] })
    }

    @Test
    fun `Algorithm 1 uses the mask of a segmenter that provides one`() {
        val image = GrayImage(4, 4, ByteArray(16) { (it + 1).toByte() })
        val given = Mask(4, 4).also {
            it[1, 1] = true
            it[2, 3] = true
        }
        val eye = SegmentedEye(Ellipse(1.0, 1.0, 9.0, 9.0), Ellipse(1.0, 1.0, 9.0, 9.0), Mask(4, 4), given)
        // Rows 1 and 2, columns 1 to 3; pixel (y, x) is 4 y + x + 1.
        assertArrayEquals(byteArrayOf(6, 0, 0, 0, 0, 12), RoiMode.ALGORITHM1.crop(image, eye).pixels)
    }

    @Test
    fun `Algorithm 1 rejects crops that fill the image, and all modes reject eyes without visible iris`() {
        val image = GrayImage(8, 8)
        val everywhere = Mask(8, 8, BooleanArray(64) { true })
        val pupil = Ellipse(4.0, 4.0, 1.0, 1.0)
        val iris = Ellipse(4.0, 4.0, 9.0, 9.0)
        assertThrows(ExtractionException::class.java) {
            RoiMode.ALGORITHM1.crop(image, SegmentedEye(pupil, iris, everywhere))
        }
        for (mode in RoiMode.values()) {
            assertThrows(ExtractionException::class.java) { mode.crop(image, SegmentedEye(pupil, iris, Mask(8, 8))) }
        }
    }
}
