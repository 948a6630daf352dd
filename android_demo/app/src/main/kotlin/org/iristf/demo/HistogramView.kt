package org.iristf.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.view.View
import org.iristf.core.Statistics

/** Histogram of the latencies of one row, from minimum to maximum. */
class HistogramView(context: Context, statistics: Statistics) : View(context) {
    private val counts = statistics.histogram(BINS)
    private val most = maxOf(1, counts.max())
    private val paint = Paint().apply { color = BAR }
    private val heightPixels = (HEIGHT_DP * resources.displayMetrics.density).toInt()

    init {
        contentDescription = "%.2f to %.2f ms".format(statistics.min, statistics.max)
    }

    override fun onMeasure(widthSpec: Int, heightSpec: Int) =
        setMeasuredDimension(MeasureSpec.getSize(widthSpec), heightPixels)

    override fun onDraw(canvas: Canvas) {
        val bar = width.toFloat() / BINS
        counts.forEachIndexed { i, count ->
            val top = height * (1f - count.toFloat() / most)
            canvas.drawRect(i * bar + 1f, top, (i + 1) * bar - 1f, height.toFloat(), paint)
        }
    }

    private companion object {
        const val BINS = 40
        const val HEIGHT_DP = 48
        val BAR = 0xFF0072B2.toInt()
    }
}
