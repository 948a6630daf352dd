package org.iristf.core

import kotlin.math.abs
import kotlin.math.sqrt

/** Durations of the stages from image to embedding, in milliseconds; no embedding without a model. */
data class StageTimes(val segmentation: Double, val crop: Double, val embedding: Double?) {
    val total: Double get() = segmentation + crop + (embedding ?: 0.0)
}

/**
 * The result of processing one eye image.
 *
 * @property crop at the model's input size, or without a model at its original resolution
 * @property embedding null without a recognition model
 * @property model the recognition model that gave the embedding
 */
class Enrolled(
    val image: GrayImage, val eye: SegmentedEye, val crop: GrayImage, val embedding: FloatArray?, val times: StageTimes,
    internal val model: Recognition?,
) {
    /** What scores need to know of the embedding; null where there are none. */
    internal val template by lazy { embedding?.let { model?.scorer?.describe(it) } }
}

/** The decision about a comparison at one operating point of the model card. */
data class Decision(val operatingPoint: String, val threshold: Double, val sameEye: Boolean)

/**
 * A comparison of two images.
 *
 * @property similarity cosine similarity of the embeddings
 * @property score null if the model card has no scores
 * @property decision by score, or by similarity if there are no scores, at the operating point that `iris-tf verify`
 *   uses; null if the score is inconclusive
 * @property others decisions at the card's other operating points; none if the score is inconclusive
 */
data class Comparison(val similarity: Double, val score: Score?, val decision: Decision?, val others: List<Decision>)

/** A loaded recognition model with its card. */
class Recognition(val card: RecognitionCard, val engine: Engine) {
    internal val scorer = if (card.phase == null || card.score == null) null else Scorer(card.phase, card.score)
}

/**
 * Segments, crops, embeds and compares eye images as the model card specifies; the counterpart of
 * `IrisRecognizer` of `iris_tf/recognition`. Without a recognition model, images are segmented and cropped
 * but not compared.
 */
