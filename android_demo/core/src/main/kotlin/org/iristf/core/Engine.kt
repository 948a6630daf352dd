package org.iristf.core

import java.io.Closeable

/** A model that cannot be run; the message is one sentence for the person at the phone. */
class EngineException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** One signature of a loaded model, from one float32 input to one float32 output. */
interface Engine : Closeable {
    /** What it runs on: an id of [Backend], which may differ from the one asked for. */
    val backend: String

    /** Why it does not run on what was asked for, in one sentence; null if it does. */
    val fallback: String?

    /** Sizes of the input, e.g. (1, 192, 256, 1). */
    val inputShape: List<Int>

    /** Sizes of the output. */
    val outputShape: List<Int>

    /** Copy the input into the model. */
    fun fill(input: FloatArray)

    /**
     * Infer, from the filled input to the filled output.
     *
     * @return the nanoseconds that this took, where the runtime says so without the copying
     *   around it; null: the whole call is what is timed
     */
    fun invoke(): Long?

    /** Copy the output of the last [invoke]. */
    fun output(): FloatArray
}

/** Makes engines. */
interface EngineFactory {
    /**
     * Load a model and make it ready to run.
     *
     * @param signature which of the model's signatures: a name of [Signature]
     * @throws EngineException when that cannot be done
     */
    @Throws(EngineException::class)
    fun open(model: ModelFile, backend: Backend, threads: Int, signature: String = Signature.KEY): Engine
}

/** A model file as results name it. */
data class ModelFile(val file: String, val sha256: String, val bytes: Long) {
    fun toJson(): Map<String, Any?> =
        linkedMapOf("file" to file, "sha256" to sha256, "bytes" to bytes)

    companion object {
        private val SHA256 = Regex("[0-9a-f]{64}")

        @Throws(JsonException::class)
        fun fromJson(json: JsonObject): ModelFile {
            val model = ModelFile(json.text("file"), json.text("sha256"), json.integer("bytes", 1))
            if ('/' in model.file || '\\' in model.file) {
                throw json.wrong("file", "a file name without folders")
            }
            if (!SHA256.matches(model.sha256)) throw json.wrong("sha256", "64 hexadecimal digits")
            return model
        }
    }
}
