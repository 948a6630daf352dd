package org.iristf.core

/**
 * The part of an embedding that is a phase code: its last [size] entries, column after column around the ring.
 * `PhaseCodeLayout` of `iris_tf/tflite/phase_code_layout.py`.
 *
 * @property turns columns by which one of two codes is turned at most, either way
 */
data class PhasePart(val size: Int, val columns: Int, val turns: Int) {
    init {
        require(size > 0 && columns > 0 && size % columns == 0 && turns >= 0 && 2 * turns < columns) {
            "$size entries, $columns columns and $turns turns do not go together"
        }
    }
}

/** How alike embeddings are. */
object Similarity {
    /** Cosine of two unit vectors; of a phase code, at the turn at which the two are most alike. */
    fun of(one: FloatArray, other: FloatArray, phase: PhasePart? = null): Double {
        val code = phase ?: return product(one, other, one.indices)
        val start = one.size - code.size
        val column = code.size / code.columns
        val best = (-code.turns..code.turns).maxOf { turn ->
            (0 until code.size).sumOf {
                one[start + Math.floorMod(it - turn * column, code.size)].toDouble() * other[start + it]
            }
        }
        return product(one, other, 0 until start) + best
    }

    private fun product(one: FloatArray, other: FloatArray, entries: IntRange) =
        entries.sumOf { one[it].toDouble() * other[it] }
}
