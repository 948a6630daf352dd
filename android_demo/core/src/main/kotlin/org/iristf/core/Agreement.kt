package org.iristf.core

import kotlin.math.sqrt

/** One input of an agreement test and what the desktop computed for it. */
class AgreementCase(val image: GrayImage, val expected: FloatArray)

/** How far one engine agrees with the desktop. */
data class AgreementResult(val cases: Int, val minCosine: Double) {
    /** False also when a value was no number. */
    val agrees: Boolean get() = minCosine >= THRESHOLD

    companion object {
        /** What the export of a model demands, with room for float16 arithmetic. */
        const val THRESHOLD = 0.999
    }
}

/**
 * Inputs with the outputs that the desktop computed, written by `android_demo/write_agreement.py`.
 *
 * The JSON has `file` and `sha256` of the model; `height` and `width` of the inputs; `positions`,
 * the places in the output, counted in the order of memory, that were kept; and `cases`, each with
 * `pixels` (grey levels, row by row, in hexadecimal digits) and `outputs` at the positions.
 */
class Agreement(val file: String, val sha256: String, val positions: IntArray, val cases: List<AgreementCase>) {
    /**
     * Run all cases on an engine.
     *
     * @throws EngineException when the model is another than the one the file was made with
     */
    @Throws(EngineException::class)
    fun run(engine: Engine): AgreementResult {
        var least = 1.0
        for (case in cases) {
            if (engine.inputShape != listOf(1, case.image.height, case.image.width, 1)) {
                throw EngineException("The test inputs have another size than the model takes; write them again.")
            }
            engine.fill(case.image.toFloats())
            engine.invoke()
            val output = engine.output()
            if (positions.any { it >= output.size }) {
                throw EngineException("The model gives fewer values than the test has; write the test again.")
            }
            val cosine = cosine(FloatArray(positions.size) { output[positions[it]] }, case.expected)
            // A comparison with NaN is false: what is no number counts as disagreement.
            if (!(cosine >= least)) least = if (cosine.isNaN()) -1.0 else cosine
        }
        return AgreementResult(cases.size, least)
    }

    companion object {
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
            throw ModelException("$where: pixels are not hexadecimal digits.")
        }

        /** Cosine of the angle between two vectors, -1..1; not a number if either is zero. */
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

/** The bytes that hexadecimal digits stand for. */
internal fun hexadecimal(digits: String) = ByteArray(digits.length / 2) {
    digits.substring(2 * it, 2 * it + 2).toInt(16).toByte()
}
