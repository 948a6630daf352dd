package org.iristf.demo

import android.app.Activity
import android.app.AlertDialog
import android.content.ActivityNotFoundException
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.ScrollView
import android.widget.TextView
import org.iristf.core.BenchmarkOutcome
import org.iristf.core.Failure
import org.iristf.core.LatencyResult
import org.iristf.core.LatencyRow
import org.iristf.core.Plan
import org.iristf.core.PlanException
import org.iristf.core.ProgressListener
import org.iristf.core.Task
import org.tensorflow.lite.TensorFlowLite
import java.io.IOException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** Main screen: settings, buttons, progress, and the rows of results as they are measured. */
class MainActivity : Activity() {
    private lateinit var store: ModelStore
    private lateinit var phone: Phone
    private lateinit var results: Results
    private lateinit var measurements: Measurements
    private lateinit var rows: Rows
    private lateinit var controls: Controls
    private lateinit var table: LinearLayout
    private lateinit var progress: ProgressBar
    private lateinit var status: TextView
    private val startButtons = ArrayList<Button>()
    private val shareButtons = ArrayList<Button>()
    private lateinit var cancelButton: Button

    // A single thread, so that nothing else runs during a measurement.
    private val background: ExecutorService = Executors.newSingleThreadExecutor()
    private var models = ModelList(emptyList(), emptyList())

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        store = ModelStore(this)
        phone = Phone(this)
        results = Results(this)
        measurements = Measurements(store, phone)
        rows = Rows(this)
        setContentView(layout())
        listModels()
        // An activity recreated by the system or started from the list of recent apps must not
        // repeat the command.
        val fromHistory = (intent.flags and Intent.FLAG_ACTIVITY_LAUNCHED_FROM_HISTORY) != 0
        if (state == null && !fromHistory) command(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        command(intent)
    }

    override fun onStart() {
        super.onStart()
        phone.setForeground(true)
    }

    override fun onStop() {
        phone.setForeground(false)
        super.onStop()
    }

    override fun onDestroy() {
        measurements.cancel()
        background.shutdown()
        super.onDestroy()
    }

    private fun layout(): View {
        val column = LinearLayout(this).apply { orientation = LinearLayout.VERTICAL }
        val space = (SPACE_DP * resources.displayMetrics.density).toInt()
        column.setPadding(space, space, space, space)
        controls = Controls(this)
        column.addView(controls)
        startButtons += button(column, R.string.add_model) { chooseModel() }
        startButtons += button(column, R.string.benchmark) { startBenchmark() }
        startButtons += button(column, R.string.agreement) { startAgreement() }
        startButtons += button(column, R.string.try_it) { startActivity(Intent(this, TryItActivity::class.java)) }
        cancelButton = button(column, R.string.cancel) { measurements.cancel() }
        shareButtons += button(column, R.string.share_json) { share(Results.JSON) }
        shareButtons += button(column, R.string.share_csv) { share(Results.CSV) }
        status = TextView(this)
        if (phone.debugBuild) status.setText(R.string.debug_build)
        column.addView(status)
        progress = ProgressBar(this, null, android.R.attr.progressBarStyleHorizontal)
        column.addView(progress)
        table = LinearLayout(this).apply { orientation = LinearLayout.VERTICAL }
        column.addView(table)
        busy(false)
        return ScrollView(this).apply {
            fitsSystemWindows = true // since Android 15, apps are drawn edge to edge
            addView(column)
        }
    }

    private fun button(parent: LinearLayout, text: Int, action: () -> Unit) = Button(this).apply {
        setText(text)
        setOnClickListener { action() }
        parent.addView(this)
    }

    private fun busy(busy: Boolean) {
        startButtons.forEach { it.isEnabled = !busy }
        shareButtons.forEach { it.isEnabled = !busy && results.file(Results.JSON).isFile }
        cancelButton.isEnabled = busy
        progress.visibility = if (busy) View.VISIBLE else View.GONE
        // Cores are throttled while the screen is off.
        if (busy) window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        else window.clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
    }

    private fun onUiThread(action: () -> Unit) = runOnUiThread { if (!isDestroyed) action() }

    private fun listModels() = background.execute {
        val list = store.list()
        onUiThread {
            models = list
            controls.show(list)
        }
    }

    private fun startBenchmark() {
        try {
            runPlan(controls.plan(), null)
        } catch (error: PlanException) {
            dialog(error.message.orEmpty())
        }
    }

