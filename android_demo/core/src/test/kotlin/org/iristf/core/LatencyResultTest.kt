package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class LatencyResultTest {
    private val text = Fixtures.text("host_result.json")

    @Test
    fun `a result of the host is parsed`() {
        val result = LatencyResult.fromJson(text)
        assertEquals("Some CPU", result.machine.cpu)
        assertEquals(2, result.rows.size)
        assertNull(result.rows[0].warmup)
        assertEquals(listOf(1.25, 0.1), result.rows[1].warmup?.samples)
        assertEquals(2.5, result.rows[0].inference.median)
    }

    @Test
    fun `a result of the phone survives a round trip and has the fields that Python's tests read`() {
        val written = Json.write(PHONE.toJson())
        assertEquals(written, Json.write(LatencyResult.fromJson(written).toJson()))
        val shared = Fixtures.text("phone_result.json")
        assertEquals(names(Json.parse(shared)), names(Json.parse(written)))
        assertEquals(written, Json.write(LatencyResult.fromJson(shared).toJson()))
    }

    /** The values without numbers, which the two programs may round differently. */
    private fun names(value: Any?): Any? = when (value) {
        is Map<*, *> -> value.mapValues { names(it.value) }
        is List<*> -> value.map(::names)
        is Double -> "a number"
        else -> value
    }

    @Test
    fun `fields are required and their types and values checked`() {
        for (change in listOf(
            "\"iris_tf.latency\"" to "\"other\"", "\"schema_version\": 1" to "\"schema_version\": 2",
            "2026-01-31T12:00:00Z" to "yesterday", "\"cores\": 8" to "\"cores\": 0", "m_float16" to "a/m_float16",
            "0123456789abcdef0" to "0123456789ABCDEF0", "\"threads\": 2" to "\"threads\": \"2\"",
            "\"median\": 2.5" to "\"median\": 2.6", "\"count\": 4" to "\"count\": 5",
            "\"first\"" to "\"fist\"", "\"rows\"" to "\"lines\"",
        )) {
            val broken = text.replace(change.first, change.second)
            assertTrue(broken != text, change.first)
            assertThrows(JsonException::class.java, { LatencyResult.fromJson(broken) }, change.second)
        }
    }

    @Test
    fun `the CSV has one line per row, quoted where needed`() {
        val lines = PHONE.toCsv().split("\r\n")
        assertEquals("", lines.last())
        assertEquals(PHONE.rows.size, lines.size - 2)
        val header = lines[0].split(",")
        assertEquals("created", header[0])
        assertTrue(lines[1].startsWith("2026-02-03T04:05:06Z,"))
        assertTrue(lines[1].contains("\"Maker \"\"Model\"\", 2\""))
        // The quoted field contains one comma more.
        val cells = lines[1].split(",")
        assertEquals(header.size + 1, cells.size)
        assertEquals("2.5", cells[header.indexOf("inference_median") + 1])
        assertEquals("", cells[header.indexOf("warmup_avg") + 1])
    }

    @Test
    fun `the CSV equals the table that Python writes`() {
        val (expected, found) = listOf(Fixtures.text("phone_result.csv"), PHONE.toCsv()).map(::cells)
        assertEquals(expected.first(), found.first())
        assertEquals(expected.size, found.size)
        for ((line, other) in expected.zip(found)) {
            assertEquals(line.size, other.size)
            for ((cell, value) in line.zip(other)) {
                val number = cell.toDoubleOrNull()
                if (number == null) assertEquals(cell, value) else assertEquals(number, value.toDouble(), 1e-12)
            }
        }
    }

    /** Cells of lines whose quoted fields hold no line break. */
    private fun cells(csv: String): List<List<String>> = csv.trimEnd().split("\r\n").map { line ->
        Regex("""(?:^|,)(?:"((?:[^"]|"")*)"|([^,"]*))""").findAll(line).map {
            it.groupValues[1].replace("\"\"", "\"") + it.groupValues[2]
        }.toList()
    }

    @Test
    fun `throttling at the start or the end of a row is reported`() {
        fun row(start: String?, end: String?) =
            PHONE.rows[1].copy(conditionsStart = Conditions(start), conditionsEnd = end?.let(::Conditions))
        assertEquals("moderate", PHONE.rows[0].throttling)
        assertEquals("severe", row("light", "severe").throttling)
        assertEquals("severe", row("severe", "light").throttling)
        assertEquals("light", row("light", "none").throttling)
        assertEquals("light", row(null, "light").throttling)
        assertNull(row("none", "none").throttling)
        assertNull(row(null, null).throttling)
    }

    companion object {
        private val MODEL = ModelFile("m_float16.tflite", "0123456789abcdef".repeat(4), 10)

        /** With made-up durations. */
        val PHONE = LatencyResult(
            "2026-02-03T04:05:06Z", "iris_tf android_demo 0.1.0", "LiteRT 1.4.0",
            Machine("Some SoC", 8, "Android 15", "Maker \"Model\", 2", "arm64-v8a", 35, 8_000_000_000L),
            listOf(
                LatencyRow(
                    MODEL, "gpu", "cpu-xnnpack", 1, Statistics(listOf(20.0, 18.0)), Statistics(listOf(9.0, 8.0)),
                    null, Statistics(listOf(4.0, 1.0, 3.0, 2.0)), "The GPU delegate cannot run this model.",
                    "The app was in the background.", 90_000_000L, Conditions("none", 81, false, 31.5),
                    Conditions("moderate", 80, false, 36.0),
                ),
                LatencyRow(
                    MODEL, "cpu-xnnpack", "cpu-xnnpack", 4, Statistics(listOf(20.0)), Statistics(listOf(9.0)),
                    Statistics(listOf(8.5, 0.25)), Statistics(listOf(1.5, 1.0)),
                ),
            ),
            listOf(Failure("m_float16.tflite", "nnapi", 1, "This Android version has no NNAPI.")),
        )
    }
}
