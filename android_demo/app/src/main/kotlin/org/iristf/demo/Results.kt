package org.iristf.demo

import android.content.Context
import org.iristf.core.BenchmarkOutcome
import org.iristf.core.Json
import org.iristf.core.LatencyResult
import java.io.File
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone

/** Builds results and writes the files in which they leave the app. */
class Results(private val context: Context) {
    private val folder = File(context.filesDir, FOLDER)

    fun file(name: String) = File(folder, name)

    /**
     * The result of a run, or null if no row could be measured.
     *
     * @param runtime version of LiteRT; called only if there are rows, because its library may be missing
     */
    fun result(outcome: BenchmarkOutcome, phone: Phone, runtime: () -> String): LatencyResult? {
        if (outcome.rows.isEmpty()) return null
        val created = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT)
            .apply { timeZone = TimeZone.getTimeZone("UTC") }.format(Date())
        val build = context.packageManager.getPackageInfo(context.packageName, 0).versionName
        val variant = if (phone.debugBuild) " (debug build)" else ""
        return LatencyResult(
            created, "iris_tf android_demo $build$variant", "LiteRT ${runtime()}", phone.machine(), outcome.rows, outcome.failures,
        )
    }

    /** Write the JSON and CSV files for sharing. */
    @Throws(IOException::class)
    fun write(result: LatencyResult) {
        folder.mkdirs()
        write(file(JSON), Json.write(result.toJson()))
        write(file(CSV), result.toCsv())
    }

    /**
     * Write the answer to a command of `bench.sh` atomically into the app's folder on the shared storage:
     * the result, or one sentence with the reason why there is none.
     */
    fun answer(token: String, result: LatencyResult?, problem: String?) {
        val shared = context.getExternalFilesDir(null) ?: return
        try {
            if (result != null) write(File(shared, "$token.json"), Json.write(result.toJson()))
            else write(File(shared, "$token.txt"), problem.orEmpty() + "\n")
        } catch (error: IOException) {
            android.util.Log.e(LOG, "The answer cannot be written.", error)
        }
    }

    private fun write(file: File, text: String) {
        val temporary = File(file.path + ".part")
        temporary.writeText(text)
        if (!temporary.renameTo(file)) throw IOException("$file cannot be written")
    }

    companion object {
        const val FOLDER = "results"
        const val JSON = "latency.json"
        const val CSV = "latency.csv"
        private const val LOG = "iris_tf"
    }
}
