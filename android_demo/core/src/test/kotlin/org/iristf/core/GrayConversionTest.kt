package org.iristf.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test

class GrayConversionTest {
    private fun image(vararg rows: List<Int>) =
        GrayImage(rows.size, rows[0].size, ByteArray(rows.size * rows[0].size) { rows.toList().flatten()[it].toByte() })

    @Test
    fun `all EXIF orientations`() {
        // The first stored row and column are, for the values 1 to 8: top and left, top and
        // right, bottom and right, bottom and left, left and top, right and top, right and bottom,
        // left and bottom (EXIF 2.3, tag 0112).
        val stored = image(listOf(1, 2, 3), listOf(4, 5, 6))
        val upright = listOf(
            stored,
            image(listOf(3, 2, 1), listOf(6, 5, 4)),
            image(listOf(6, 5, 4), listOf(3, 2, 1)),
            image(listOf(4, 5, 6), listOf(1, 2, 3)),
            image(listOf(1, 4), listOf(2, 5), listOf(3, 6)),
            image(listOf(4, 1), listOf(5, 2), listOf(6, 3)),
            image(listOf(6, 3), listOf(5, 2), listOf(4, 1)),
            image(listOf(3, 6), listOf(2, 5), listOf(1, 4)),
        )
        assertEquals(upright, (1..8).map { GrayConversion.oriented(stored, it) })
        assertEquals(stored, GrayConversion.oriented(stored, 0))
    }

    @Test
    fun `colours become luma and equal channels keep their value`() {
        val colours = IntArray(64 * 65) { 0xFF000000.toInt() }
        for (level in 0..255) colours[level] = level shl 16 or (level shl 8) or level
        colours[256] = 0xFFFF0000.toInt() // 0.299 x 255 = 76.2
        colours[257] = 0x0000FF00 // 0.587 x 255 = 149.7
        colours[258] = 0x800000FF.toInt() // 0.114 x 255 = 29.1
        val grey = GrayConversion.toGray(64, 65, colours)
        assertArrayEquals(IntArray(256) { it }, IntArray(256) { grey.pixels[it].toInt() and 0xff })
        assertEquals(listOf(76, 150, 29), (256..258).map { grey.pixels[it].toInt() and 0xff })
        assertEquals(65 to 64, GrayConversion.toGray(64, 65, colours, 6).let { it.height to it.width })
    }

    @Test
    fun `small images are rejected and large ones reduced`() {
        assertThrows(ExtractionException::class.java) { GrayConversion.toGray(63, 100, IntArray(6300)) }
        assertEquals(1, GrayConversion.sampleSize(480, 640))
        assertEquals(1, GrayConversion.sampleSize(2048, 2048))
        assertEquals(2, GrayConversion.sampleSize(3000, 4000)) // 12 megapixels become 3
        assertEquals(4, GrayConversion.sampleSize(6000, 8000)) // 48 megapixels become 3
    }
}
