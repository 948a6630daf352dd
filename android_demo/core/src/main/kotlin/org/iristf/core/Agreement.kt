package org.iristf.core

import kotlin.math.sqrt

/** One input of an agreement test, with the output computed on the desktop. */
class AgreementCase(val image: GrayImage, val expected: FloatArray)

/** Agreement of one engine with the desktop: the minimum cosine of all cases. */
data class AgreementResult(val cases: Int, val minCosine: Double) {
    /** False, too, if an output contained NaN. */
    val agrees: Boolean get() = minCosine >= THRESHOLD

    companion object {
        /** The bound that exported models must meet, with a margin for float16 arithmetic. */
        const val THRESHOLD = 0.999
    }
}

/**
 * Agreement test of one model: inputs with the outputs computed on the desktop, written by
 * `android_demo/write_agreement.py`.
 *
 * Fields of the JSON file: `file` and `sha256` of the model; `height` and `width` of the inputs;
 * `positions`, the indices into the flattened output whose values are stored; and `cases`, each with
 * `pixels` (grey levels, row by row, as hexadecimal digits) and `outputs` (values at the positions).
 */
class Agreement(val file: String, val sha256: String, val positions: IntArray, val cases: List<AgreementCase>) {
    /**
     * Run all cases on an engine.
     *
     * @throws EngineException if the engine's input or output does not have the test's size
     */
    @Throws(EngineException::class)
    fun run(engine: Engine): AgreementResult {
        checkInput(engine.inputShape)
        val cosines = cases.map { case ->
            engine.fill(case.image.toFloats())
            engine.invoke()
            cosine(case, engine.output())
        }
        return AgreementResult(cases.size, cosines.min())
    }

    /** Check that a model with this input shape takes the test's inputs. */
    @Throws(EngineException::class)
    fun checkInput(shape: List<Int>) {
        if (cases.any { shape != listOf(1, it.image.height, it.image.width, 1) }) {
            throw EngineException("The test inputs do not have the model's input size; run write_agreement.py again.")
        }
    }

    /** Cosine of a model's output for a case with the expected one; -1 if it is not a number. */
    @Throws(EngineException::class)
    fun cosine(case: AgreementCase, output: FloatArray): Double {
        if (positions.any { it >= output.size }) {
            throw EngineException("The model has fewer outputs than the test; run write_agreement.py again.")
        }
        val cosine = cosine(FloatArray(positions.size) { output[positions[it]] }, case.expected)
        // NaN counts as disagreement; every comparison with it is false.
        return if (cosine.isNaN()) -1.0 else cosine
    }

    companion object {
        /**
         * Parse a test file.
         *
         * @param where name of the file, for error messages
         */
        @Throws(ModelException::class)
        fun read(text: String, where: String): Agreement = try {
            val json = JsonObject.parse(text)
            val height = json.integer("height", 1).toInt()
            val width = json.integer("width", 1).toInt()
            val positions = json.integers("positions", 0).map { it.toInt() }.toIntArray()
            val cases = json.children("cases").map { case ->
                val outputs = case.numbers("outputs")
                val pixels = case.text("pixels")
                if (outputs.size != positions.size) throw case.wrong("outputs", "${positions.size} numbers")
                if (pixels.length != 2 * height * width) throw case.wrong("pixels", "$height x $width grey levels")
                AgreementCase(
                    GrayImage(height, width, hexadecimal(pixels)), FloatArray(outputs.size) { outputs[it].toFloat() },
                )
            }
            if (cases.isEmpty()) throw json.wrong("cases", "a list of at least one case")
            Agreement(json.text("file"), json.text("sha256"), positions, cases)
        } catch (error: JsonException) {
            throw ModelException("$where: ${error.message}")
        } catch (error: NumberFormatException) {
            throw ModelException("$where: pixels are not hexadecimal digits; run write_agreement.py again.")
        }

        /** Cosine of the angle between two vectors, -1..1; NaN if either vector is zero. */
        fun cosine(one: FloatArray, other: FloatArray): Double {
            var product = 0.0
            var ones = 0.0
            var others = 0.0
            for (i in one.indices) {
                product += one[i].toDouble() * other[i]
                ones += one[i].toDouble() * one[i]
                others += other[i].toDouble() * other[i]
            }
            return product / sqrt(ones * others)
        }
    }
}

/** The bytes encoded by a string of hexadecimal digits. */
internal fun hexadecimal(digits: String) = ByteArray(digits.length / 2) {
    digits.substring(2 * it, 2 * it + 2).toInt(16).toByte()
}
