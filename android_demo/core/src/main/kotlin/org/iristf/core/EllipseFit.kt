package org.iristf.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.atan2
import kotlin.math.sqrt

/** Robust ellipse fit, equal to `fit_ellipse` of `iris_tf/segmentation/polar.py`. */
internal object EllipseFit {
    /**
     * Fit an ellipse by iteratively reweighted least squares, regularised towards a circle.
     *
     * @param weights weight of each point, 0..1
     * @param ridge strength of the regularisation
     * @return the ellipse, or null if none fits
     */
    fun fit(x: DoubleArray, y: DoubleArray, weights: DoubleArray, ridge: Double): Ellipse? {
        val total = weights.sum()
        if (total < MIN_WEIGHT) return null
        val centreX = x.indices.sumOf { weights[it] * x[it] } / total
        val centreY = y.indices.sumOf { weights[it] * y[it] } / total
        val scale = sqrt(x.indices.sumOf { weights[it] * (square(x[it] - centreX) + square(y[it] - centreY)) } / total)
        if (scale < 1.0) return null
        val rows = Array(x.size) {
            val u = (x[it] - centreX) / scale
            val v = (y[it] - centreY) / scale
            doubleArrayOf(2 * u, 2 * v, 1.0, u * u - v * v, 2 * u * v)
        }
        val target = DoubleArray(x.size) { square((x[it] - centreX) / scale) + square((y[it] - centreY) / scale) }
        val solution = solveRobustly(rows, target, weights, ridge * total) ?: return null
        return ellipse(solution)?.scaled(scale, centreX, centreY)
    }

    private fun solveRobustly(
        rows: Array<DoubleArray>, target: DoubleArray, weights: DoubleArray, ridge: Double,
    ): DoubleArray? {
        val robust = DoubleArray(rows.size) { 1.0 }
        var solution = DoubleArray(UNKNOWNS)
        repeat(ROUNDS) {
            val normal = Array(UNKNOWNS) { DoubleArray(UNKNOWNS) }
            val right = DoubleArray(UNKNOWNS)
            for ((k, row) in rows.withIndex()) {
                val weight = weights[k] * robust[k]
                for (i in 0 until UNKNOWNS) {
                    right[i] += row[i] * weight * target[k]
                    for (j in 0 until UNKNOWNS) normal[i][j] += row[i] * weight * row[j]
                }
            }
            // The last two unknowns vanish for a circle.
            for (i in UNKNOWNS - 2 until UNKNOWNS) normal[i][i] += ridge
            solution = solve(normal, right) ?: return null
            // Approximately the radial residuals.
            val residuals = DoubleArray(rows.size) { k ->
                (target[k] - (0 until UNKNOWNS).sumOf { rows[k][it] * solution[it] }) / 2.0
            }
            val counted = residuals.indices.filter { weights[it] > 0 }.map { abs(residuals[it]) }
            val spread = maxOf(1.5 * Statistics(counted).median, TOLERANCE)
            for (k in robust.indices) robust[k] = square(maxOf(1.0 - square(residuals[k] / (3.0 * spread)), 0.0))
        }
        return solution
    }

    /** Ellipse of `u^2 + v^2 = 2 a u + 2 b v + c + p (u^2 - v^2) + 2 q u v`. */
    private fun ellipse(solution: DoubleArray): Ellipse? {
        val (a, b, c, p, q) = solution
        val determinant = 1 - p * p - q * q
        if (determinant <= MIN_DETERMINANT) return null
        val u = ((1 + p) * a + q * b) / determinant
        val v = (q * a + (1 - p) * b) / determinant
        val constant = c + u * ((1 - p) * u - q * v) + v * ((1 + p) * v - q * u)
        if (constant <= 0) return null
        // The quadratic form is the identity minus ((p, q), (q, -p)), whose eigenvalues are +-size.
        val size = sqrt(p * p + q * q)
        val angle = (0.5 * atan2(q, p) + PI) % PI
        return Ellipse(u, v, sqrt(constant / (1 - size)), sqrt(constant / (1 + size)), angle)
    }

    /** Gaussian elimination with partial pivoting; null if the matrix is singular. */
    private fun solve(matrix: Array<DoubleArray>, right: DoubleArray): DoubleArray? {
        val size = right.size
        for (column in 0 until size) {
            val pivot = (column until size).maxByOrNull { abs(matrix[it][column]) }!!
            if (matrix[pivot][column] == 0.0) return null
            matrix[column] = matrix[pivot].also { matrix[pivot] = matrix[column] }
            right[column] = right[pivot].also { right[pivot] = right[column] }
            for (row in column + 1 until size) {
                val factor = matrix[row][column] / matrix[column][column]
                for (k in column until size) matrix[row][k] -= factor * matrix[column][k]
                right[row] -= factor * right[column]
            }
        }
        for (row in size - 1 downTo 0) {
            for (k in row + 1 until size) right[row] -= matrix[row][k] * right[k]
            right[row] /= matrix[row][row]
        }
        return right
    }

    private fun square(value: Double) = value * value

    private const val UNKNOWNS = 5
    private const val ROUNDS = 6
    private const val MIN_WEIGHT = 6.0
    private const val MIN_DETERMINANT = 0.1
    private const val TOLERANCE = 0.02 // least residual scale, relative to the radius
}