    /** Run a plan; with a token, write the answer for the command that sent it. */
    private fun runPlan(plan: Plan, token: String?) {
        table.removeAllViews()
        busy(true)
        val listed = models.models
        background.execute {
            val message = try {
                measure(plan, listed, token)
            } catch (error: Throwable) {
                userMessage(error).also { if (token != null) results.answer(token, null, it) }
            }
            onUiThread {
                status.text = message
                busy(false)
            }
        }
    }

    /** Run a plan and store its result; returns the final message, empty if all went well. */
    private fun measure(plan: Plan, listed: List<StoredModel>, token: String?): String {
        val outcome = measurements.benchmark(plan, listed, Listener())
        val result = results.result(outcome, phone) { TensorFlowLite.runtimeVersion() }
        val problem = keep(result, outcome)
        if (token != null) results.answer(token, result, problem)
        return problem ?: if (outcome.cancelled) getString(R.string.cancelled) else ""
    }

    private fun keep(result: LatencyResult?, outcome: BenchmarkOutcome): String? {
        if (result == null) {
            val reason = outcome.failures.firstOrNull()?.reason.orEmpty()
            return "${getString(R.string.nothing_measured)} $reason".trim()
        }
        return try {
            results.write(result)
            null
        } catch (error: IOException) {
            "The result cannot be saved (${error.message}); free some space."
        }
    }

    private inner class Listener : ProgressListener {
        override fun started(task: Task, index: Int, total: Int) = onUiThread {
            status.text = "${index + 1} / $total: ${task.model}, ${task.backend.id}, ${task.threads}"
        }

        override fun progressed(done: Int, total: Int) {
            // Drawing competes with the inferences for the cores, so only ten updates per row.
            if (done % maxOf(1, total / STEPS) == 0) onUiThread {
                progress.max = total
                progress.progress = done
            }
        }

        override fun measured(row: LatencyRow) = onUiThread { table.addView(rows.latency(row)) }

        override fun failed(failure: Failure) = onUiThread { table.addView(rows.failure(failure)) }
    }

    private fun startAgreement() {
        val names = controls.selectedModels()
        val chosen = models.models.filter { it.file.file in names }
        val backends = controls.selectedBackends()
        table.removeAllViews()
        busy(true)
        background.execute {
            measurements.agreement(chosen, backends, { getString(R.string.no_agreement_test, it) }) { row ->
                onUiThread { table.addView(rows.agreement(row)) }
            }
            onUiThread { busy(false) }
        }
    }

    /** `adb shell am start ... --es plan JSON --es token NAME`, for `bench.sh`. */
    private fun command(intent: Intent) {
        val text = intent.getStringExtra("plan") ?: return
        val token = intent.getStringExtra("token").orEmpty().filter { it.isLetterOrDigit() }.ifEmpty { "result" }
        // Runs after the listing of models, which is queued first on this thread.
        background.execute {
            val available = store.list()
            try {
                val plan = Plan.fromJson(text, available.models.map { it.file.file })
                onUiThread {
                    models = available
                    controls.show(available)
                    runPlan(plan, token)
                }
            } catch (error: PlanException) {
                results.answer(token, null, error.message)
                onUiThread { dialog(error.message.orEmpty()) }
            }
        }
    }

    private fun chooseModel() {
        val choose = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        try {
            startActivityForResult(choose, CHOOSE_MODEL)
        } catch (error: ActivityNotFoundException) {
            dialog("This phone has no app for choosing files; push the model with bench.sh.")
        }
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        val uri = data?.data
        if (request != CHOOSE_MODEL || result != RESULT_OK || uri == null) return
        background.execute {
            try {
                store.add(uri)
            } catch (error: Throwable) { // the other app's content provider may throw anything
                val problem = userMessage(error)
                onUiThread { dialog(problem) }
            }
        }
        listModels()
    }

    private fun share(file: String) {
        val send = Intent(Intent.ACTION_SEND).setType(ResultProvider.type(file))
            .putExtra(Intent.EXTRA_STREAM, ResultProvider.uri(file))
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivity(Intent.createChooser(send, null))
    }

    private fun dialog(message: String) {
        AlertDialog.Builder(this).setMessage(message).setPositiveButton(android.R.string.ok, null).show()
    }

    private companion object {
        const val CHOOSE_MODEL = 1
        const val SPACE_DP = 16
        const val STEPS = 10
    }
}
