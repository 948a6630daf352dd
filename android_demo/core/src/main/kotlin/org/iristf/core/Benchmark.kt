package org.iristf.core

/** Monotonic time in nanoseconds. */
fun interface Clock {
    fun nanoseconds(): Long
}

/** What the measuring loop asks of the phone between inferences. */
interface Surroundings {
    fun conditions(): Conditions?

    /** Memory of the process in bytes, null where the system does not say. */
    fun memoryBytes(): Long?

    /** Why times measured since [reset] must not be used, or null. */
    fun invalid(): String?

    /** Forget what would have made earlier times invalid. */
    fun reset()
}

/** Hears of progress, on the thread that measures. */
interface ProgressListener {
    fun started(task: Task, index: Int, total: Int)

    /** [done] of [total] inferences of the row, warm-up and first ones counted. */
    fun progressed(done: Int, total: Int)

    fun measured(row: LatencyRow)

    fun failed(failure: Failure)
}

/** What came out of a plan; [cancelled] when not all of its rows were tried. */
data class BenchmarkOutcome(
    val rows: List<LatencyRow>, val failures: List<Failure>, val cancelled: Boolean,
)

/**
 * Carries out plans, one row after the other.
 *
 * A row makes some fresh engines and times each one's making and first inference, then makes one
 * more for warm-up and the inferences that count, as `iris_tf/benchmark/latency.py` does. A model
 * or backend that fails is a [Failure], and the next row is tried. A row during which the run is
 * cancelled is dropped.
 *
 * @param models the model files by name
 * @param cancelled asked before each inference and each loading
 */
class Benchmark(
    private val models: Map<String, ModelFile>,
    private val engines: EngineFactory,
    private val clock: Clock,
    private val surroundings: Surroundings,
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
                failures.add(failure(task, "The phone has not enough memory for this model; close other apps."))
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
            ?: throw EngineException("There is no model file of this name; choose one that the app lists.")
        val row = Row(task, model, 2 * plan.initialisations + plan.warmup + plan.runs)
        surroundings.reset()
        val start = surroundings.conditions()
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
                Statistics(runs), engine.fallback, surroundings.invalid(),
                surroundings.memoryBytes(), start, surroundings.conditions(),
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
            // Filled anew each time: the interpreter may use the input's memory for other tensors.
            engine.fill(input ?: noise(engine.inputShape).also { input = it })
            val start = clock.nanoseconds()
            val own = engine.invoke()
            val time = if (own == null) since(start) else own / 1e6
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
        /** Grey levels of noise, the same each time. */
        fun noise(shape: List<Int>): FloatArray {
            val random = java.util.Random(0)
            return FloatArray(shape.fold(1, Int::times)) { random.nextInt(256).toFloat() }
        }
    }
}
