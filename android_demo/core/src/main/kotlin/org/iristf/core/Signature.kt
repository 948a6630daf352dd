package org.iristf.core

/**
 * The signatures of this project's models: from one grey image to an embedding or to masks. Models
 * with other signatures are rejected, because the meaning of their inputs is unknown.
 */
object Signature {
    /** Key of the default signature, which every model has. */
    const val KEY = "serving_default"

    /** Key of the segmenter's signature with the input size for whole images. */
    const val WHOLE = "whole"
    private val MASKS = "image" to "masks"
    private val NAMES = mapOf(KEY to listOf("roi" to "embedding", MASKS), WHOLE to listOf(MASKS))

    /**
     * Check the input and output names of a loaded model's signature.
     *
     * @param inputs names of its inputs; empty if the model has no such signature
     * @param outputs names of its outputs
     * @throws EngineException if they are not those of this project's models
     */
    @Throws(EngineException::class)
    fun checkNames(signature: String, inputs: List<String>, outputs: List<String>) {
        val names = NAMES.getValue(signature)
        if (Pair(inputs.singleOrNull(), outputs.singleOrNull()) !in names) {
            val known = names.joinToString(" or ") { (input, output) -> "from $input to $output" }
            val maker = if (signature == WHOLE) "a segmenter of this version" else "one written by iris-tf export"
            throw EngineException("The model has no signature $signature $known; choose $maker.")
        }
    }

    /**
     * Check the tensors of a signature.
     *
     * @param float32 whether input and output are float32
     * @param input shape of the input
     * @throws EngineException if the input is not a single grey float32 image
     */
    @Throws(EngineException::class)
    fun checkTensors(float32: Boolean, input: List<Int>) {
        if (!float32) throw EngineException("The model's input and output are not float32; choose one written by iris-tf export.")
        if (input.size != 4 || input.first() != 1 || input.last() != 1) {
            throw EngineException("The model's input is $input, not one grey image; choose one written by iris-tf export.")
        }
    }
}
