package org.iristf.core

/** Where a model is requested to run. [id] is its name in the schema. */
enum class Backend(val id: String, val takesThreads: Boolean) {
    CPU("cpu-xnnpack", true),
    GPU("gpu", false),
    NNAPI("nnapi", false);

    companion object {
        fun byId(id: String): Backend? = values().firstOrNull { it.id == id }
    }
}

/** An invalid plan; the message is one sentence. */
class PlanException(message: String) : Exception(message)

/** One row to measure: a model on a backend with a number of threads. */
data class Task(val model: String, val backend: Backend, val threads: Int)

/**
 * A benchmark plan: what to measure.
 *
 * @property models names of the model files, without folders
 * @property threads numbers of threads, for the CPU; other backends have a single row
 * @property runs number of measured inferences, at least [MIN_RUNS]
 * @property warmup number of inferences before them
 * @property initialisations number of fresh interpreters whose creation and first inference are timed
 */
data class Plan(
    val models: List<String>,
    val backends: List<Backend> = listOf(Backend.CPU),
    val threads: List<Int> = listOf(1, 2, 4),
    val runs: Int = 100,
    val warmup: Int = 10,
    val initialisations: Int = 5,
) {
    init {
        check(models.isNotEmpty(), "models is empty; name at least one model file")
        check(models.none { '/' in it || '\\' in it }, "models contains a folder; give file names only")
        check(backends.isNotEmpty(), "backends is empty; choose from ${Backend.values().joinToString { it.id }}")
        check(threads.isNotEmpty() && threads.all { it in 1..MAX_THREADS },
            "threads is $threads; choose numbers from 1 to $MAX_THREADS")
        check(runs in MIN_RUNS..MAX_RUNS,
            "runs is $runs; choose $MIN_RUNS to $MAX_RUNS (percentiles need at least $MIN_RUNS)")
        check(warmup in 0..MAX_RUNS, "warmup is $warmup; choose 0 to $MAX_RUNS")
        check(initialisations in 1..MAX_INITIALISATIONS,
            "initialisations is $initialisations; choose 1 to $MAX_INITIALISATIONS")
    }

    /** The rows in the order in which they are measured. */
    fun tasks(): List<Task> = models.distinct().flatMap { model ->
        backends.distinct().flatMap { backend ->
            (if (backend.takesThreads) threads.distinct() else listOf(1)).map { Task(model, backend, it) }
        }
    }

    fun toJson(): Map<String, Any?> = linkedMapOf(
        "models" to models, "backends" to backends.map { it.id }, "threads" to threads,
        "runs" to runs, "warmup" to warmup, "initialisations" to initialisations,
    )

    private fun check(holds: Boolean, problem: String) {
        if (!holds) throw PlanException("Benchmark plan: $problem.")
    }

    companion object {
        const val MIN_RUNS = 50 // p95 of fewer would depend on one or two samples
        const val MAX_RUNS = 100_000
        const val MAX_THREADS = 64
        const val MAX_INITIALISATIONS = 100
        private val FIELDS =
            setOf("models", "backends", "threads", "runs", "warmup", "initialisations")

        /**
         * Parse a plan; missing fields have the constructor's defaults.
         *
         * @param available the models meant by `"models": ["all"]`, and by a plan without `models`
         * @throws PlanException naming the invalid field
         */
        @Throws(PlanException::class)
        fun fromJson(text: String, available: List<String>): Plan {
            try {
                val json = JsonObject.parse(text)
                (json.names - FIELDS).firstOrNull()?.let {
                    throw PlanException("Benchmark plan: unknown field $it; the fields are ${FIELDS.joinToString()}.")
                }
                val models = if (json.has("models")) json.texts("models") else listOf("all")
                val default = Plan(listOf("default"))
                return Plan(
                    models.flatMap { if (it == "all") available else listOf(it) },
                    if (json.has("backends")) json.texts("backends").map(::backend) else default.backends,
                    if (json.has("threads")) json.integers("threads", 1).map(::toInt) else default.threads,
                    integer(json, "runs", default.runs),
                    integer(json, "warmup", default.warmup),
                    integer(json, "initialisations", default.initialisations),
                )
            } catch (error: JsonException) {
                throw PlanException("Benchmark plan: ${error.message}")
            }
        }

        private fun integer(json: JsonObject, name: String, default: Int) =
            if (json.has(name)) toInt(json.integer(name, 0)) else default

        private fun toInt(value: Long) = value.coerceAtMost(Int.MAX_VALUE.toLong()).toInt()

        private fun backend(id: String) = Backend.byId(id) ?: throw PlanException(
            "Benchmark plan: there is no backend $id; choose from ${Backend.values().joinToString { it.id }}.",
        )
    }
}
