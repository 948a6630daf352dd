package org.iristf.core

/** A model that cannot be run; the message is one sentence for the user. */
class EngineException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** One signature of a loaded model, with one float32 input and one float32 output. */
interface Engine : AutoCloseable {
    /** Id of the [Backend] that the model runs on, which may differ from the requested one. */
    val backend: String

    /** Why the model does not run on the requested backend, in one sentence; null if it does. */
    val fallback: String?

    /** Shape of the input, e.g. (1, 192, 256, 1). */
    val inputShape: List<Int>

    /** Shape of the output. */
    val outputShape: List<Int>

    /** Copy the input into the input tensor. */
    fun fill(input: FloatArray)

    /**
     * Run one inference on the input tensor.
     *
     * @return duration in nanoseconds as measured by the runtime, without copies of input and
     *   output; null if the runtime does not measure it, and the caller must time the call
     */
    fun invoke(): Long?

    /** Copy the output of the last [invoke]. */
    fun output(): FloatArray
}

/** Creates engines. */
interface EngineFactory {
    /**
     * Load a model and prepare it for inference.
     *
     * @param signature key of the signature to run, see [Signature]
     * @throws EngineException if the model cannot be loaded
     */
    @Throws(EngineException::class)
    fun open(model: ModelFile, backend: Backend, threads: Int, signature: String = Signature.KEY): Engine
}

/** A model file as identified in results: name without folders, SHA-256 and size. */
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
