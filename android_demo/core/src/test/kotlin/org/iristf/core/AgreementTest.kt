package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class AgreementTest {
    private val text = """{"file": "m.tflite", "sha256": "ab", "height": 1, "width": 2, "positions": [0, 2],
        "cases": [{"pixels": "00ff", "outputs": [3, 4]}, {"pixels": "0a0b", "outputs": [1, 0]}]}"""

    private class Fake(val answers: List<FloatArray>, override val inputShape: List<Int> = listOf(1, 1, 2, 1)) : Engine {
        val inputs = ArrayList<List<Float>>()
        override val backend = "cpu-xnnpack"
        override val fallback: String? = null
        override val outputShape = listOf(1, 3)
        override fun fill(input: FloatArray) {
            inputs.add(input.toList())
        }
        override fun invoke(): Long? = null
        override fun output() = answers[inputs.size - 1]
        override fun close() = Unit
    }

    @Test
    fun `the minimum cosine over the stored positions`() {
        val engine = Fake(listOf(floatArrayOf(3f, 99f, 4f), floatArrayOf(3f, -99f, 4f)))
        val result = Agreement.read(text, "test").run(engine)
        assertEquals(listOf(listOf(0f, 255f), listOf(10f, 11f)), engine.inputs)
        assertEquals(0.6, result.minCosine, 1e-12) // (1, 0) and (3, 4) / 5
        assertFalse(result.agrees)
        assertTrue(Agreement.read(text, "test").run(Fake(listOf(floatArrayOf(3f, 0f, 4f), floatArrayOf(2f, 0f, 0f)))).agrees)
    }

    @Test
    fun `NaN, infinity and zeros do not agree`() {
        for (bad in listOf(Float.NaN, Float.POSITIVE_INFINITY, 0f)) {
            val engine = Fake(listOf(floatArrayOf(bad, 0f, bad), floatArrayOf(2f, 0f, 0f)))
            assertEquals(-1.0, Agreement.read(text, "test").run(engine).minCosine)
        }
    }

    @Test
    fun `tests of other models and broken tests are rejected`() {
        val other = Fake(listOf(floatArrayOf(1f)), listOf(1, 2, 2, 1))
        assertThrows(EngineException::class.java) { Agreement.read(text, "test").run(other) }
        val short = Fake(listOf(floatArrayOf(1f)))
        assertThrows(EngineException::class.java) { Agreement.read(text, "test").run(short) }
        for (broken in listOf(text.replace("00ff", "00f"), text.replace("00ff", "00fx"), text.replace("[3, 4]", "[3]"))) {
            assertThrows(ModelException::class.java) { Agreement.read(broken, "test") }
        }
    }
}
