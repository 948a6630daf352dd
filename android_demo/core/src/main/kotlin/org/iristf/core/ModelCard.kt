package org.iristf.core

import kotlin.math.abs

/** A model or model card that cannot be used; the message is one sentence. */
class ModelException(message: String) : Exception(message)

/** A model file listed in a card: precision, SHA-256 and size in bytes. */
data class CardFile(val precision: String, val sha256: String, val bytes: Long)

/** The `model_card.json` that accompanies the model files. */
sealed class ModelCard {
    abstract val name: String

    /** Model files by name. */
    abstract val files: Map<String, CardFile>

    /** Name of the signature's input: `roi` or `image`. */
    abstract val input: String

    /** Name of the signature's output: `embedding` or `masks`. */
    abstract val output: String

    /** Height and width of the input in pixels. */
    abstract val inputSize: Pair<Int, Int>

    /** The card's entry for a file. */
    @Throws(ModelException::class)
    fun entry(file: String): CardFile = files[file] ?: throw ModelException(
        "The card of $name lists ${files.keys.sorted().joinToString().ifEmpty { "no file" }}, not " +
            "$file; do not rename model files, and keep them in the folder of their card.",
    )

    /** Verify that a file is one of the card's, with the SHA-256 that the card gives. */
    @Throws(ModelException::class)
    fun check(found: ModelFile) {
        if (found.sha256 != entry(found.file).sha256) {
            throw ModelException(
                "${found.file}: its SHA-256 differs from the one in the model card, so the file was modified or " +
                    "belongs to another card; copy both again from the same source.",
            )
        }
    }

    companion object {
        const val FILE = "model_card.json"

        /**
         * Parse the card of a recognition model or of the segmenter.
         *
         * @param where name of the model's folder, for error messages
         */
        @Throws(ModelException::class)
        fun read(text: String, where: String): ModelCard = try {
            val json = JsonObject.parse(text)
            // Only the segmenter's card describes its output; recognition models all have the same.
            if (json.has("output")) SegmenterCard.read(json) else RecognitionCard.read(json)
        } catch (error: JsonException) {
            throw ModelException("$where/$FILE: ${error.message}")
        }
    }
}

/**
 * The card of a recognition model: how to crop for it, compare its embeddings and decide. Read as strictly
 * as by `iris_tf/tflite/model_card.py`; cards of models for other images than grey ones of one iris, which
 * Python reads, are refused.
 */
