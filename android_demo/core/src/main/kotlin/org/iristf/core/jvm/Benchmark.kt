package org.iristf.core

/** State of the device, queried before and after each row. */
interface DeviceMonitor {
    fun conditions(): Conditions?

    /** Memory of the process in bytes; null if unknown. */
    fun memoryBytes(): Long?

    /** Why times measured since the last [reset] are invalid; null if they are valid. */
    fun invalid(): String?

    /** Start a new interval for [invalid]. */
    fun reset()
}

/** Receives progress on the measuring thread. */
interface ProgressListener {
    fun started(task: Task, index: Int, total: Int)

    /** [done] of the [total] initialisations and inferences of the row, including warm-up. */
    fun progressed(done: Int, total: Int)

    fun measured(row: LatencyRow)

    fun failed(failure: Failure)
}

/** Results of a plan; [cancelled] if not all of its rows were attempted. */
data class BenchmarkOutcome(
    val rows: List<LatencyRow>, val failures: List<Failure>, val cancelled: Boolean,
)

/**
 * Runs benchmark plans, one row after the other.
 *
 * As in `iris_tf/benchmark/latency.py`, a row creates several fresh engines and times the creation
 * and the first inference of each, then creates one more for warm-up and the measured inferences.
 * A model or backend that fails is recorded as a [Failure], and the next row follows. The row
 * during which a run is cancelled is discarded.
 *
 * @param models model files by name
 * @param cancelled queried before each inference and each creation of an engine
 */
class Benchmark(
    private val models: Map<String, ModelFile>,
    private val engines: EngineFactory,
    private val clock: Clock,
    private val device: DeviceMonitor,
    private val listener: ProgressListener,
    private val cancelled: () -> Boolean,
) {
    private class Cancelled : RuntimeException(null, null, false, false)

    fun run(plan: Plan): BenchmarkOutcome {
        val rows = ArrayList<LatencyRow>()
        val failures = ArrayList<Failure>()
        val tasks = plan.tasks()
        for ((index, task) in tasks.withIndex()) {
            if (cancelled()) return BenchmarkOutcome(rows, failures, true)
            listener.started(task, index, tasks.size)
            try {
                val row = measure(task, plan)
                rows.add(row)
                listener.measured(row)
            } catch (stop: Cancelled) {
                return BenchmarkOutcome(rows, failures, true)
            } catch (error: Exception) {
                failures.add(failure(task, sentence(error)))
                listener.failed(failures.last())
            } catch (error: OutOfMemoryError) {
                failures.add(failure(task, "The phone does not have enough memory for this model; close other apps."))
                listener.failed(failures.last())
            }
        }
        return BenchmarkOutcome(rows, failures, false)
    }

    private fun failure(task: Task, reason: String) =
        Failure(task.model, task.backend.id, task.threads, reason)

    private fun sentence(error: Exception): String = when (error) {
        is EngineException -> error.message
        else -> null
    } ?: "The runtime failed (${error.message?.lineSequence()?.first() ?: error.javaClass.simpleName})."

    private fun measure(task: Task, plan: Plan): LatencyRow {
        val model = models[task.model]
            ?: throw EngineException("There is no model file with this name; choose one that the app lists.")
        val row = Row(task, model, 2 * plan.initialisations + plan.warmup + plan.runs)
        device.reset()
        val start = device.conditions()
        val init = ArrayList<Double>()
        val first = ArrayList<Double>()
        repeat(plan.initialisations) {
            val (engine, time) = row.open()
            engine.use {
                init.add(time)
                first.add(row.infer(engine))
            }
        }
        return row.open().first.use { engine ->
            val warmup = List(plan.warmup) { row.infer(engine) }
            val runs = List(plan.runs) { row.infer(engine) }
            LatencyRow(
                model, task.backend.id, engine.backend, task.threads, Statistics(init),
                Statistics(first), if (warmup.isEmpty()) null else Statistics(warmup),
                Statistics(runs), engine.fallback, device.invalid(),
                device.memoryBytes(), start, device.conditions(),
            )
        }
    }

    private inner class Row(val task: Task, val model: ModelFile, val total: Int) {
        private var done = 0
        private var input: FloatArray? = null

        fun open(): Pair<Engine, Double> {
            stopIfCancelled()
            val start = clock.nanoseconds()
            val engine = engines.open(model, task.backend, task.threads)
            val time = since(start)
            step()
            return Pair(engine, time)
        }

        fun infer(engine: Engine): Double {
            stopIfCancelled()
            // Filled before every inference: the interpreter may reuse the input's memory for other tensors.
            engine.fill(input ?: noise(engine.inputShape).also { input = it })
            val start = clock.nanoseconds()
            val measured = engine.invoke()
            val time = if (measured == null) since(start) else measured / 1e6
            step()
            return time
        }

        private fun step() = listener.progressed(minOf(++done, total), total)
    }

    private fun since(start: Long) = (clock.nanoseconds() - start) / 1e6

    private fun stopIfCancelled() {
        if (cancelled()) throw Cancelled()
    }

    companion object {
        /** Uniform random grey levels 0..255, with a fixed seed. */
        fun noise(shape: List<Int>): FloatArray {
            val random = java.util.Random(0)
            return FloatArray(shape.fold(1, Int::times)) { random.nextInt(256).toFloat() }
        }
    }
}
