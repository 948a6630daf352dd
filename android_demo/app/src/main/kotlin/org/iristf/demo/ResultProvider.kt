package org.iristf.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/**
 * Shares the result files, read-only, with the app that the user chooses, and lets the camera app write
 * its photo.
 */
class ResultProvider : ContentProvider() {
    override fun onCreate() = true

    override fun getType(uri: Uri): String? = TYPES[uri.lastPathSegment]

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        val allowed = if (uri.lastPathSegment == PHOTO) ParcelFileDescriptor.parseMode(mode)
        else ParcelFileDescriptor.MODE_READ_ONLY
        return ParcelFileDescriptor.open(file(uri), allowed)
    }

    override fun query(
        uri: Uri, projection: Array<String>?, selection: String?, arguments: Array<String>?, order: String?,
    ): Cursor {
        val file = file(uri)
        val columns = projection ?: arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        return MatrixCursor(columns).apply {
            addRow(columns.map {
                when (it) {
                    OpenableColumns.DISPLAY_NAME -> file.name
                    OpenableColumns.SIZE -> file.length()
                    else -> null
                }
            })
        }
    }

    private fun file(uri: Uri): File {
        val name = uri.lastPathSegment
        val context = context
        if (name == PHOTO && context != null) return photo(context)
        val folder = File(context?.filesDir, Results.FOLDER)
        return if (name in TYPES) File(folder, name!!) else throw FileNotFoundException("There is no $uri.")
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = throw UnsupportedOperationException("read-only")

    override fun update(uri: Uri, values: ContentValues?, selection: String?, arguments: Array<String>?) =
        throw UnsupportedOperationException("read-only")

    override fun delete(uri: Uri, selection: String?, arguments: Array<String>?) =
        throw UnsupportedOperationException("read-only")

    companion object {
        const val PHOTO = "photo.jpg"
        private val TYPES =
            mapOf(Results.JSON to "application/json", Results.CSV to "text/csv", PHOTO to "image/jpeg")

        /** The file that the camera app writes its photo to. */
        fun photo(context: Context) = File(context.cacheDir, PHOTO)

        fun uri(file: String): Uri = Uri.parse("content://org.iristf.demo.results/$file")

        fun type(file: String) = TYPES.getValue(file)
    }
}
