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

/** The views of single rows. */
class Rows(private val context: Context) {
    fun latency(row: LatencyRow): View = block(
        listOfNotNull(
            text("${row.model.file} · ${row.backendRequested} · ${threads(row.threads)}"),
            if (row.backend == row.backendRequested) null else warning("Ran on ${row.backend}. ${row.fallback.orEmpty()}"),
            if (row.backend == Backend.CPU.id) null else text(context.getString(R.string.perhaps_partly)),
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
            val line = String.format(Locale.ROOT, "least cosine %.6f of %d inputs on %s", it.minCosine, it.cases, row.backend)
            if (it.agrees) text(line) else warning("$line: the phone computes something else than the desktop.")
        }
        val crops = row.eyes?.let {
            val line = String.format(
                Locale.ROOT, "%d of %d photographs cropped: visible iris overlaps by %.4f or more, outlines are at most " +
                    "%.4f iris radii apart, strips %.2f grey levels", it.crops, it.eyes, it.leastOverlap, it.greatestShift,
                it.greatestDifference,
            )
            if (it.agrees) text(line) else warning("$line: the phone makes other crops than the desktop.")
        }
        val views = listOfNotNull(text("${row.model} · ${row.requested.id}"), figure, crops, row.problem?.let(::warning))
        val agrees = result?.agrees == true && row.eyes?.agrees != false
        return block(views).apply { if (!agrees) setBackgroundColor(RED) }
    }

    fun sentence(sentence: String): View = block(listOf(text(sentence)))

    private fun figures(times: Statistics) = "n ${times.count}, min ${milliseconds(times.min)}, median " +
        "${milliseconds(times.median)}, mean ${milliseconds(times.avg)}, p90 ${milliseconds(times.p90)}, p95 " +
        "${milliseconds(times.p95)}, p99 ${milliseconds(times.p99)}, deviation ${milliseconds(times.stddev)}"

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
        val RED = Color.argb(96, 220, 0, 0) // lets dark and light themes through
        const val MIB = 1024.0 * 1024.0
    }
}
