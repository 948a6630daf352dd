package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test

class JsonTest {
    @Test
    fun `values of all types are parsed and serialised`() {
        val text = """ {"a": [1, -2.5e1, 0.1, 12345678901234567890], "b": {"c": "x\"\\\/\n\u00e9\ud83d\ude00"},
            "t": true, "f": false, "n": null, "e": [], "o": {}} """
        val expected = mapOf(
            "a" to listOf(1L, -25.0, 0.1, 12345678901234567890.0), "b" to mapOf("c" to "x\"\\/\né😀"),
            "t" to true, "f" to false, "n" to null, "e" to emptyList<Any>(), "o" to emptyMap<String, Any>(),
        )
        assertEquals(expected, Json.parse(text))
        assertEquals(expected, Json.parse(Json.write(expected)))
    }

    @Test
    fun `numbers keep all their digits`() {
        for (number in listOf(0.1 + 0.2, 1e-300, Double.MAX_VALUE, -0.0, 1.0 / 3)) {
            assertEquals(number, Json.parse(Json.write(number)))
        }
        assertThrows(IllegalArgumentException::class.java) { Json.write(Double.NaN) }
    }

    @Test
    fun `invalid JSON is rejected`() {
        for (text in listOf(
            "", "{", "[1,]", "{\"a\"}", "{a: 1}", "01", "1.", ".5", "+1", "nul", "\"a", "\"\n\"", "\"\\x\"",
            "\"\\u12g4\"", "[1] 2", "NaN", "1e999", "[".repeat(5000),
        )) {
            assertThrows(JsonException::class.java, { Json.parse(text) }, text.take(20))
        }
    }
}
