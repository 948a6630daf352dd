package org.iristf.core

import kotlin.math.abs
import kotlin.math.max

/**
 * Masks halos of highlights in strips, bit-exact with `iris_tf/segmentation/halos.py`: light that lenses and defocus
 * scatter around reflections, at the same place in all eyes that a camera with fixed lamps sees.
 */
internal object Halos {
    private const val CELL = 4 // rows and columns of a cell, whose mean brightness is judged
    private const val NEIGHBOURS = 16 // columns of cells to either side that tell the brightness at an angle
    private const val BRIGHT = 6.0 // robust standard deviations above the iris that no iris texture reaches
    private const val LEAST_SPREAD = 2.0 // grey levels, of the cells' brightness
    private const val NORMAL = 1.4826 // standard deviation over median absolute deviation of a normal distribution

    /** Hide the halos in a strip, whose hidden pixels are 0; its sides are multiples of 4. */
    fun hide(strip: GrayImage) {
        val rows = strip.height / CELL
        val columns = strip.width / CELL
        val bright = bright(Array(rows) { row -> DoubleArray(columns) { column -> brightness(strip, row, column) } })
        for (row in 0 until rows) for (column in 0 until columns) {
            val touches = (max(row - 1, 0)..minOf(row + 1, rows - 1)).any { y ->
                (column - 1..column + 1).any { bright[y][it.mod(columns)] }
            }
            if (touches) forEachPixel(row, column) { y, x -> strip[y, x] = 0 }
        }
    }

    /** Mean brightness of the visible pixels of a cell; NaN if more than half are hidden. */
    private fun brightness(strip: GrayImage, row: Int, column: Int): Double {
        var count = 0
        var total = 0
        forEachPixel(row, column) { y, x ->
            if (strip[y, x] > 0) count++
            total += strip[y, x]
        }
        return if (count >= CELL * CELL / 2) total.toDouble() / count else Double.NaN
    }

    /** Cells that are brighter than iris texture. */
    private fun bright(brightness: Array<DoubleArray>): List<BooleanArray> {
        val columns = brightness[0].size
        val excess = brightness.map { row -> median(row.asList()).let { middle -> DoubleArray(columns) { row[it] - middle } } }
        // Rings are even now, but light often comes from one side.
        val byColumn = List(columns) { column -> median(excess.map { it[column] }) }
        val around = List(columns) { column ->
            median((column - NEIGHBOURS..column + NEIGHBOURS).map { byColumn[it.mod(columns)] })
        }
        for (row in excess) for (column in row.indices) row[column] -= around[column]
        val spread = NORMAL * median(excess.flatMap { row -> row.map(::abs) })
        return excess.map { row -> BooleanArray(columns) { row[it] > BRIGHT * max(spread, LEAST_SPREAD) } }
    }

    /** Median of all values but NaN, which is the median of none. */
    private fun median(values: List<Double>): Double {
        val ordered = values.filterNot(Double::isNaN).sorted()
        if (ordered.isEmpty()) return Double.NaN
        return (ordered[(ordered.size - 1) / 2] + ordered[ordered.size / 2]) / 2
    }

    private inline fun forEachPixel(row: Int, column: Int, action: (Int, Int) -> Unit) {
        for (y in row * CELL until (row + 1) * CELL) for (x in column * CELL until (column + 1) * CELL) action(y, x)
    }
}