class Recognizer private constructor(
    private val engines: List<Engine>, private val segmenter: NetworkSegmenter, private val recognition: Recognition?,
    private val clock: Clock,
) : AutoCloseable {
    /** A caveat about these models for the user, in one sentence; null if there is none. */
    val note: String? get() {
        val card = recognition?.card ?: return "There is no recognition model, so crops are shown but not compared."
        if (card.segmenter == SEGMENTER) return null
        return "${card.name} was trained on crops of the segmenter ${card.segmenter}; with this app's segmenter it may be " +
            "less accurate."
    }

    /** Segment, crop and embed an eye image. */
    @Throws(ExtractionException::class, EngineException::class)
    fun enrol(image: GrayImage): Enrolled {
        CropChecks.checkShape(image.height, image.width)
        val start = clock.nanoseconds()
        val eye = segmenter.segment(image)
        val segmented = clock.nanoseconds()
        val mode = recognition?.card?.roiMode ?: RoiMode.UNROLLED
        val whole = mode.crop(image, eye)
        val crop = recognition?.card?.inputSize?.let { (height, width) -> Resize.roi(whole, height, width) } ?: whole
        CropChecks.checkTexture(whole)
        if (mode == RoiMode.UNROLLED) MotionBlur.check(whole)
        val cropped = clock.nanoseconds()
        val embedding = recognition?.let { embed(it, crop) }
        val embedded = clock.nanoseconds()
        val times = StageTimes(
            milliseconds(start, segmented), milliseconds(segmented, cropped),
            if (embedding == null) null else milliseconds(cropped, embedded),
        )
        return Enrolled(image, eye, crop, embedding, times, recognition).also { enrolled ->
            enrolled.template?.let { recognition?.scorer?.check(it) }
        }
    }

    /**
     * Compare two processed images; null without a recognition model.
     *
     * @throws ModelException if another model processed one of them
     */
    @Throws(ModelException::class)
    fun compare(first: Enrolled, second: Enrolled): Comparison? {
        if (first.model !== recognition || second.model !== recognition) {
            throw ModelException("The two images were not both processed with the chosen model; choose them again.")
        }
        val model = recognition ?: return null
        val (one, other) = listOf(first.embedding ?: return null, second.embedding ?: return null)
        val similarity = Similarity.of(one, other, model.card.phase).coerceIn(-1.0, 1.0)
        val score = model.scorer?.score(first.template ?: return null, second.template ?: return null)
        return decide(model.card, similarity, score)
    }

    private fun decide(card: RecognitionCard, similarity: Double, score: Score?): Comparison {
        if (score?.inconclusive != null) return Comparison(similarity, score, null, emptyList())
        val thresholds = if (score == null) card.thresholds else card.score?.thresholds.orEmpty()
        val point = if (score == null) SIMILARITY_POINT else ScoreModel.DEFAULT_POINT
        val decisive = score?.value ?: similarity
        val decisions = thresholds.map { (name, threshold) -> Decision(name, threshold, decisive >= threshold) }
        val (chosen, others) = decisions.partition { it.operatingPoint == point }
        return Comparison(similarity, score, chosen.single(), others)
    }

    private fun embed(recognition: Recognition, crop: GrayImage): FloatArray {
        val embedding = run(recognition.engine, crop.toFloats())
        val norm = sqrt(embedding.sumOf { it.toDouble() * it })
        // Negated, so that NaN is rejected, too.
        if (!(abs(norm - 1.0) <= NORM_TOLERANCE)) {
            throw EngineException("The embedding has norm $norm instead of 1; the model is broken, export it again.")
        }
        return embedding
    }

    override fun close() = engines.forEach { it.close() }

    companion object {
        private const val SEGMENTER = "network" // the name of the released segmenter in model cards
        private const val SIMILARITY_POINT = "far_1e-2" // of `iris-tf verify` without scores
        private const val NORM_TOLERANCE = 0.01
        private const val NANOSECONDS = 1e6

        private fun milliseconds(start: Long, end: Long) = (end - start) / NANOSECONDS

        private fun run(engine: Engine, input: FloatArray): FloatArray {
            engine.fill(input)
            engine.invoke()
            return engine.output()
        }

        /**
         * Load the models and run each once, because the first inference takes longer. They run on
         * the CPU with one thread, like the first row of a benchmark.
         *
         * @param segmenter file and card of the segmenter
         * @param recognition file and card of the recognition model; null if there is none
         */
        @Throws(EngineException::class, ModelException::class)
        fun open(
            engines: EngineFactory, segmenter: Pair<ModelFile, SegmenterCard>,
            recognition: Pair<ModelFile, RecognitionCard>?, clock: Clock,
        ): Recognizer {
            val opened = ArrayList<Engine>()
            try {
                fun open(model: ModelFile, signature: String = Signature.KEY) =
                    engines.open(model, Backend.CPU, 1, signature).also {
                        opened.add(it)
                        run(it, FloatArray(it.inputShape.fold(1, Int::times)))
                    }
                val (file, card) = segmenter
                val network = NetworkSegmenter(open(file, Signature.WHOLE), open(file), card.channels)
                val second = recognition?.let { (model, card) -> Recognition(card, open(model).also { check(card, it) }) }
                return Recognizer(opened, network, second, clock)
            } catch (error: Throwable) {
                opened.forEach { it.close() }
                throw error
            }
        }

        private fun check(card: RecognitionCard, engine: Engine) {
            val (height, width) = card.inputSize
            if (engine.inputShape != listOf(1, height, width, 1) || engine.outputShape != listOf(1, card.embeddingSize)) {
                throw ModelException(
                    "${card.name}: the file maps ${engine.inputShape} to ${engine.outputShape}, which does not match its " +
                        "card; export both again.",
                )
            }
        }
    }
}
