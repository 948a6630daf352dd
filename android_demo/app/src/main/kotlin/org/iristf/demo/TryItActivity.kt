package org.iristf.demo

import android.app.Activity
import android.app.AlertDialog
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.Spinner
import android.widget.TextView
import org.iristf.core.Clock
import org.iristf.core.Comparison
import org.iristf.core.Decision
import org.iristf.core.Enrolled
import org.iristf.core.GrayImage
import org.iristf.core.ModelException
import org.iristf.core.RecognitionCard
import org.iristf.core.Recognizer
import org.iristf.core.SegmenterCard
import java.util.Locale
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** Compares two eye images: segmentations, crops, score, similarity and decision. */
class TryItActivity : Activity() {
    private lateinit var panels: List<EyePanel>
    private lateinit var chooser: Spinner
    private lateinit var note: TextView
    private lateinit var verdict: TextView
    private var pending = 0 // number of unfinished background tasks

    // All fields below are used on this thread only.
    private val background: ExecutorService = Executors.newSingleThreadExecutor()
    private lateinit var store: ModelStore
    private lateinit var imageReader: EyeImageReader
    private var models = emptyList<StoredModel>()
    private var recognizer: Recognizer? = null
    private val images = arrayOfNulls<GrayImage>(EYES)
    private val enrolled = arrayOfNulls<Enrolled>(EYES)

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        store = ModelStore(this)
        imageReader = EyeImageReader(this)
        setContentView(layout())
        inBackground({ dialog(it) }) {
            models = store.list().models
            open(recognitionModels().firstOrNull())
            val names = recognitionModels().map { it.file.file }
            onUiThread { offer(names) }
        }
    }

    override fun onDestroy() {
        background.execute { recognizer?.close() }
        background.shutdown()
        super.onDestroy()
    }

    private fun layout(): View {
        val column = LinearLayout(this).apply { orientation = LinearLayout.VERTICAL }
        val space = (SPACE_DP * resources.displayMetrics.density).toInt()
        column.setPadding(space, space, space, space)
        chooser = Spinner(this)
        note = TextView(this)
        val threads = TextView(this).apply { setText(R.string.one_thread) }
        verdict = TextView(this).apply { setTextIsSelectable(true) }
        panels = listOf(R.string.first_eye, R.string.second_eye).mapIndexed { i, title ->
            EyePanel(this, title, { chooseImage(i) }, { takePhoto(i) })
        }
        (listOf(chooser, threads, note) + panels + verdict).forEach(column::addView)
        return ScrollView(this).apply {
            fitsSystemWindows = true
            addView(column)
        }
    }

    /** Recognition models with a card; float16 first, the precision meant for phones. */
    private fun recognitionModels() = models.filter { it.card is RecognitionCard }
        .sortedBy { it.precision != "float16" }

    private fun offer(names: List<String>) {
        chooser.visibility = if (names.isEmpty()) View.GONE else View.VISIBLE
        chooser.adapter = ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, names)
        chooser.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            private var shown = 0

            override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
                if (position == shown) return
                shown = position
                select(names[position])
            }

            override fun onNothingSelected(parent: AdapterView<*>?) = Unit
        }
    }

    private fun select(name: String) = inBackground({ dialog(it) }) {
        open(models.first { it.file.file == name })
        for (i in images.indices) if (images[i] != null) enrol(i)
    }

    private fun open(model: StoredModel?) {
        recognizer?.close()
        recognizer = null
        enrolled.fill(null) // embeddings of different models are not comparable
        onUiThread { verdict.text = "" }
        val segmenters = models.filter { it.card is SegmenterCard }
        // As in Python.
        val segmenter = (segmenters.firstOrNull { it.precision == "int8" } ?: segmenters.firstOrNull())
            ?: throw ModelException("The app contains no segmenter; rebuild it with models/iris-segmenter in the repository.")
        val engines = LiteRtEngines(models.associateBy { it.file }::getValue)
        val opened = Recognizer.open(
            engines, segmenter.file to segmenter.card as SegmenterCard,
            model?.let { it.file to it.card as RecognitionCard }, Clock(System::nanoTime),
        )
        recognizer = opened
        onUiThread { note.text = opened.note.orEmpty() }
    }

    /** Read and process an image. */
    private fun read(eye: Int, uri: Uri) {
        val problem = { message: String ->
            panels[eye].show(images[eye], message)
            dialog(message)
        }
        inBackground(problem) {
            images[eye] = null
            enrolled[eye] = null
            onUiThread { verdict.text = "" }
            try {
                images[eye] = imageReader.read(uri)
            } finally {
                if (uri == ResultProvider.uri(ResultProvider.PHOTO)) ResultProvider.photo(this).delete()
            }
            enrol(eye)
        }
    }

    private fun enrol(eye: Int) {
        val ready = recognizer
            ?: throw ModelException("No model could be loaded, so images cannot be compared; reopen this screen.")
        val image = images[eye] ?: return
        enrolled[eye] = null
        val found = ready.enrol(image)
        enrolled[eye] = found
        val (first, second) = enrolled
        val comparison = if (first == null || second == null) null else ready.compare(first, second)
        onUiThread {
            panels[eye].show(found)
            verdict.text = comparison?.let(::describe).orEmpty()
        }
    }

    private fun describe(comparison: Comparison): String {
        val similarity = String.format(Locale.ROOT, "similarity %.4f", comparison.similarity)
        val decision = comparison.decision
            ?: return "${getString(R.string.inconclusive, comparison.score?.inconclusive.orEmpty())}\n$similarity"
        val verdict = getString(if (decision.sameEye) R.string.same_eye else R.string.different_eyes)
        val score = comparison.score?.let { String.format(Locale.ROOT, "score %.2f", it.value) }
        val meaning = comparison.score?.let { getString(R.string.score_meaning) }
        val decisions = (listOf(decision) + comparison.others).map(::line)
        return (listOfNotNull(verdict, score, similarity) + decisions + listOfNotNull(meaning)).joinToString("\n")
    }

    private fun line(decision: Decision) = String.format(
        Locale.ROOT, "%s: %s (threshold %.4f)", decision.operatingPoint, if (decision.sameEye) "same" else "different",
        decision.threshold,
    )

    private fun chooseImage(eye: Int) = launch(
        Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"),
        CHOOSE + eye, "This phone has no app for choosing images.",
    )

    private fun takePhoto(eye: Int) {
        val uri = ResultProvider.uri(ResultProvider.PHOTO)
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, uri)
            .addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
        // The permission is granted for URIs in the clip data, not for those in extras.
        intent.clipData = ClipData.newRawUri(null, uri)
        launch(intent, TAKE + eye, "This phone has no camera app; choose an image instead.")
    }

    private fun launch(intent: Intent, request: Int, unavailable: String) = try {
        startActivityForResult(intent, request)
    } catch (error: ActivityNotFoundException) {
        dialog(unavailable)
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (result != RESULT_OK) return
        if (request >= TAKE) read(request - TAKE, ResultProvider.uri(ResultProvider.PHOTO))
        else data?.data?.let { read(request - CHOOSE, it) }
    }

    /** Run an action on the background thread; [problem] receives the message if it fails. */
    private fun inBackground(problem: (String) -> Unit, action: () -> Unit) {
        pending++
        panels.forEach { it.busy(true) }
        background.execute {
            val failure = try {
                action()
                null
            } catch (error: Throwable) {
                userMessage(error)
            }
            onUiThread {
                pending--
                panels.forEach { it.busy(pending > 0) }
                if (failure != null) problem(failure)
            }
        }
    }

    private fun onUiThread(action: () -> Unit) = runOnUiThread { if (!isDestroyed) action() }

    private fun dialog(message: String) {
        AlertDialog.Builder(this).setMessage(message).setPositiveButton(android.R.string.ok, null).show()
    }

    private companion object {
        const val EYES = 2
        const val CHOOSE = 0
        const val TAKE = EYES
        const val SPACE_DP = 16
    }
}
