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

/** One of the two eyes: buttons for its image, the segmentation, the crop and the durations. */
class EyePanel(context: Context, title: Int, choose: () -> Unit, takePhoto: () -> Unit) : LinearLayout(context) {
    private val buttons = listOf(R.string.choose_image to choose, R.string.take_photo to takePhoto).map { (text, action) ->
        Button(context).apply {
            setText(text)
            setOnClickListener { action() }
        }
    }
    private val overlay = imageView(R.string.overlay)
    private val crop = imageView(R.string.crop)
    private val line = TextView(context).apply { setTextIsSelectable(true) }

    init {
        orientation = VERTICAL
        addView(TextView(context).apply {
            setText(title)
            setTypeface(null, android.graphics.Typeface.BOLD)
        })
        addView(LinearLayout(context).apply { buttons.forEach(::addView) })
        listOf(overlay, crop, line).forEach(::addView)
        overlay.visibility = View.GONE
        crop.visibility = View.GONE
    }

    fun busy(busy: Boolean) = buttons.forEach { it.isEnabled = !busy }

    fun show(found: Enrolled) {
        show(overlay, found.image, Overlay.colours(found.image, found.eye))
        show(crop, found.crop, Overlay.colours(found.crop))
        line.text = String.format(Locale.ROOT, "confidence %.2f\n%s", found.eye.confidence, times(found.times))
    }

    /** Show an image without a result, or none if it could not be read, and the reason. */
    fun show(image: GrayImage?, problem: String) {
        if (image == null) overlay.visibility = View.GONE
        else show(overlay, image, Overlay.colours(image))
        crop.visibility = View.GONE
        line.text = problem
    }

    private fun show(view: ImageView, image: GrayImage, colours: IntArray) {
        view.setImageBitmap(Bitmap.createBitmap(colours, image.width, image.height, Bitmap.Config.ARGB_8888))
        view.visibility = View.VISIBLE
    }

    private fun times(times: StageTimes) = listOfNotNull(
        "segmentation" to times.segmentation, "crop" to times.crop, times.embedding?.let { "embedding" to it },
        "total" to times.total,
    ).joinToString { (stage, time) -> String.format(Locale.ROOT, "%s %.1f ms", stage, time) }

    private fun imageView(description: Int) = ImageView(context).apply {
        adjustViewBounds = true
        contentDescription = context.getString(description)
    }
}
