package org.iristf.host

import org.iristf.core.Agreement
import org.iristf.core.Backend
import org.iristf.core.Benchmark
import org.iristf.core.Clock
import org.iristf.core.Conditions
import org.iristf.core.EyeAgreement
import org.iristf.core.Failure
import org.iristf.core.Json
import org.iristf.core.LatencyResult
import org.iristf.core.LatencyRow
import org.iristf.core.Machine
import org.iristf.core.ModelCard
import org.iristf.core.ModelFile
import org.iristf.core.ModelFiles
import org.iristf.core.NetworkSegmenter
import org.iristf.core.Plan
import org.iristf.core.ProgressListener
import org.iristf.core.RecognitionCard
import org.iristf.core.Recognizer
import org.iristf.core.Scorer
import org.iristf.core.SegmenterCard
import org.iristf.core.Signature
import org.iristf.core.StageTimes
import org.iristf.core.Statistics
import org.iristf.core.DeviceMonitor
import org.iristf.core.Task
import org.iristf.core.check
import org.iristf.core.describe
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.Locale
import kotlin.math.abs
import kotlin.system.exitProcess

private const val TOLERANCE = 1e-5f
private const val MIN_COSINE = 0.999999

// For whole images: a pixel at the edge of a mask may fall on either side.
private const val MIN_COSINE_OF_IMAGES = 0.9999

// Stricter than in the app, because both sides run the same model on the same CPU.
private const val MIN_OVERLAP = 0.999
private const val MAX_SHIFT = 1e-4
private const val MAX_DIFFERENCE = 0.05
private const val MAX_SCORE_DIFFERENCE = 0.01f // Python computes in float32

private object Silent : ProgressListener, DeviceMonitor {
    override fun started(task: Task, index: Int, total: Int) = Unit
    override fun progressed(done: Int, total: Int) = Unit
    override fun measured(row: LatencyRow) = Unit
    override fun failed(failure: Failure) = Unit
    override fun conditions(): Conditions? = null
    override fun memoryBytes(): Long? = null
    override fun invalid(): String? = null
    override fun reset() = Unit
}

/**
 * Runs the measuring loop of :core on the released models with LiteRT's C library, and compares its
 * outputs with Python's and with the app's agreement tests. Arguments: the folder `models/`, the
 * folder written by `reference.py`, the folder of the agreement tests, and the file to write the
 * result to.
 */
fun main(arguments: Array<String>) {
    val (models, reference, tests, out) = arguments.map(::File)
    val folders = LinkedHashMap<ModelFile, File>()
    for (card in models.walk().filter { it.name == ModelCard.FILE }.sorted()) {
        val read = card(card.parentFile)
        for (file in read.files.keys) {
            folders[File(card.parentFile, file).inputStream().use { read.check(file, it) }] = card.parentFile
        }
    }
    val library = File(reference, "library").readText().trim()
    val engines = LiteRtEngines(library, folders::getValue)
    var good = folders.isNotEmpty()
    for (model in folders.keys) {
        val expected = floats(File(reference, "${model.file}.output"))
        val found = engines.open(model, Backend.CPU, 1).use {
            it.fill(floats(File(reference, "${model.file}.input")))
            it.invoke()
            it.output()
        }
        val difference = expected.indices.maxOf { abs(expected[it] - found[it]) }
        println("${model.file}: ${found.size} outputs, which differ from Python's by at most $difference")
        val tested = File(tests, "${model.file}.json")
        if (!tested.isFile) {
            println("${model.file}: the agreement test is missing; run write_agreement.py.")
            exitProcess(1)
        }
        val test = Agreement.read(tested.readText(), model.file)
        val agreement = engines.open(model, Backend.CPU, 1).use(test::run)
        println("${model.file}: minimum cosine ${agreement.minCosine} over ${agreement.cases} agreement cases")
        if (test.sha256 != model.sha256) println("${model.file}: the agreement test is outdated; run write_agreement.py.")
        good = good && found.size == expected.size && difference <= TOLERANCE &&
            test.sha256 == model.sha256 && agreement.minCosine >= MIN_COSINE
    }
    for (folder in listOf(reference, tests)) good = eyesAgree(folders, engines, File(folder, EyeAgreement.FILE)) && good
    for (model in folders.keys) good = embeddingsAgree(model, folders, engines, reference) && good
    for (model in folders.keys) good = scoresAgree(model, card(folders.getValue(model)), reference) && good
    good = badModelsAreRows(library, File(reference, "bad")) && good
    val names = folders.keys.associateBy { it.file }
    val outcome = Benchmark(names, engines, Clock(System::nanoTime), Silent, Silent) { false }
        .run(Plan(names.keys.toList(), threads = listOf(1), runs = Plan.MIN_RUNS, warmup = 3, initialisations = 2))
    outcome.failures.forEach { println("${it.model}: ${it.reason}") }
    good = good && outcome.failures.isEmpty() && outcome.rows.size == names.size
    if (good) {
        val result = LatencyResult(
            Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(), "android_demo host check", "LiteRT C library",
            Machine(System.getProperty("os.arch"), Runtime.getRuntime().availableProcessors(),
                "${System.getProperty("os.name")} ${System.getProperty("os.version")}"),
            outcome.rows,
        )
        out.writeText(Json.write(result.toJson()))
    }
    exitProcess(if (good) 0 else 1)
}

