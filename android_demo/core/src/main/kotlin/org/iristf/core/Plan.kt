package org.iristf.core

/** Where a model is asked to run. [id] is the name in the schema. */
enum class Backend(val id: String, val takesThreads: Boolean) {
    CPU("cpu-xnnpack", true),
    GPU("gpu", false),
    NNAPI("nnapi", false);

    companion object {
        fun byId(id: String): Backend? = values().firstOrNull { it.id == id }
    }
}

/** A plan that cannot be carried out; the message is one sentence. */
class PlanException(message: String) : Exception(message)

/** One row of the matrix: a model on a backend with a number of threads. */
data class Task(val model: String, val backend: Backend, val threads: Int)

/**
 * What to measure.
 *
 * @property models names of the model files, without folders
 * @property threads for the backends that take a number of threads; others have one row
 * @property runs inferences that count, at least [MIN_RUNS]
 * @property warmup inferences before them
 * @property initialisations fresh interpreters, whose making and first inference are timed
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
        check(models.isNotEmpty(), "models is empty; name one model file or more")
        check(models.none { '/' in it || '\\' in it }, "models has a folder in it; give file names alone")
        check(backends.isNotEmpty(), "backends is empty; give ${Backend.values().joinToString { it.id }}")
        check(threads.isNotEmpty() && threads.all { it in 1..MAX_THREADS },
            "threads is $threads; give numbers from 1 to $MAX_THREADS")
        check(runs in MIN_RUNS..MAX_RUNS,
            "runs is $runs; $MIN_RUNS to $MAX_RUNS are needed for percentiles")
        check(warmup in 0..MAX_RUNS, "warmup is $warmup; give 0 to $MAX_RUNS")
        check(initialisations in 1..MAX_INITIALISATIONS,
            "initialisations is $initialisations; give 1 to $MAX_INITIALISATIONS")
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
        const val MIN_RUNS = 50 // p95 of fewer would rest on one or two samples
        const val MAX_RUNS = 100_000
        const val MAX_THREADS = 64
        const val MAX_INITIALISATIONS = 100
        private val FIELDS =
            setOf("models", "backends", "threads", "runs", "warmup", "initialisations")

        /**
         * Read a plan; what it does not say is as in the constructor.
         *
         * @param available what `"models": ["all"]` stands for, and a plan without `models`
         * @throws PlanException naming the field that is wrong
         */
        @Throws(PlanException::class)
        fun fromJson(text: String, available: List<String>): Plan {
            try {
                val json = JsonObject.parse(text)
                (json.names - FIELDS).firstOrNull()?.let {
                    throw PlanException("Benchmark plan: unknown field $it; there are ${FIELDS.joinToString()}.")
                }
                val models = if (json.has("models")) json.texts("models") else listOf("all")
                val standard = Plan(listOf("standard"))
                return Plan(
                    models.flatMap { if (it == "all") available else listOf(it) },
                    if (json.has("backends")) json.texts("backends").map(::backend) else standard.backends,
                    if (json.has("threads")) json.integers("threads", 1).map(::toInt) else standard.threads,
                    integer(json, "runs", standard.runs),
                    integer(json, "warmup", standard.warmup),
                    integer(json, "initialisations", standard.initialisations),
                )
            } catch (error: JsonException) {
                throw PlanException("Benchmark plan: ${error.message}")
            }
        }

        private fun integer(json: JsonObject, name: String, standard: Int) =
            if (json.has(name)) toInt(json.integer(name, 0)) else standard

        private fun toInt(value: Long) = value.coerceAtMost(Int.MAX_VALUE.toLong()).toInt()

        private fun backend(id: String) = Backend.byId(id) ?: throw PlanException(
            "Benchmark plan: there is no backend $id; there are ${Backend.values().joinToString { it.id }}.",
        )
    }
}
