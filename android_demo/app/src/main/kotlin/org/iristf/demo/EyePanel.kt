package org.iristf.demo

import android.content.Context
import android.graphics.Bitmap
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView
import org.iristf.core.Enrolled
import org.iristf.core.GrayImage
import org.iristf.core.Overlay
import org.iristf.core.StageTimes
import java.util.Locale

/** One of the two eyes: where its picture comes from, what was found, and how long that took. */
class EyePanel(context: Context, title: Int, choose: () -> Unit, photograph: () -> Unit) : LinearLayout(context) {
    private val buttons = listOf(R.string.choose_picture to choose, R.string.take_picture to photograph).map { (text, action) ->
        Button(context).apply {
            setText(text)
            setOnClickListener { action() }
        }
    }
    private val photo = picture(R.string.overlay)
    private val crop = picture(R.string.crop)
    private val line = TextView(context).apply { setTextIsSelectable(true) }

    init {
        orientation = VERTICAL
        addView(TextView(context).apply {
            setText(title)
            setTypeface(null, android.graphics.Typeface.BOLD)
        })
        addView(LinearLayout(context).apply { buttons.forEach(::addView) })
        listOf(photo, crop, line).forEach(::addView)
        photo.visibility = View.GONE
        crop.visibility = View.GONE
    }

    fun busy(busy: Boolean) = buttons.forEach { it.isEnabled = !busy }

    fun show(found: Enrolled) {
        show(photo, found.image, Overlay.colours(found.image, found.eye))
        show(crop, found.crop, Overlay.colours(found.crop))
        line.text = String.format(Locale.ROOT, "confidence %.2f\n%s", found.eye.confidence, times(found.times))
    }

    /** What is left of a picture in which nothing was found; null where it could not even be read. */
    fun show(image: GrayImage?, problem: String) {
        if (image == null) photo.visibility = View.GONE
        else show(photo, image, Overlay.colours(image))
        crop.visibility = View.GONE
        line.text = problem
    }

    private fun show(view: ImageView, image: GrayImage, colours: IntArray) {
        view.setImageBitmap(Bitmap.createBitmap(colours, image.width, image.height, Bitmap.Config.ARGB_8888))
        view.visibility = View.VISIBLE
    }

    private fun times(times: StageTimes) = listOfNotNull(
        "segmentation" to times.segmentation, "crop" to times.crop, times.embedding?.let { "embedding" to it },
        "together" to times.total,
    ).joinToString { (stage, time) -> String.format(Locale.ROOT, "%s %.1f ms", stage, time) }

    private fun picture(description: Int) = ImageView(context).apply {
        adjustViewBounds = true
        contentDescription = context.getString(description)
    }
}
