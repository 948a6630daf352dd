@file:OptIn(ExperimentalJsExport::class)

package org.iristf.core

import kotlin.math.abs

// What the page calls of `android_demo/core`, in types that JavaScript has.

/** The sentence of an error that the core raises on purpose; null for all others. */
@JsExport
fun sentence(error: Throwable): String? = when (error) {
    is JsonException, is ModelException, is EngineException, is ExtractionException, is PlanException -> error.message
    else -> null
}

/** Refuse a file that is not a TFLite model, or was truncated. */
@JsExport
fun checkModelFile(file: String, content: ByteArray) {
    if (!ModelFiles.isTFLite(content)) {
        throw ModelException("$file is not a .tflite file; choose one that iris-tf export wrote.")
    }
    ModelFiles.checkWhole(content.size) { content[it] }
}

/** Refuse a signature that is not one of this project's models. */
@JsExport
fun checkSignature(key: String, inputs: Array<String>, outputs: Array<String>, float32: Boolean, inputShape: IntArray) {
    Signature.checkNames(key, inputs.toList(), outputs.toList())
    Signature.checkTensors(float32, inputShape.toList())
}

/** Refuse numbers that make no plan of a benchmark. */
@JsExport
fun checkPlan(threads: IntArray, runs: Int, warmup: Int, initialisations: Int) {
    Plan(listOf("model"), threads = threads.toList(), runs = runs, warmup = warmup, initialisations = initialisations)
}

/** A model card. */
@JsExport
class Card internal constructor(internal val card: ModelCard) {
    val name: String get() = card.name
    val isSegmenter: Boolean get() = card is SegmenterCard
    val roiMode: String? get() = (card as? RecognitionCard)?.roiMode?.id
    val hasScore: Boolean get() = (card as? RecognitionCard)?.score != null

    /** Refuse a file that is not one of the card's. */
    fun check(file: String, sha256: String, bytes: Int) = card.check(ModelFile(file, sha256, bytes.toLong()))

    fun precision(file: String): String = card.entry(file).precision
}

/** Parse a model card; [where] is its place, for error messages. */
@JsExport
fun readCard(text: String, where: String) = Card(ModelCard.read(text, where))

/** Statistics of durations in milliseconds. */
@JsExport
class Durations(samples: DoubleArray) {
    private val statistics = Statistics(samples.toList())
    val count: Int get() = statistics.count
    val mean: Double get() = statistics.avg
    val min: Double get() = statistics.min
    val median: Double get() = statistics.median
    val p90: Double get() = statistics.p90
    val p95: Double get() = statistics.p95
    val p99: Double get() = statistics.p99
    val standardDeviation: Double get() = statistics.stddev
    val max: Double get() = statistics.max

    fun histogram(bins: Int): IntArray = statistics.histogram(bins)

    /** As an object of a latency result. */
    fun json(): String = Json.write(statistics.toJson())
}

/** A valid latency result. */
@JsExport
class Result(text: String) {
    private val result = LatencyResult.fromJson(text)

    fun csv(): String = result.toCsv()
}

/** One signature of a model that runs synchronously: on the CPU. */
@JsExport
class SynchronousModel(
    internal val inputShape: IntArray, internal val outputShape: IntArray, internal val infer: (FloatArray) -> FloatArray,
)

private class WebEngine(private val model: SynchronousModel) : Engine {
    private var input = FloatArray(0)
    private var output = FloatArray(0)
    override val backend get() = "wasm-xnnpack"
    override val fallback: String? get() = null
    override val inputShape get() = model.inputShape.toList()
    override val outputShape get() = model.outputShape.toList()

    override fun fill(input: FloatArray) {
        this.input = input
    }

    override fun invoke(): Long? {
        output = model.infer(input)
        return null
    }

    override fun output() = output

    override fun close() = Unit // the page frees all models at once, with the worker that runs them
}

/** An agreement test of one model. */
@JsExport
class AgreementTest(text: String, where: String) {
    private val test = Agreement.read(text, where)
    val sha256: String get() = test.sha256
    val cases: Int get() = test.cases.size

    fun checkInput(shape: IntArray) = test.checkInput(shape.toList())

    fun input(case: Int): FloatArray = test.cases[case].image.toFloats()

    fun cosine(case: Int, output: FloatArray): Double = test.cosine(test.cases[case], output)

    /** Greatest difference of a model's output for a case from the expected one; call `cosine` first. */
    fun difference(case: Int, output: FloatArray): Double {
        val expected = test.cases[case].expected
        return expected.indices.maxOf { abs(output[test.positions[it]].toDouble() - expected[it]) }
    }

    fun agrees(minCosine: Double): Boolean = AgreementResult(cases, minCosine).agrees
}

/** Agreement of segmentations and crops with Python's. */
@JsExport
class EyesAgreement internal constructor(private val result: EyeAgreementResult) {
    val eyes: Int get() = result.eyes
    val crops: Int get() = result.crops
    val minOverlap: Double get() = result.minOverlap
    val maxShift: Double get() = result.maxShift
    val maxStripDifference: Double get() = result.maxStripDifference
    val agrees: Boolean get() = result.agrees
}

