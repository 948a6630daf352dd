package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test

class SimilarityTest {
    private val one = floatArrayOf(0.6f, 0.8f, 0f, 0f, 0f, 0f, 0f, 0f, 0f)

    /** One learned entry, 0.6, then a phase code of four columns with two entries, one of which is 0.8. */
    private fun embedding(index: Int) = FloatArray(9).also {
        it[0] = 0.6f
        it[1 + index] = 0.8f
    }

    @Test
    fun `without a phase code the similarity is the cosine`() {
        assertEquals(0.36, Similarity.of(one, embedding(2)), 1e-7)
        assertEquals(1.0, Similarity.of(one, one), 1e-7)
    }

    @Test
    fun `phase codes are compared at their best shift`() {
        val phase = PhaseCodeLayout(8, 4, 1)
        // By hand: shifts by one column to the right, and to the left around the end, match; a shift
        // by two exceeds the limit, and the two entries of a column never match each other.
        for ((index, expected) in mapOf(0 to 1.0, 2 to 1.0, 6 to 1.0, 4 to 0.36, 1 to 0.36, 3 to 0.36)) {
            assertEquals(expected, Similarity.of(one, embedding(index), phase), 1e-6)
            assertEquals(expected, Similarity.of(embedding(index), one, phase), 1e-6)
        }
        assertEquals(0.36, Similarity.of(one, embedding(2), PhaseCodeLayout(8, 4, 0)), 1e-6)
    }

    @Test
    fun `inconsistent layouts are rejected`() {
        for ((size, columns, maxShift) in listOf(Triple(8, 3, 1), Triple(8, 4, 2), Triple(0, 1, 0), Triple(8, 4, -1))) {
            assertThrows(IllegalArgumentException::class.java) { PhaseCodeLayout(size, columns, maxShift) }
        }
    }
}
