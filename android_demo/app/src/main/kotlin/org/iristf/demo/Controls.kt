package org.iristf.demo

import android.content.Context
import android.text.InputType
import android.view.View
import android.widget.CheckBox
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import org.iristf.core.Backend
import org.iristf.core.Plan
import org.iristf.core.PlanException

/** The settings of a benchmark: models, backends, threads and numbers of runs. */
class Controls(context: Context) : LinearLayout(context) {
    private val models = LinearLayout(context).apply { orientation = VERTICAL }
    private val backends = LiteRtEngines.offered().map { box(it.id, it == Backend.CPU) to it }
    private val threads = listOf(1, 2, 4).map { box(it.toString(), true) to it }
    private val runs = number(100)
    private val warmup = number(10)

    init {
        orientation = VERTICAL
        heading(R.string.models)
        addView(models)
        heading(R.string.backends)
        addView(row(backends.map { it.first }))
        heading(R.string.threads)
        addView(row(threads.map { it.first }))
        addView(row(listOf(text(R.string.runs), runs, text(R.string.warmup), warmup)))
    }

    fun show(list: ModelList) {
        models.removeAllViews()
        if (list.models.isEmpty()) models.addView(text(R.string.no_models))
        else if (!list.hasRecognition) models.addView(text(R.string.no_recognition))
        for (model in list.models) models.addView(box(model.file.file, true))
        for (problem in list.problems) models.addView(TextView(context).apply { text = problem })
    }

    fun selectedModels(): List<String> = (0 until models.childCount).map(models::getChildAt)
        .filterIsInstance<CheckBox>().filter { it.isChecked }.map { it.text.toString() }

    fun selectedBackends(): List<Backend> = checked(backends)

    @Throws(PlanException::class)
    fun plan() = Plan(selectedModels(), selectedBackends(), checked(threads), value(runs), value(warmup))

    private fun <T> checked(boxes: List<Pair<CheckBox, T>>) = boxes.filter { it.first.isChecked }.map { it.second }

    // Text that is not a number becomes a number that the plan rejects with a message.
    private fun value(field: EditText) = field.text.toString().toIntOrNull() ?: -1

    private fun heading(text: Int) = addView(text(text).apply { setTypeface(null, android.graphics.Typeface.BOLD) })

    private fun text(text: Int) = TextView(context).apply { setText(text) }

    private fun box(label: String, checked: Boolean) = CheckBox(context).apply {
        text = label
        isChecked = checked
    }

    private fun number(value: Int) = EditText(context).apply {
        inputType = InputType.TYPE_CLASS_NUMBER
        setText(value.toString())
    }

    private fun row(views: List<View>) = LinearLayout(context).apply { views.forEach(::addView) }
}
