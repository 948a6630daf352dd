package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test

class SimilarityTest {
    private val one = floatArrayOf(0.6f, 0.8f, 0f, 0f, 0f, 0f, 0f, 0f, 0f)

    /** 0.6, then four columns of two entries, of which one is 0.8. */
    private fun embedding(place: Int) = FloatArray(9).also {
        it[0] = 0.6f
        it[1 + place] = 0.8f
    }

    @Test
    fun `without a phase code it is the cosine`() {
        assertEquals(0.36, Similarity.of(one, embedding(2)), 1e-7)
        assertEquals(1.0, Similarity.of(one, one), 1e-7)
    }

    @Test
    fun `a code is compared at its best turn`() {
        val phase = PhasePart(8, 4, 1)
        // By hand: one column to the right, one to the left around the end; two are too many, and
        // an entry of a column never meets the other one.
        for ((place, expected) in mapOf(0 to 1.0, 2 to 1.0, 6 to 1.0, 4 to 0.36, 1 to 0.36, 3 to 0.36)) {
            assertEquals(expected, Similarity.of(one, embedding(place), phase), 1e-6)
            assertEquals(expected, Similarity.of(embedding(place), one, phase), 1e-6)
        }
        assertEquals(0.36, Similarity.of(one, embedding(2), PhasePart(8, 4, 0)), 1e-6)
    }

    @Test
    fun `parts that cannot be are refused`() {
        for ((size, columns, turns) in listOf(Triple(8, 3, 1), Triple(8, 4, 2), Triple(0, 1, 0), Triple(8, 4, -1))) {
            assertThrows(IllegalArgumentException::class.java) { PhasePart(size, columns, turns) }
        }
    }
}
