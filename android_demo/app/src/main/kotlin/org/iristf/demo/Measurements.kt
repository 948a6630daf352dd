package org.iristf.demo

import org.iristf.core.AgreementResult
import org.iristf.core.Backend
import org.iristf.core.Benchmark
import org.iristf.core.BenchmarkOutcome
import org.iristf.core.Clock
import org.iristf.core.EyeAgreementResult
import org.iristf.core.NetworkSegmenter
import org.iristf.core.Plan
import org.iristf.core.ProgressListener
import org.iristf.core.SegmenterCard
import org.iristf.core.Signature
import java.util.concurrent.atomic.AtomicBoolean

/**
 * One agreement row: the result of a model on a backend, or why there is none; for the segmenter also
 * the agreement of segmentation and crops.
 */
class AgreementRow(
    val model: String, val requested: Backend, val backend: String?, val result: AgreementResult?, val problem: String?,
    val eyes: EyeAgreementResult? = null,
)

/** Benchmarks and agreement tests, run on the measuring thread. */
class Measurements(private val store: ModelStore, private val phone: Phone) {
    private val stop = AtomicBoolean()

    fun cancel() = stop.set(true)

    fun benchmark(plan: Plan, models: List<StoredModel>, listener: ProgressListener): BenchmarkOutcome {
        stop.set(false)
        val stored = models.associateBy { it.file }
        val files = models.associate { it.file.file to it.file }
        val engines = LiteRtEngines(stored::getValue)
        return Benchmark(files, engines, Clock(System::nanoTime), phone, listener, stop::get).run(plan)
    }

    fun agreement(models: List<StoredModel>, backends: List<Backend>, untested: (String) -> String, show: (AgreementRow) -> Unit) {
        stop.set(false)
        val engines = LiteRtEngines(models.associateBy { it.file }::getValue)
        for (model in models) for (backend in backends) {
            if (stop.get()) return
            show(agreement(engines, model, backend, untested))
        }
    }

    private fun agreement(
        engines: LiteRtEngines, model: StoredModel, backend: Backend, untested: (String) -> String,
    ): AgreementRow {
        val name = model.file.file
        fun problem(message: String) = AgreementRow(name, backend, null, null, message)
        return try {
            val test = store.agreement(model.file) ?: return problem(untested(name))
            val eyes = store.eyeAgreement(model.file)
            engines.open(model.file, backend, 1).use {
                val card = model.card
                val crops = if (card !is SegmenterCard || eyes == null) null
                else engines.open(model.file, backend, 1, Signature.WHOLE).use { finder ->
                    eyes.run(NetworkSegmenter(finder, it, card.channels))
                }
                AgreementRow(name, backend, it.backend, test.run(it), it.fallback, crops)
            }
        } catch (error: Throwable) {
            problem(userMessage(error))
        }
    }
}
