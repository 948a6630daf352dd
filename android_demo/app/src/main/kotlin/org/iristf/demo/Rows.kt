package org.iristf.demo

import android.content.Context
import android.graphics.Color
import android.view.View
import android.widget.LinearLayout
import android.widget.TextView
import org.iristf.core.Backend
import org.iristf.core.Failure
import org.iristf.core.LatencyRow
import org.iristf.core.Statistics
import java.util.Locale

/** Creates the views of single rows. */
class Rows(private val context: Context) {
    fun latency(row: LatencyRow): View = block(
        listOfNotNull(
            text("${row.model.file} · ${row.backendRequested} · ${threads(row.threads)}"),
            if (row.backend == row.backendRequested) null else warning("Ran on ${row.backend}. ${row.fallback.orEmpty()}"),
            if (row.backend == Backend.CPU.id) null else text(context.getString(R.string.partial_delegation)),
            row.invalid?.let(::warning),
            row.throttling?.let { warning(context.getString(R.string.throttled, it)) },
            text(
                "initialisation ${milliseconds(row.init.median)}, first ${milliseconds(row.first.median)}, " +
                    "warm-up ${row.warmup?.let { milliseconds(it.avg) } ?: "none"}",
            ),
            text(figures(row.inference)),
            HistogramView(context, row.inference),
            row.memoryBytes?.let { text(String.format(Locale.ROOT, "memory %.1f MiB", it / MIB)) },
            text("start ${conditions(row.conditionsStart)}; end ${conditions(row.conditionsEnd)}"),
        ),
    )

    fun failure(failure: Failure): View = block(
        listOf(
            text("${failure.model} · ${failure.backendRequested} · ${threads(failure.threads)}"), warning(failure.reason),
        ),
    )

    fun agreement(row: AgreementRow): View {
        val result = row.result
        val figure = result?.let {
            val line = String.format(
                Locale.ROOT, "minimum cosine %.6f over %d inputs on %s", it.minCosine, it.cases, row.backend,
            )
            if (it.agrees) text(line) else warning("$line: the phone does not compute what the desktop computes.")
        }
        val crops = row.eyes?.let {
            val line = String.format(
                Locale.ROOT, "%d of %d images cropped: visible iris IoU at least %.4f, outlines differ by at most %.4f " +
                    "iris radii, strips by at most %.2f grey levels", it.crops, it.eyes, it.minOverlap, it.maxShift,
                it.maxStripDifference,
            )
            if (it.agrees) text(line) else warning("$line: the phone's crops differ from the desktop's.")
        }
        val views = listOfNotNull(text("${row.model} · ${row.requested.id}"), figure, crops, row.problem?.let(::warning))
        val agrees = result?.agrees == true && row.eyes?.agrees != false
        return block(views).apply { if (!agrees) setBackgroundColor(RED) }
    }


    private fun figures(times: Statistics) = "n ${times.count}, min ${milliseconds(times.min)}, median " +
        "${milliseconds(times.median)}, mean ${milliseconds(times.avg)}, p90 ${milliseconds(times.p90)}, p95 " +
        "${milliseconds(times.p95)}, p99 ${milliseconds(times.p99)}, standard deviation ${milliseconds(times.stddev)}"

    private fun conditions(conditions: org.iristf.core.Conditions?) = listOfNotNull(
        conditions?.thermal?.let { "thermal $it" }, conditions?.batteryPercent?.let { "battery $it %" },
        conditions?.batteryCelsius?.let { "$it °C" }, if (conditions?.charging == true) "charging" else null,
    ).joinToString().ifEmpty { "unknown" }

    private fun milliseconds(value: Double) = String.format(Locale.ROOT, "%.2f ms", value)

    private fun threads(count: Int) = if (count == 1) "1 thread" else "$count threads"

    private fun text(line: String) = TextView(context).apply {
        text = line
        setTextIsSelectable(true)
    }

    private fun warning(line: String) = text(line).apply { setTextColor(Color.rgb(213, 94, 0)) }

    private fun block(views: List<View>) = LinearLayout(context).apply {
        orientation = LinearLayout.VERTICAL
        val space = (SPACE_DP * resources.displayMetrics.density).toInt()
        setPadding(0, space, 0, space)
        views.forEach(::addView)
    }

    private companion object {
        const val SPACE_DP = 8
        val RED = Color.argb(96, 220, 0, 0) // translucent, for dark and light themes
        const val MIB = 1024.0 * 1024.0
    }
}
