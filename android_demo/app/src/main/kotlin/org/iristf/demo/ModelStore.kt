package org.iristf.demo

import android.content.Context
import android.net.Uri
import android.provider.OpenableColumns
import org.iristf.core.Agreement
import org.iristf.core.EngineException
import org.iristf.core.EyeAgreement
import org.iristf.core.ModelCard
import org.iristf.core.ModelException
import org.iristf.core.ModelFile
import org.iristf.core.ModelFiles
import org.iristf.core.RecognitionCard
import org.iristf.core.check
import org.iristf.core.describe
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** A model file that the app can run; [card] is null for files added by the user. */
class StoredModel(val file: ModelFile, val card: ModelCard?, private val open: () -> ByteBuffer) {
    /** That of the card; null without one. */
    val precision: String? get() = card?.files?.get(file.file)?.precision

    /** Map the file into memory. */
    @Throws(EngineException::class)
    fun map(): ByteBuffer = try {
        open()
    } catch (error: IOException) {
        throw EngineException("The model file cannot be read (${error.message}).", error)
    }
}

/** The usable models, and for each other model why it cannot be used. */
class ModelList(val models: List<StoredModel>, val problems: List<String>) {
    val hasRecognition: Boolean get() = models.any { it.card is RecognitionCard }
}

/** Bundled models (assets) and models added by the user (files of the app). */
class ModelStore(private val context: Context) {
    private val added = File(context.filesDir, FOLDER)

    // Where bench.sh pushes models; null while the shared storage is not mounted.
    private val pushed get() = context.getExternalFilesDir(FOLDER)

    /** List all models, verified against their cards; reads every file completely. */
    fun list(): ModelList {
        val models = ArrayList<StoredModel>()
        val problems = ArrayList<String>()
        for (folder in context.assets.list(FOLDER).orEmpty().sorted()) {
            try {
                val where = "$FOLDER/$folder"
                val card = ModelCard.read(asset("$where/${ModelCard.FILE}"), folder)
                for (file in card.files.keys.sorted()) {
                    val path = "$where/$file"
                    val found = context.assets.open(path).use { card.check(file, it) }
                    models.add(StoredModel(found, card) { mapAsset(path) })
                }
            } catch (error: ModelException) {
                problems.add(error.message.orEmpty())
            } catch (error: IOException) {
                problems.add("$folder: a file of the bundled model cannot be read (${error.message}).")
            }
        }
        val files = listOf(added, pushed).flatMap { it?.listFiles().orEmpty().toList() }
        for (file in files.filter { it.name.endsWith(".tflite") }.sortedBy { it.name }) {
            val found = try {
                file.inputStream().use { ModelFiles.describe(file.name, it) }
            } catch (error: IOException) {
                problems.add("${file.name}: the file cannot be read (${error.message}).")
                continue
            }
            if (models.any { it.file.file == file.name }) {
                problems.add("${file.name}: another model has this name; rename the file.")
            } else models.add(StoredModel(found, null) { mapFile(file) })
        }
        return ModelList(models, problems)
    }

    /** Copy a file chosen by the user into the app, atomically. */
    @Throws(ModelException::class)
    fun add(uri: Uri) {
        val name = displayName(uri)
        val temporary = File(context.cacheDir, "added.tflite")
        try {
            val input = context.contentResolver.openInputStream(uri)
                ?: throw ModelException("$name: the file cannot be opened; choose another.")
            input.use { source -> temporary.outputStream().use { source.copyTo(it) } }
            val head = ByteArray(HEAD)
            val read = temporary.inputStream().use { it.read(head) }
            if (read < HEAD || !ModelFiles.isTFLite(head)) {
                throw ModelException("$name: this is not a TFLite file; choose a .tflite file written by iris-tf export.")
            }
            added.mkdirs()
            if (!temporary.renameTo(File(added, name))) throw IOException("it cannot be moved")
        } catch (error: IOException) {
            throw ModelException("$name: the file cannot be copied (${error.message}); free some space.")
        } catch (error: SecurityException) {
            throw ModelException("$name: the app is not allowed to read this file; choose it again.")
        } finally {
            temporary.delete()
        }
    }

    /** The agreement test of a model; null if none is bundled. */
    @Throws(ModelException::class)
    fun agreement(model: ModelFile): Agreement? {
        val name = "${model.file}.json"
        val test = test(name)?.let { Agreement.read(it, name) } ?: return null
        if (test.sha256 != model.sha256) throw outdated(name)
        return test
    }

    /** The test of segmentation and crops for a segmenter; null if none is bundled. */
    @Throws(ModelException::class)
    fun eyeAgreement(model: ModelFile): EyeAgreement? {
        val name = EyeAgreement.FILE
        val test = test(name)?.let { EyeAgreement.read(it, name) }
        if (test == null || test.file != model.file) return null
        if (test.sha256 != model.sha256) throw outdated(name)
        return test
    }

    private fun test(name: String): String? = try {
        if (name in context.assets.list(TESTS).orEmpty()) asset("$TESTS/$name") else null
    } catch (error: IOException) {
        throw ModelException("$name: the test cannot be read (${error.message}).")
    }

    private fun outdated(name: String) =
        ModelException("$name: the test was written for another version of the model; run write_agreement.py again.")

    private fun asset(path: String) = context.assets.open(path).use { String(it.readBytes(), Charsets.UTF_8) }

    private fun mapAsset(path: String): ByteBuffer = context.assets.openFd(path).use { asset ->
        FileInputStream(asset.fileDescriptor).channel.use {
            it.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength)
        }
    }

    private fun mapFile(file: File): ByteBuffer =
        FileInputStream(file).channel.use { it.map(FileChannel.MapMode.READ_ONLY, 0, it.size()) }

    private fun displayName(uri: Uri): String {
        val columns = arrayOf(OpenableColumns.DISPLAY_NAME)
        val name = context.contentResolver.query(uri, columns, null, null, null)
            ?.use { if (it.moveToFirst()) it.getString(0) else null }
        val safe = (name ?: uri.lastPathSegment ?: "model").replace('/', '_').replace('\\', '_')
        return if (safe.endsWith(".tflite")) safe else "$safe.tflite"
    }

    private companion object {
        const val FOLDER = "models"
        const val TESTS = "agreement"
        const val HEAD = 8
    }
}