data class RecognitionCard(
    override val name: String,
    override val files: Map<String, CardFile>,
    override val inputSize: Pair<Int, Int>,
    val roiMode: RoiMode,
    val segmenter: String,
    val embeddingSize: Int,
    val thresholds: Map<String, Double>,
    val phase: PhaseCodeLayout? = null,
    val score: ScoreModel? = null,
) : ModelCard() {
    override val input get() = "roi"
    override val output get() = "embedding"

    companion object {
        /** They differ in what `int8` means as the name of a precision, which the app only shows. */
        private val SCHEMA_VERSIONS = 1L..2L
        private val OPERATING_POINTS = listOf("eer", "far_1e-2", "far_1e-3")
        private const val COSINE_TOLERANCE = 1e-3 // how far rounding may carry a cosine beyond 1
        private const val NO_SEGMENTER = "none"

        private val REQUIRED = setOf(
            "schema_version", "name", "network", "roi_mode", "segmenter", "input_size", "embedding_size", "thresholds",
            "thresholds_from", "files", "training_data", "parity", "metrics", "created_by",
        )
        // Absent from early cards.
        private val LATER = setOf("channels", "phase", "score", "segmenter_version", "weights_sha256")
        private const val CODE_ENTRIES = 4 // per place of a code that can be scored: two complex filters

        @Throws(JsonException::class)
        fun read(json: JsonObject): RecognitionCard {
            if (json.integer("schema_version", 1) !in SCHEMA_VERSIONS) {
                throw json.wrong("schema_version", "1 or 2, the versions that this program reads")
            }
            checkFields(json)
            val mode = RoiMode.byId(json.text("roi_mode"))
                ?: throw json.wrong("roi_mode", "one of ${RoiMode.values().joinToString { it.id }}")
            if (json.text("segmenter") == NO_SEGMENTER) throw json.wrong("segmenter", "one that outlines the iris")
            if (json.has("channels") && json.integer("channels", 1) != 1L) {
                throw json.wrong("channels", "1, because this app crops grey images")
            }
            val embeddingSize = json.size("embedding_size")
            val phase = readPhase(json, embeddingSize)
            return RecognitionCard(
                json.text("name"), readFiles(json), readSize(json, "input_size"), mode, json.text("segmenter"),
                embeddingSize, readThresholds(json.child("thresholds")), phase, readScore(json, phase),
            )
        }

        private fun checkFields(json: JsonObject) {
            json.refuseOthers(REQUIRED + LATER)
            (REQUIRED - json.names).firstOrNull()?.let { throw JsonException("$it is missing.") }
        }

        private fun readThresholds(json: JsonObject): Map<String, Double> {
            for (point in OPERATING_POINTS + json.names) {
                if (abs(json.number(point)) > 1 + COSINE_TOLERANCE) throw json.wrong(point, "a cosine similarity")
            }
            val thresholds = OPERATING_POINTS.associateWith(json::number)
            if (thresholds.getValue("far_1e-3") < thresholds.getValue("far_1e-2")) {
                throw json.wrong("far_1e-3", "at least as strict as far_1e-2, a more lenient point")
            }
            return thresholds
        }

        private fun readPhase(json: JsonObject, embeddingSize: Int): PhaseCodeLayout? {
            if (!json.has("phase") || json.isNull("phase")) return null
            val phase = json.child("phase")
            val (size, columns, maxShift) = listOf("size", "columns", "turns").map { phase.integer(it, 0) }
            // At least one learned number precedes the code.
            if (size >= embeddingSize || columns > size || maxShift > columns) throw inconsistent(json)
            return try {
                PhaseCodeLayout(size.toInt(), columns.toInt(), maxShift.toInt())
            } catch (error: IllegalArgumentException) {
                throw inconsistent(json)
            }
        }

        private fun readScore(json: JsonObject, phase: PhaseCodeLayout?): ScoreModel? {
            if (!json.has("score") || json.isNull("score")) return null
            if (phase == null || phase.size % (CODE_ENTRIES * phase.columns) != 0) {
                throw JsonException("score needs a phase code of two complex filters.")
            }
            val score = json.child("score")
            val model = ScoreModel.read(score)
            val frequencies = phase.columns / 2 + 1
            if (model.levelling != null && model.levelling.spectrum.size != frequencies) {
                throw score.wrong("levelling", "a spectrum of $frequencies frequencies")
            }
            return model
        }

        private fun inconsistent(json: JsonObject) =
            json.wrong("phase", "a size within the embedding's with consistent columns and turns")
    }
}

/** The card of the segmenter, which maps an eye image to masks. */
data class SegmenterCard(
    override val name: String,
    override val files: Map<String, CardFile>,
    override val inputSize: Pair<Int, Int>,
    override val input: String,
    override val output: String,
    val channels: List<String>,
) : ModelCard() {
    companion object {
        @Throws(JsonException::class)
        fun read(json: JsonObject): SegmenterCard {
            val input = json.child("input")
            val output = json.child("output")
            return SegmenterCard(
                json.text("name"), readFiles(json), readSize(input, "size"), input.text("name"),
                output.text("name"), output.texts("channels"),
            )
        }
    }
}

private fun readFiles(json: JsonObject): Map<String, CardFile> {
    val files = json.child("files")
    return files.names.associateWith { name ->
        if ('/' in name || '\\' in name || name == "..") {
            throw JsonException("files has the name \"$name\"; give names without folders, of files beside the card.")
        }
        val entry = files.child(name)
        CardFile(entry.text("precision"), entry.text("sha256"), entry.integer("bytes", 1))
    }
}

private fun readSize(json: JsonObject, name: String): Pair<Int, Int> {
    val size = json.integers(name, 1)
    if (size.size != 2 || size.any { it > JsonObject.MOST }) {
        throw json.wrong(name, "[height, width] in pixels, of at most ${JsonObject.MOST}")
    }
    return Pair(size[0].toInt(), size[1].toInt())
}
