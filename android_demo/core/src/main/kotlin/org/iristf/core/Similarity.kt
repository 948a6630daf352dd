package org.iristf.core

/**
 * Where the phase code lies in an embedding: in its last [size] entries, column after column around the
 * ring. As `PhaseCodeLayout` of `iris_tf/tflite/phase_code_layout.py`.
 *
 * @property columns number of columns around the ring; a divisor of [size]
 * @property maxShift greatest shift between two codes, in columns, in either direction
 */
data class PhaseCodeLayout(val size: Int, val columns: Int, val maxShift: Int) {
    init {
        require(size > 0 && columns > 0 && size % columns == 0 && maxShift >= 0 && 2 * maxShift < columns) {
            "$size entries, $columns columns and shifts by up to $maxShift columns are inconsistent"
        }
    }
}

/** Similarity of embeddings. */
object Similarity {
    /** Cosine of two unit vectors, with their phase codes at the best relative shift. */
    fun of(one: FloatArray, other: FloatArray, phase: PhaseCodeLayout? = null): Double {
        val code = phase ?: return product(one, other, one.indices)
        val start = one.size - code.size
        val column = code.size / code.columns
        val best = (-code.maxShift..code.maxShift).maxOf { shift ->
            (0 until code.size).sumOf {
                one[start + (it - shift * column).mod(code.size)].toDouble() * other[start + it]
            }
        }
        return product(one, other, 0 until start) + best
    }

    private fun product(one: FloatArray, other: FloatArray, entries: IntRange) =
        entries.sumOf { one[it].toDouble() * other[it] }
}
