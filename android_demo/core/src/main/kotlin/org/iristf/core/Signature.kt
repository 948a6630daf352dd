package org.iristf.core

/**
 * The signatures that models of this project have: from one grey image to an embedding or to
 * masks. Other models are refused, because nothing is known of what they take.
 */
object Signature {
    /** Every model has it. */
    const val KEY = "serving_default"

    /** The segmenter at the size in which it looks at whole images. */
    const val WHOLE = "whole"
    private val MASKS = "image" to "masks"
    private val NAMES = mapOf(KEY to listOf("roi" to "embedding", MASKS), WHOLE to listOf(MASKS))

    /**
     * Check the names that a loaded model has in a signature; none if it has no such one.
     *
     * @throws EngineException when they are others
     */
    @Throws(EngineException::class)
    fun checkNames(signature: String, inputs: List<String>, outputs: List<String>) {
        val names = NAMES.getValue(signature)
        if (Pair(inputs.singleOrNull(), outputs.singleOrNull()) !in names) {
            val known = names.joinToString(" or ") { (input, output) -> "from $input to $output" }
            val maker = if (signature == WHOLE) "a segmenter of this version" else "one that iris-tf export wrote"
            throw EngineException("The model has no signature $signature $known; choose $maker.")
        }
    }

    /**
     * Check the tensors behind the names.
     *
     * @param float32 whether input and output are float32
     * @throws EngineException when the input is not one grey image of float32
     */
    @Throws(EngineException::class)
    fun checkTensors(float32: Boolean, input: List<Int>) {
        if (!float32) throw EngineException("The model's input and output are not float32; choose one that iris-tf export wrote.")
        if (input.size != 4 || input.first() != 1 || input.last() != 1) {
            throw EngineException("The model takes $input, not one grey image; choose one that iris-tf export wrote.")
        }
    }
}
