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
import org.iristf.core.SegmenterCard
import org.iristf.core.Signature
import org.iristf.core.StageTimes
import org.iristf.core.Statistics
import org.iristf.core.Surroundings
import org.iristf.core.Task
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.Locale
import kotlin.math.abs
import kotlin.system.exitProcess

private const val TOLERANCE = 1e-5f
private const val LEAST_COSINE = 0.999999

// Of embeddings of photographs: a pixel at the edge of a mask may fall on the other side.
private const val LEAST_COSINE_OF_PHOTOGRAPHS = 0.9999

// Both sides run the same model on the same processor.
private const val LEAST_OVERLAP = 0.999
private const val MOST_SHIFT = 1e-4
private const val MOST_DIFFERENCE = 0.05

private object Quiet : ProgressListener, Surroundings {
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
 * Run the measuring loop of :core on the released models with LiteRT's C library, and compare its
 * outputs with Python's and with the app's agreement tests. Arguments: the folder `models/`, the
 * folder that `reference.py` wrote, the folder of agreement tests, and where to write the result.
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
        println("${model.file}: ${found.size} outputs, at most $difference from Python's")
        val tested = File(tests, "${model.file}.json")
        if (!tested.isFile) {
            println("${model.file}: there is no agreement test; run write_agreement.py.")
            exitProcess(1)
        }
        val test = Agreement.read(tested.readText(), model.file)
        val agreement = engines.open(model, Backend.CPU, 1).use(test::run)
        println("${model.file}: least cosine ${agreement.minCosine} of ${agreement.cases} agreement cases")
        if (test.sha256 != model.sha256) println("${model.file}: the agreement test is old; run write_agreement.py.")
        good = good && found.size == expected.size && difference <= TOLERANCE &&
            test.sha256 == model.sha256 && agreement.minCosine >= LEAST_COSINE
    }
    for (folder in listOf(reference, tests)) good = eyesAgree(folders, engines, File(folder, EyeAgreement.FILE)) && good
    for (model in folders.keys) good = embeddingsAgree(model, folders, engines, reference) && good
    good = badModelsAreRows(library, File(reference, "bad")) && good
    val names = folders.keys.associateBy { it.file }
    val outcome = Benchmark(names, engines, Clock(System::nanoTime), Quiet, Quiet) { false }
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

/** Whether files that cannot be used become rows with a sentence, and do not stop the one after them. */
private fun badModelsAreRows(library: String, folder: File): Boolean {
    val files = folder.listFiles().orEmpty().sorted()
    val models = files.map { file -> file.inputStream().use { ModelFiles.describe(file.name, it) } }
    val benchmark = Benchmark(
        models.associateBy { it.file }, LiteRtEngines(library) { folder }, Clock(System::nanoTime), Quiet, Quiet,
    ) { false }
    val outcome = benchmark.run(Plan(models.map { it.file }, threads = listOf(1), runs = Plan.MIN_RUNS, initialisations = 1))
    outcome.failures.forEach { println("bad ${it.model}: ${it.reason}") }
    return outcome.rows.isEmpty() && outcome.failures.map { it.model } == files.map { it.name } &&
        outcome.failures.all { it.reason.endsWith(".") && '\n' !in it.reason } &&
        outcome.failures.filter { it.model != "other_signature.tflite" }.all { "cut off" in it.reason } &&
        outcome.failures.single { it.model == "other_signature.tflite" }.reason.startsWith("The model has no signature")
}

/** Whether photographs become the crops that Python makes of them. */
private fun eyesAgree(folders: Map<ModelFile, File>, engines: LiteRtEngines, tests: File): Boolean {
    val test = EyeAgreement.read(tests.readText(), tests.name)
    val model = folders.keys.firstOrNull { it.file == test.file && it.sha256 == test.sha256 }
    if (model == null) {
        println("${tests.name}: the test of photographs is old; run write_agreement.py.")
        return false
    }
    val card = card(folders.getValue(model)) as SegmenterCard
    val found = engines.open(model, Backend.CPU, 1, Signature.WHOLE).use { finder ->
        engines.open(model, Backend.CPU, 1).use { test.run(NetworkSegmenter(finder, it, card.channels)) }
    }
    println(
        "${found.eyes} photographs: ${found.crops} crops and ${found.contradictions} contradictions; visible iris overlaps by " +
            "at least ${found.leastOverlap}, outlines differ by at most ${found.greatestShift} iris radii, strips by " +
            "${found.greatestDifference} grey levels",
    )
    return found.contradictions == 0 && found.leastOverlap >= LEAST_OVERLAP && found.greatestShift <= MOST_SHIFT &&
        found.greatestDifference <= MOST_DIFFERENCE
}

/** Whether photographs get the embeddings that Python computes; true for what is no recognition model. */
private fun embeddingsAgree(
    model: ModelFile, folders: Map<ModelFile, File>, engines: LiteRtEngines, reference: File,
): Boolean {
    val card = card(folders.getValue(model)) as? RecognitionCard ?: return true
    val (segmenter, folder) = folders.entries.first { card(it.value) is SegmenterCard }
    val photographs = EyeAgreement.read(File(reference, EyeAgreement.FILE).readText(), model.file).cases
    val expected = floats(File(reference, "${model.file}.embeddings"))
    val opened = Recognizer.open(engines, segmenter to card(folder) as SegmenterCard, model to card, Clock(System::nanoTime))
    val found = opened.use { recognizer ->
        photographs.filter { it.refusal == null }.map { recognizer.enrol(it.image) }
    }
    if (found.isEmpty() || found.size * card.embeddingSize != expected.size) return false
    val cosines = found.mapIndexed { i, enrolled ->
        val start = i * card.embeddingSize
        Agreement.cosine(expected.copyOfRange(start, start + card.embeddingSize), enrolled.embedding!!)
    }
    fun median(time: (StageTimes) -> Double) = "%.1f ms".format(Locale.ROOT, Statistics(found.map { time(it.times) }).median)
    println(
        "${model.file}: least cosine ${cosines.minOrNull()} between embeddings of ${found.size} photographs; medians here: " +
            "segmentation ${median { it.segmentation }}, crop ${median { it.crop }}, embedding ${median { it.embedding!! }}",
    )
    return cosines.all { it >= LEAST_COSINE_OF_PHOTOGRAPHS }
}

private fun card(folder: File) = ModelCard.read(File(folder, ModelCard.FILE).readText(), folder.name)

private fun floats(file: File): FloatArray {
    val buffer = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.nativeOrder()).asFloatBuffer()
    return FloatArray(buffer.remaining()).also { buffer.get(it) }
}
