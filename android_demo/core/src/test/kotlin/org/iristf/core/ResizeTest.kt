package org.iristf.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class ResizeTest {
    @Test
    fun `resized images equal those of the Python code`() {
        val numbers = PseudoRandom(2)
        val wrong = Fixtures.checksums("resizes.json").withIndex().filter { (i, expected) ->
            var height = 3 + numbers.below(80)
            var width = 3 + numbers.below(80)
            val newHeight: Int
            val newWidth: Int
            if (i % 4 == 0) {
                newHeight = 1 + numbers.below(20)
                newWidth = 1 + numbers.below(20)
                height = newHeight * (1 + numbers.below(4))
                width = newWidth * (1 + numbers.below(4))
            } else {
                newHeight = 1 + numbers.below(120)
                newWidth = 1 + numbers.below(120)
            }
            val found = Resize.roi(numbers.image(height, width), newHeight, newWidth)
            Fixtures.checksum(found.pixels) != expected
        }
        assertEquals(emptyList<Int>(), wrong.map { it.index })
    }

    @Test
    fun `examples computed by hand`() {
        val image = GrayImage(2, 2, byteArrayOf(10, 20, 30, 41))
        // (10 + 20 + 30 + 41) / 4 = 25.25
        assertArrayEquals(byteArrayOf(25), Resize.roi(image, 1, 1).pixels)
        // The centres of 4 new columns lie at -0.25, 0.25, 0.75 and 1.25.
        val wide = Resize.roi(GrayImage(1, 2, byteArrayOf(0, 100)), 1, 4)
        assertArrayEquals(byteArrayOf(0, 25, 75, 100), wide.pixels)
        assertEquals(image, Resize.roi(image, 2, 2))
    }
}