/** Run the agreement test of segmentation and crops. */
@JsExport
fun eyesAgreement(text: String, where: String, finder: SynchronousModel, outliner: SynchronousModel, card: Card) =
    EyesAgreement(EyeAgreement.read(text, where).run(NetworkSegmenter(WebEngine(finder), WebEngine(outliner), segmenter(card).channels)))

/** An upright grey image. */
@JsExport
class Gray internal constructor(internal val image: GrayImage) {
    val height: Int get() = image.height
    val width: Int get() = image.width
    val pixels: ByteArray get() = image.pixels

    /** The pixels as 0xAARRGGBB. */
    fun colours(): IntArray = Overlay.colours(image)
}

/** The power of two by which the sides of an image are divided while it is decoded. */
@JsExport
fun sampleSize(height: Int, width: Int): Int = GrayConversion.sampleSize(height, width)

/** Convert an upright image of 0xAARRGGBB, row by row. */
@JsExport
fun toGray(height: Int, width: Int, colours: IntArray) = Gray(GrayConversion.toGray(height, width, colours))

/** A decision at one operating point. */
@JsExport
class PointDecision internal constructor(private val decision: Decision) {
    val operatingPoint: String get() = decision.operatingPoint
    val threshold: Double get() = decision.threshold
    val sameEye: Boolean get() = decision.sameEye
}

/** A comparison of two images. */
@JsExport
class Outcome internal constructor(private val comparison: Comparison) {
    val similarity: Double get() = comparison.similarity

    /** Null without a score, or if it is inconclusive. */
    val score: Double? get() = comparison.score?.takeIf { it.inconclusive == null }?.value
    val inconclusive: String? get() = comparison.score?.inconclusive
    val freedom: Double? get() = comparison.score?.freedom

    /** The decisive one first; none if the score is inconclusive. */
    val decisions: Array<PointDecision> get() =
        (listOfNotNull(comparison.decision) + comparison.others).map(::PointDecision).toTypedArray()
}

/** A processed image. */
@JsExport
class Eye internal constructor(internal val enrolled: Enrolled) {
    val crop: Gray get() = Gray(enrolled.crop)
    val embedding: FloatArray? get() = enrolled.embedding
    val confidence: Double get() = enrolled.eye.confidence
    val segmentationTime: Double get() = enrolled.times.segmentation
    val cropTime: Double get() = enrolled.times.crop
    val embeddingTime: Double? get() = enrolled.times.embedding

    /** x, y, a, b and angle. */
    val pupil: DoubleArray get() = numbers(enrolled.eye.pupil)
    val iris: DoubleArray get() = numbers(enrolled.eye.iris)

    /** Visible share of the ring between pupil and limbus, 0..1. */
    val visibleShare: Double get() = Plausibility.visibleShare(enrolled.eye.pupil, enrolled.eye.iris, enrolled.eye.visible)

    /** Degrees of freedom of the iris's texture; null without scores. */
    val freedom: Double? get() = enrolled.template?.code?.freedom

    /** The image with outlines and visible iris, as 0xAARRGGBB. */
    fun overlay(): IntArray = Overlay.colours(enrolled.image, enrolled.eye)

    private fun numbers(outline: Ellipse) = doubleArrayOf(outline.x, outline.y, outline.a, outline.b, outline.angle)
}

/**
 * Segments, crops, embeds and compares eye images.
 *
 * @param finder the segmenter's signature `whole`
 * @param outliner its signature `serving_default`
 * @param now milliseconds of a monotonic clock
 */
@JsExport
class EyeComparer(
    finder: SynchronousModel, outliner: SynchronousModel, segmenter: Card, embedder: SynchronousModel?, recognition: Card?,
    now: () -> Double,
) {
    private val recognizer: Recognizer

    init {
        val unnamed = ModelFile("", "", 0) // the page has read and checked the files
        val recognitionFile = ModelFile("recognition", "", 0)
        val factory = object : EngineFactory {
            override fun open(model: ModelFile, backend: Backend, threads: Int, signature: String): Engine = WebEngine(
                if (model === recognitionFile) checkNotNull(embedder) else if (signature == Signature.WHOLE) finder else outliner,
            )
        }
        recognizer = Recognizer.open(
            factory, unnamed to segmenter(segmenter),
            recognition?.let { recognitionFile to (it.card as? RecognitionCard ?: throw wrongCard(it, "a recognition model")) },
            Clock { (now() * NANOSECONDS).toLong() },
        )
    }

    val note: String? get() = recognizer.note

    fun enrol(image: Gray) = Eye(recognizer.enrol(image.image))

    fun compare(first: Eye, second: Eye): Outcome? = recognizer.compare(first.enrolled, second.enrolled)?.let(::Outcome)

    private companion object {
        const val NANOSECONDS = 1e6
    }
}

private fun segmenter(card: Card) = card.card as? SegmenterCard ?: throw wrongCard(card, "a segmenter")

private fun wrongCard(card: Card, wanted: String) = ModelException("${card.name} is not $wanted; choose another card.")
