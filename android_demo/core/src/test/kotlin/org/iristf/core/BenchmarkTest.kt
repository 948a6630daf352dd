package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class BenchmarkTest {
    private val model = ModelFile("m.tflite", "0".repeat(64), 1)

    /** Its clock advances only while an engine works: 10 ms to open, then 1, 2, 3, ... ms per inference. */
    private class FakeDevice : EngineFactory, Clock, DeviceMonitor, ProgressListener {
        var now = 0L
        var opened = 0
        var closed = 0
        var background: String? = null
        var measured: Long? = null
        var invocations = 0
        val events = ArrayList<String>()
        val progress = ArrayList<Pair<Int, Int>>()
        var failAt: (Backend) -> Throwable? = { null }

        override fun open(model: ModelFile, backend: Backend, threads: Int, signature: String): Engine {
            assertEquals("serving_default", signature)
            failAt(backend)?.let { throw it }
            opened++
            now += 10_000_000
            return object : Engine {
                private var runs = 0
                private var filled = false
                override val backend = "cpu-xnnpack"
                override val fallback = if (backend == Backend.CPU) null else "It cannot."
                override val inputShape = listOf(1, 2, 3, 1)
                override val outputShape = listOf(1, 1)

                override fun fill(input: FloatArray) {
                    assertEquals(6, input.size)
                    filled = true
                }

                override fun invoke(): Long? {
                    assertTrue(filled, "the input must be filled before each inference")
                    filled = false
                    invocations++
                    now += ++runs * 1_000_000L
                    return measured
                }

                override fun output() = floatArrayOf(1f)

                override fun close() {
                    closed++
                }
            }
        }

        override fun nanoseconds() = now
        override fun conditions() = Conditions("none")
        override fun memoryBytes() = 5L
        override fun invalid() = background
        override fun reset() {
            background = null
        }

        override fun started(task: Task, index: Int, total: Int) {
            events.add("${task.backend.id} ${task.threads} $index/$total")
        }

        override fun progressed(done: Int, total: Int) {
            progress.add(done to total)
        }

        override fun measured(row: LatencyRow) {
            events.add("measured")
        }

        override fun failed(failure: Failure) {
            events.add("failed")
        }
    }

    private fun run(
        device: FakeDevice, plan: Plan, models: List<ModelFile> = listOf(model), cancelled: () -> Boolean = { false },
    ) = Benchmark(models.associateBy { it.file }, device, device, device, device, cancelled).run(plan)

    @Test
    fun `a row computed by hand`() {
        val device = FakeDevice()
        val outcome = run(device, Plan(listOf("m.tflite"), threads = listOf(2), runs = 50, warmup = 3, initialisations = 2))
        val row = outcome.rows.single()
        assertEquals(listOf(10.0, 10.0), row.init.samples)
        assertEquals(listOf(1.0, 1.0), row.first.samples)
        assertEquals(listOf(1.0, 2.0, 3.0), row.warmup?.samples)
        assertEquals((4..53).map { it.toDouble() }, row.inference.samples)
        assertEquals(2, row.threads)
        assertEquals(5L, row.memoryBytes)
        assertEquals(3, device.opened)
        assertEquals(3, device.closed)
        assertFalse(outcome.cancelled)
        assertEquals(device.progress.last().second, device.progress.last().first)
    }

    @Test
    fun `durations measured by the runtime take precedence`() {
        val device = FakeDevice()
        device.measured = 250_000
        val row = run(device, Plan(listOf("m.tflite"), threads = listOf(1), runs = 50)).rows.single()
        assertEquals(setOf(0.25), (row.inference.samples + row.first.samples).toSet())
    }

    @Test
    fun `only the CPU has several numbers of threads, and fallbacks are reported`() {
        val device = FakeDevice()
        val outcome = run(
            device,
            Plan(listOf("m.tflite"), Backend.values().toList(), listOf(1, 4), runs = 50, warmup = 0, initialisations = 1),
        )
        assertEquals(
            listOf("cpu-xnnpack 1", "cpu-xnnpack 4", "gpu 1", "nnapi 1"),
            outcome.rows.map { "${it.backendRequested} ${it.threads}" },
        )
        assertEquals(listOf(null, null, "It cannot.", "It cannot."), outcome.rows.map { it.fallback })
        assertTrue(outcome.rows.all { it.backend == "cpu-xnnpack" && it.warmup == null })
    }

    @Test
    fun `a failing engine is recorded and the next row follows`() {
        val device = FakeDevice()
        device.failAt = {
            when (it) {
                Backend.CPU -> EngineException("The file is broken.")
                Backend.GPU -> OutOfMemoryError()
                Backend.NNAPI -> null
            }
        }
        val outcome = run(device, Plan(listOf("m.tflite"), Backend.values().toList(), listOf(1), 50))
        assertEquals(listOf("cpu-xnnpack", "gpu"), outcome.failures.map { it.backendRequested })
        assertEquals("The file is broken.", outcome.failures[0].reason)
        assertTrue("memory" in outcome.failures[1].reason)
        assertEquals("nnapi", outcome.rows.single().backendRequested)
    }

    @Test
    fun `an engine that fails during inference is closed`() {
        val device = FakeDevice()
        val broken = object : EngineFactory {
            override fun open(model: ModelFile, backend: Backend, threads: Int, signature: String): Engine {
                val engine = device.open(model, backend, threads, signature)
                return object : Engine by engine {
                    override fun invoke(): Long? = throw IllegalStateException("native\nlines")
                }
            }
        }
        val outcome = Benchmark(mapOf("m.tflite" to model), broken, device, device, device) { false }
            .run(Plan(listOf("m.tflite"), threads = listOf(1)))
        assertEquals("The runtime failed (native).", outcome.failures.single().reason)
        assertEquals(device.opened, device.closed)
    }

    @Test
    fun `an unknown model is recorded as a failure`() {
        val outcome = run(FakeDevice(), Plan(listOf("other.tflite"), threads = listOf(1)))
        assertTrue("no model file" in outcome.failures.single().reason)
    }

    @Test
    fun `cancelling discards the current row and keeps the rows before`() {
        val device = FakeDevice()
        val plan = Plan(listOf("m.tflite"), threads = listOf(1, 2, 4), runs = 50, warmup = 0, initialisations = 1)
        // 51 inferences per row, so within the second row.
        val outcome = run(device, plan) { device.invocations >= 70 }
        assertTrue(outcome.cancelled)
        assertEquals(listOf(1), outcome.rows.map { it.threads })
        assertEquals(70, device.invocations)
        assertEquals(device.opened, device.closed)
        assertTrue(run(FakeDevice(), plan) { true }.rows.isEmpty())
    }

    @Test
    fun `a row during which the app was in the background is invalid, the next is not`() {
        val device = FakeDevice()
        val plan = Plan(listOf("m.tflite"), threads = listOf(1, 2), runs = 50, warmup = 0, initialisations = 1)
        val outcome = run(device, plan) {
            if (device.invocations == 20) device.background = "away"
            false
        }
        assertEquals(listOf("away", null), outcome.rows.map { it.invalid })
    }

    @Test
    fun `invalid plans are rejected with a message`() {
        for (text in listOf(
            "{\"runs\": 0}", "{\"runs\": 49}", "{\"warmup\": -1}", "{\"threads\": []}", "{\"threads\": [0]}",
            "{\"backends\": [\"tpu\"]}", "{\"models\": []}", "{\"models\": [\"a/b\"]}", "{\"run\": 50}", "[]", "{",
            "{\"initialisations\": 0}", "{\"runs\": 99999999999}",
        )) {
            val error = assertThrows(PlanException::class.java, { Plan.fromJson(text, listOf("m.tflite")) }, text)
            assertTrue(error.message!!.startsWith("Benchmark plan: "), error.message)
        }
        assertThrows(PlanException::class.java) { Plan.fromJson("{}", emptyList()) }
    }

    @Test
    fun `plans are parsed and serialised`() {
        val plan = Plan.fromJson(
            "{\"models\": [\"all\"], \"backends\": [\"gpu\"], \"threads\": [2], \"runs\": 60, \"warmup\": 0}",
            listOf("a.tflite", "b.tflite"),
        )
        assertEquals(Plan(listOf("a.tflite", "b.tflite"), listOf(Backend.GPU), listOf(2), 60, 0), plan)
        assertEquals(plan, Plan.fromJson(Json.write(plan.toJson()), emptyList()))
        assertEquals(Plan(listOf("a.tflite")), Plan.fromJson("{}", listOf("a.tflite")))
    }
}
