package org.iristf.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import android.net.Uri
import org.iristf.core.ExtractionException
import org.iristf.core.GrayImage
import org.iristf.core.GrayConversion
import java.io.IOException
import java.io.InputStream

/** Decodes images from the gallery or the camera to upright grey images. */
class EyeImageReader(private val context: Context) {
    @Throws(ExtractionException::class, IOException::class)
    fun read(uri: Uri): GrayImage {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        open(uri).use { BitmapFactory.decodeStream(it, null, bounds) }
        if (bounds.outWidth <= 0 || bounds.outHeight <= 0) throw unreadable()
        val options = BitmapFactory.Options().apply {
            inSampleSize = GrayConversion.sampleSize(bounds.outHeight, bounds.outWidth)
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPremultiplied = false // or transparent pixels would become black
        }
        val bitmap = open(uri).use { BitmapFactory.decodeStream(it, null, options) } ?: throw unreadable()
        try {
            val colours = IntArray(bitmap.width * bitmap.height)
            bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
            return GrayConversion.toGray(bitmap.height, bitmap.width, colours, orientation(uri))
        } finally {
            bitmap.recycle()
        }
    }

    private fun orientation(uri: Uri): Int = try {
        open(uri).use {
            ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
        }
    } catch (error: IOException) {
        ExifInterface.ORIENTATION_NORMAL // an image without EXIF, such as a BMP
    }

    private fun open(uri: Uri): InputStream = context.contentResolver.openInputStream(uri)
        ?: throw IOException("it cannot be opened")

    private fun unreadable() = ExtractionException("This is not a JPEG, PNG, BMP or WebP image, or it is damaged.")
}