/** Whether unusable files become failed rows with a message, and the next file is still tried. */
private fun badModelsAreRows(library: String, folder: File): Boolean {
    val files = folder.listFiles().orEmpty().sorted()
    val models = files.map { file -> file.inputStream().use { ModelFiles.describe(file.name, it) } }
    val benchmark = Benchmark(
        models.associateBy { it.file }, LiteRtEngines(library) { folder }, Clock(System::nanoTime), Silent, Silent,
    ) { false }
    val outcome = benchmark.run(Plan(models.map { it.file }, threads = listOf(1), runs = Plan.MIN_RUNS, initialisations = 1))
    outcome.failures.forEach { println("bad ${it.model}: ${it.reason}") }
    return outcome.rows.isEmpty() && outcome.failures.map { it.model } == files.map { it.name } &&
        outcome.failures.all { it.reason.endsWith(".") && '\n' !in it.reason } &&
        outcome.failures.filter { it.model != "other_signature.tflite" }.all { "truncated" in it.reason } &&
        outcome.failures.single { it.model == "other_signature.tflite" }.reason.startsWith("The model has no signature")
}

/** Whether segmentations and crops of images equal Python's. */
private fun eyesAgree(folders: Map<ModelFile, File>, engines: LiteRtEngines, tests: File): Boolean {
    val test = EyeAgreement.read(tests.readText(), tests.name)
    val model = folders.keys.firstOrNull { it.file == test.file && it.sha256 == test.sha256 }
    if (model == null) {
        println("${tests.name}: the test is outdated; run write_agreement.py.")
        return false
    }
    val card = card(folders.getValue(model)) as SegmenterCard
    val found = engines.open(model, Backend.CPU, 1, Signature.WHOLE).use { finder ->
        engines.open(model, Backend.CPU, 1).use { test.run(NetworkSegmenter(finder, it, card.channels)) }
    }
    println(
        "${found.eyes} images: ${found.crops} crops and ${found.disagreements} disagreements; visible iris IoU at least " +
            "${found.minOverlap}, outlines differ by at most ${found.maxShift} iris radii, strips by at most " +
            "${found.maxStripDifference} grey levels",
    )
    return found.disagreements == 0 && found.minOverlap >= MIN_OVERLAP && found.maxShift <= MAX_SHIFT &&
        found.maxStripDifference <= MAX_DIFFERENCE
}

/** Whether embeddings of images equal Python's; true for models that are not for recognition. */
private fun embeddingsAgree(
    model: ModelFile, folders: Map<ModelFile, File>, engines: LiteRtEngines, reference: File,
): Boolean {
    val card = card(folders.getValue(model)) as? RecognitionCard ?: return true
    // The one that Python takes.
    val (segmenter, folder) = folders.entries.first { (file, folder) ->
        card(folder).let { it is SegmenterCard && it.files[file.file]?.precision == "int8" }
    }
    val images = EyeAgreement.read(File(reference, EyeAgreement.FILE).readText(), model.file).cases
    val expected = floats(File(reference, "${model.file}.embeddings"))
    val opened = Recognizer.open(engines, segmenter to card(folder) as SegmenterCard, model to card, Clock(System::nanoTime))
    val found = opened.use { recognizer ->
        images.filter { it.refusal == null }.map { recognizer.enrol(it.image) }
    }
    if (found.isEmpty() || found.size * card.embeddingSize != expected.size) return false
    val cosines = found.mapIndexed { i, enrolled ->
        val start = i * card.embeddingSize
        Agreement.cosine(expected.copyOfRange(start, start + card.embeddingSize), enrolled.embedding!!)
    }
    fun median(time: (StageTimes) -> Double) = "%.1f ms".format(Locale.ROOT, Statistics(found.map { time(it.times) }).median)
    println(
        "${model.file}: minimum cosine ${cosines.minOrNull()} between embeddings of ${found.size} images; medians here: " +
            "segmentation ${median { it.segmentation }}, crop ${median { it.crop }}, embedding ${median { it.embedding!! }}",
    )
    return cosines.all { it >= MIN_COSINE_OF_IMAGES }
}

/** Whether scores of Python's embeddings equal Python's; true for models without scores. */
private fun scoresAgree(model: ModelFile, card: ModelCard, reference: File): Boolean {
    if (card !is RecognitionCard) return true
    val scorer = Scorer(card.phase ?: return true, card.score ?: return true)
    val expected = floats(File(reference, "${model.file}.scores"))
    val templates = floats(File(reference, "${model.file}.embeddings")).asIterable().chunked(card.embeddingSize)
        .map { scorer.describe(it.toFloatArray()) }
    val found = templates.flatMap { first -> templates.map { second -> scorer.score(first, second) } }
    if (found.isEmpty() || found.size != expected.size) return false
    val (inconclusive, conclusive) = found.indices.partition { found[it].inconclusive != null }
    val difference = conclusive.maxOf { abs(found[it].value.toFloat() - expected[it]) }
    println("${model.file}: ${found.size} scores, which differ from Python's by at most $difference; ${inconclusive.size} inconclusive")
    return difference <= MAX_SCORE_DIFFERENCE && inconclusive.all { expected[it] == Float.NEGATIVE_INFINITY }
}

private fun card(folder: File) = ModelCard.read(File(folder, ModelCard.FILE).readText(), folder.name)

private fun floats(file: File): FloatArray {
    val buffer = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.nativeOrder()).asFloatBuffer()
    return FloatArray(buffer.remaining()).also { buffer.get(it) }
}
