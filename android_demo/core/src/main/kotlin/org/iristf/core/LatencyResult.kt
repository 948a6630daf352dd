package org.iristf.core

/**
 * A latency result in the format that `iris_tf/benchmark/schema.py` documents: schema
 * `iris_tf.latency`, version 1. Fields that only phones provide (device, conditions, failures) are
 * optional there.
 */
data class LatencyResult(
    val created: String,
    val createdBy: String,
    val runtime: String,
    val machine: Machine,
    val rows: List<LatencyRow>,
    val failures: List<Failure> = emptyList(),
) {
    fun toJson(): Map<String, Any?> {
        val json = linkedMapOf<String, Any?>(
            "schema" to SCHEMA, "schema_version" to VERSION, "created" to created,
            "created_by" to createdBy, "runtime" to runtime, "machine" to machine.toJson(),
            "rows" to rows.map { it.toJson() },
        )
        if (failures.isNotEmpty()) json["failures"] = failures.map { it.toJson() }
        return json
    }

    /** CSV (RFC 4180) with a header and one line per row, without the individual samples. */
    fun toCsv(): String {
        val names = Statistics(listOf(0.0)).byName().keys
        val parts = listOf("init", "first", "warmup", "inference")
        val header = listOf(
            "created", "created_by", "runtime", "cpu", "cores", "os", "device", "file", "sha256",
            "bytes", "backend_requested", "backend", "threads", "invalid",
        ) + parts.flatMap { part -> (listOf("count") + names).map { "${part}_$it" } }
        val lines = rows.map { row ->
            listOf(
                created, createdBy, runtime, machine.cpu, machine.cores, machine.os,
                machine.device.orEmpty(), row.model.file, row.model.sha256, row.model.bytes,
                row.backendRequested, row.backend, row.threads, row.invalid.orEmpty(),
            ) + listOf(row.init, row.first, row.warmup, row.inference).flatMap { statistics ->
                if (statistics == null) List(names.size + 1) { "" }
                else listOf<Any>(statistics.count) + statistics.byName().values
            }
        }
        return (listOf<List<Any>>(header) + lines).joinToString("") { line ->
            line.joinToString(",", postfix = "\r\n") { quote(it.toString()) }
        }
    }

    private fun quote(text: String) =
        if (text.any { it in ",\"\r\n" }) "\"" + text.replace("\"", "\"\"") + "\"" else text

    companion object {
        const val SCHEMA = "iris_tf.latency"
        const val VERSION = 1L
        private val CREATED = Regex("""\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)""")

        /** Parse and validate a result; unknown fields are ignored. */
        @Throws(JsonException::class)
        fun fromJson(text: String): LatencyResult {
            val json = JsonObject.parse(text)
            if (json.text("schema") != SCHEMA) throw json.wrong("schema", SCHEMA)
            if (json.integer("schema_version", 1) != VERSION) {
                throw json.wrong("schema_version", "$VERSION, the version that this program reads")
            }
            if (!CREATED.matches(json.text("created"))) {
                throw json.wrong("created", "a time like 2026-01-31T12:00:00Z")
            }
            val rows = json.children("rows").map(LatencyRow::fromJson)
            if (rows.isEmpty()) throw json.wrong("rows", "a list of at least one row")
            return LatencyResult(
                json.text("created"), json.text("created_by"), json.text("runtime"),
                Machine.fromJson(json.child("machine")), rows,
                if (json.has("failures")) json.children("failures").map(Failure::fromJson) else emptyList(),
            )
        }
    }
}

/**
 * The machine on which a result was measured.
 *
 * @property cpu name of the CPU; of a phone, its system on chip
 * @property device manufacturer and model of a phone
 * @property abi ABI of the native code, e.g. `arm64-v8a`
 * @property androidApi Android API level
 */
data class Machine(
    val cpu: String,
    val cores: Int,
    val os: String,
    val device: String? = null,
    val abi: String? = null,
    val androidApi: Int? = null,
    val memoryBytes: Long? = null,
) {
    fun toJson(): Map<String, Any?> = linkedMapOf<String, Any?>("cpu" to cpu, "cores" to cores, "os" to os) +
        present("device" to device, "abi" to abi, "android_api" to androidApi, "memory_bytes" to memoryBytes)

    companion object {
        @Throws(JsonException::class)
        fun fromJson(json: JsonObject) = Machine(
            json.text("cpu"), json.integer("cores", 1).toInt(), json.text("os"),
            optional(json, "device", JsonObject::text), optional(json, "abi", JsonObject::text),
            optional(json, "android_api") { integer(it, 1).toInt() },
            optional(json, "memory_bytes") { integer(it, 1) },
        )
    }
}

