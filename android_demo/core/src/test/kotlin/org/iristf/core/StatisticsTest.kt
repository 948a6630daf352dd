package org.iristf.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import kotlin.math.sqrt

class StatisticsTest {
    @Test
    fun `values computed by hand`() {
        // Positions (n - 1) p / 100: 1.5, 0.15, 2.7, 2.85, 2.97; variance (1.5^2 + 0.5^2) / 2.
        val found = Statistics(listOf(4.0, 1.0, 3.0, 2.0)).byName()
        val expected = mapOf(
            "avg" to 2.5, "min" to 1.0, "max" to 4.0, "stddev" to sqrt(1.25), "median" to 2.5,
            "p5" to 1.15, "p90" to 3.7, "p95" to 3.85, "p99" to 3.97,
        )
        assertEquals(expected.keys, found.keys)
        for ((name, value) in expected) assertEquals(value, found.getValue(name), 1e-12, name)
    }

    @Test
    fun `values equal those of NumPy`() {
        val json = Fixtures.json("statistics.json")
        for ((name, value) in Statistics(json.numbers("samples")).byName()) {
            assertEquals(json.number(name), value, 1e-12 * json.number("max"), name)
        }
    }

    @Test
    fun `one sample is enough, none is rejected`() {
        val one = Statistics(listOf(7.0))
        assertEquals(setOf(7.0, 0.0), one.byName().values.toSet())
        assertThrows(IllegalArgumentException::class.java) { Statistics(emptyList()) }
    }

    @Test
    fun `samples keep their order, and the histogram counts all of them`() {
        val statistics = Statistics(listOf(4.0, 1.0, 3.0, 2.0))
        assertEquals(listOf(4.0, 1.0, 3.0, 2.0), statistics.samples)
        // Two bins of width 1.5: from 1 to 2.5 and from 2.5 to 4.
        assertArrayEquals(intArrayOf(2, 2), statistics.histogram(2))
        assertArrayEquals(intArrayOf(2, 0, 0), Statistics(listOf(5.0, 5.0)).histogram(3))
    }
}
