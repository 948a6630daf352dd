package org.iristf.core

/**
 * The signature that every model of this project has: from one grey image to an embedding or to
 * masks. Other models are refused, because nothing is known of what they take.
 */
object Signature {
    const val KEY = "serving_default"
    private val OUTPUTS = mapOf("roi" to "embedding", "image" to "masks")

    /**
     * Check the names that a loaded model has in its signature [KEY]; none if it has no such one.
     *
     * @throws EngineException when they are others
     */
    @Throws(EngineException::class)
    fun checkNames(inputs: List<String>, outputs: List<String>) {
        val (input, output) = listOf(inputs, outputs).map { it.singleOrNull() }
        if (input == null || OUTPUTS[input] != output) {
            val known = OUTPUTS.entries.joinToString(" or ") { "from ${it.key} to ${it.value}" }
            throw EngineException("The model has no signature $KEY $known; choose one that iris-tf export wrote.")
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