/**
 * State of a phone at one point in time; null where the system does not provide a value.
 *
 * @property thermal `none`, `light`, `moderate`, `severe`, `critical`, `emergency` or `shutdown`
 */
data class Conditions(
    val thermal: String? = null,
    val batteryPercent: Int? = null,
    val charging: Boolean? = null,
    val batteryCelsius: Double? = null,
) {
    fun toJson(): Map<String, Any?> = present(
        "thermal" to thermal, "battery_percent" to batteryPercent, "charging" to charging,
        "battery_celsius" to batteryCelsius,
    )

    companion object {
        /** Thermal status by increasing severity, in the order of Android's constants. */
        val THERMAL = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

        @Throws(JsonException::class)
        fun fromJson(json: JsonObject) = Conditions(
            optional(json, "thermal") { name ->
                text(name).also { if (it !in THERMAL) throw wrong(name, "one of ${THERMAL.joinToString()}") }
            },
            optional(json, "battery_percent") { integer(it, 0).toInt() },
            optional(json, "charging") { flag(it) },
            optional(json, "battery_celsius", JsonObject::number),
        )
    }
}

/**
 * Measurements of one model on one backend.
 *
 * @property fallback why the model did not run on the requested backend; null if it did
 * @property invalid why the times are invalid, e.g. because the app was in the background; null if
 *   they are valid
 * @property memoryBytes memory of the process (proportional set size) after the last inference
 */
data class LatencyRow(
    val model: ModelFile,
    val backendRequested: String,
    val backend: String,
    val threads: Int,
    val init: Statistics,
    val first: Statistics,
    val warmup: Statistics?,
    val inference: Statistics,
    val fallback: String? = null,
    val invalid: String? = null,
    val memoryBytes: Long? = null,
    val conditionsStart: Conditions? = null,
    val conditionsEnd: Conditions? = null,
) {
    /** The worse thermal status of start and end if the phone was throttled; else null. */
    val throttling: String? get() = listOfNotNull(conditionsStart?.thermal, conditionsEnd?.thermal)
        .maxByOrNull { Conditions.THERMAL.indexOf(it) }?.takeIf { it != Conditions.THERMAL.first() }

    fun toJson(): Map<String, Any?> = linkedMapOf(
        "model" to model.toJson(), "backend_requested" to backendRequested, "backend" to backend,
        "threads" to threads, "init" to init.toJson(), "first" to first.toJson(),
        "warmup" to warmup?.toJson(), "inference" to inference.toJson(),
    ) + present(
        "fallback" to fallback, "invalid" to invalid, "memory_bytes" to memoryBytes,
        "conditions_start" to conditionsStart?.toJson(), "conditions_end" to conditionsEnd?.toJson(),
    )

    companion object {
        @Throws(JsonException::class)
        fun fromJson(json: JsonObject) = LatencyRow(
            ModelFile.fromJson(json.child("model")), json.text("backend_requested"),
            json.text("backend"), json.integer("threads", 1).toInt(),
            Statistics.fromJson(json.child("init")), Statistics.fromJson(json.child("first")),
            if (json.isNull("warmup")) null else Statistics.fromJson(json.child("warmup")),
            Statistics.fromJson(json.child("inference")),
            optional(json, "fallback", JsonObject::text), optional(json, "invalid", JsonObject::text),
            optional(json, "memory_bytes") { integer(it, 0) },
            optional(json, "conditions_start") { Conditions.fromJson(child(it)) },
            optional(json, "conditions_end") { Conditions.fromJson(child(it)) },
        )
    }
}

/** A row that could not be measured; [model] is the name of the model file. */
data class Failure(val model: String, val backendRequested: String, val threads: Int, val reason: String) {
    fun toJson(): Map<String, Any?> = linkedMapOf(
        "model" to model, "backend_requested" to backendRequested, "threads" to threads, "reason" to reason,
    )

    companion object {
        @Throws(JsonException::class)
        fun fromJson(json: JsonObject) = Failure(
            json.text("model"), json.text("backend_requested"), json.integer("threads", 1).toInt(),
            json.text("reason"),
        )
    }
}

private fun present(vararg fields: Pair<String, Any?>): Map<String, Any?> =
    fields.filter { it.second != null }.toMap()

private fun <T> optional(json: JsonObject, name: String, read: JsonObject.(String) -> T): T? =
    if (json.has(name) && !json.isNull(name)) json.read(name) else null
