package org.iristf.core

import kotlin.math.abs

/**
 * A closed polygon with vertices in units of 1/16 pixel, filled as by `cv2.fillPoly(..., shift=4)`:
 * vertices are rounded to pixels, each edge is drawn as a line of pixels, and each row is filled
 * between pairs of edges.
 */
internal class Polygon(private val x: LongArray, private val y: LongArray) {
    /** An edge that crosses the rows from [top] to [bottom], exclusive; x in units of 2^-16 pixels. */
    private class Edge(val top: Int, val bottom: Int, val x: Long, val slope: Long) {
        fun at(row: Int) = x + (row - top) * slope

        fun crosses(row: Int) = row in top until bottom
    }

    fun fill(height: Int, width: Int): Mask {
        val mask = Mask(height, width)
        val edges = ArrayList<Edge>()
        for (i in x.indices) {
            val before = if (i == 0) x.size - 1 else i - 1
            val edge = Segment(pixel(x[before]), pixel(y[before]), pixel(x[i]), pixel(y[i]))
            val top = minOf(edge.y0, edge.y1)
            val bottom = maxOf(edge.y0, edge.y1)
            val clipped = edge.clipped(height, width)
            clipped.second?.draw(mask)
            if (top == bottom) continue
            // The slope is that of the clipped edge, whose ends were rounded to pixels; if clipping
            // leaves a single row, its columns are combined with the rows of the unclipped edge.
            val ends = clipped.first
            val flat = ends.y0 == ends.y1
            val y0 = if (flat) edge.y0 else ends.y0
            val y1 = if (flat) edge.y1 else ends.y1
            val slope = ((ends.x1 - ends.x0) shl SHIFT) / (y1 - y0)
            val x = if (edge.y0 < edge.y1) (ends.x0 shl SHIFT) + (edge.y0 - y0) * slope
            else (ends.x1 shl SHIFT) + (edge.y1 - y1) * slope
            edges.add(Edge(top.toInt(), bottom.toInt(), x, slope))
        }
        for (row in 0 until height) {
            val crossings = edges.filter { it.crosses(row) }.map { it.at(row) }.sorted()
            for (i in 0 until crossings.size - 1 step 2) {
                val left = maxOf((crossings[i] + FRACTION) shr SHIFT, 0L).toInt()
                val right = minOf(crossings[i + 1] shr SHIFT, width - 1L).toInt()
                for (column in left..right) mask[row, column] = true
            }
        }
        return mask
    }

    private fun pixel(fixed: Long) = (fixed + ONE / 2) shr 4

    companion object {
        /** Units per pixel. */
        const val ONE = 16L
        private const val SHIFT = 16
        private const val FRACTION = (1L shl SHIFT) - 1
    }
}

/** A line segment between two pixels. */
internal class Segment(val x0: Long, val y0: Long, val x1: Long, val y1: Long) {
    /**
     * Clip the segment to an image: first to its rows, then to its columns, rounding each time to a
     * pixel towards the original end.
     *
     * @return the resulting segment, and the same again if it lies within the image, else null
     */
    fun clipped(height: Int, width: Int): Pair<Segment, Segment?> {
        val right = width - 1L
        val bottom = height - 1L
        val xs = longArrayOf(x0, x1)
        val ys = longArrayOf(y0, y1)
        fun beside(i: Int) = if (xs[i] < 0) 1 else if (xs[i] > right) 2 else 0
        fun beyond(i: Int) = if (ys[i] < 0) 1 else if (ys[i] > bottom) 2 else 0
        fun apart() = (beside(0) and beside(1)) != 0 || (beyond(0) and beyond(1)) != 0
        fun whole() = (0..1).all { beside(it) == 0 && beyond(it) == 0 }
        if (!apart() && !whole()) {
            for (i in 0..1) {
                if (beyond(i) == 0) continue
                val edge = if (beyond(i) == 1) 0L else bottom
                xs[i] += (edge - ys[i]) * (xs[1] - xs[0]) / (ys[1] - ys[0])
                ys[i] = edge
            }
            if (!apart() && !whole()) {
                for (i in 0..1) {
                    if (beside(i) == 0) continue
                    val edge = if (beside(i) == 1) 0L else right
                    ys[i] += (edge - xs[i]) * (ys[1] - ys[0]) / (xs[1] - xs[0])
                    xs[i] = edge
                }
            }
        }
        val segment = Segment(xs[0], ys[0], xs[1], ys[1])
        return Pair(segment, if (whole()) segment else null)
    }

    /** Draw the segment with Bresenham's algorithm, from left to right. */
    fun draw(mask: Mask) {
        val reversed = x1 < x0
        var x = (if (reversed) x1 else x0).toInt()
        var y = (if (reversed) y1 else y0).toInt()
        val down = if ((y1 > y0) != reversed) 1 else -1
        val width = abs(x1 - x0)
        val height = abs(y1 - y0)
        val steep = height > width
        val long = maxOf(width, height)
        val short = minOf(width, height)
        var error = long - 2 * short
        for (i in 0..long) {
            mask[y, x] = true
            val both = error < 0
            error += (if (both) 2 * long else 0) - 2 * short
            if (steep || both) y += down
            if (!steep || both) x++
        }
    }
}
