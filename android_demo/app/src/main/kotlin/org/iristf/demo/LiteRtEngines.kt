package org.iristf.demo

import android.os.Build
import org.iristf.core.Backend
import org.iristf.core.Engine
import org.iristf.core.EngineException
import org.iristf.core.EngineFactory
import org.iristf.core.ModelFile
import org.iristf.core.ModelFiles
import org.iristf.core.Signature
import org.iristf.core.checkWhole
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.nnapi.NnApiDelegate
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Engines on LiteRT's `Interpreter`. If a delegate cannot be created or does not accept the model, the
 * engine falls back to the CPU and records the reason. The GPU delegate requires an engine to be used
 * on the thread that created it.
 */
class LiteRtEngines(private val models: (ModelFile) -> StoredModel) : EngineFactory {
    override fun open(model: ModelFile, backend: Backend, threads: Int, signature: String): Engine {
        val content = models(model).map()
        ModelFiles.checkWhole(content)
        if (backend == Backend.CPU) return onCpu(content, signature, threads, null)
        return try {
            when (backend) {
                Backend.GPU -> LiteRtEngine(content, signature, 1, backend, GpuDelegate(), null)
                else -> LiteRtEngine(content, signature, 1, backend, nnapi(), null)
            }
        } catch (error: RuntimeException) {
            onCpu(content, signature, threads, fallback(backend, error))
        } catch (error: LinkageError) {
            onCpu(content, signature, threads, fallback(backend, error))
        }
    }

    private fun onCpu(content: ByteBuffer, signature: String, threads: Int, fallback: String?): Engine = try {
        LiteRtEngine(content, signature, threads, Backend.CPU, null, fallback)
    } catch (error: RuntimeException) {
        throw EngineException(
            "LiteRT cannot load this file (${firstLine(error)}); it is damaged or uses operators that are not built in.",
            error,
        )
    } catch (error: LinkageError) {
        throw EngineException("The app contains no LiteRT library for this phone's processor.", error)
    }

    private fun nnapi(): Delegate {
        if (Build.VERSION.SDK_INT < NNAPI_FROM) throw UnsupportedOperationException("it requires Android 8.1")
        return NnApiDelegate(NnApiDelegate.Options().setUseNnapiCpu(false))
    }

    private fun fallback(backend: Backend, error: Throwable) =
        "Ran on the CPU, because ${backend.id} is not available for this model (${firstLine(error)})."

    companion object {
        private const val NNAPI_FROM = 27

        /** Backends that this version of Android supports; whether the phone does shows only in a run. */
        fun offered(): List<Backend> =
            Backend.values().filter { it != Backend.NNAPI || Build.VERSION.SDK_INT >= NNAPI_FROM }
    }
}

private class LiteRtEngine(
    content: ByteBuffer, private val signature: String, threads: Int, on: Backend, private val delegate: Delegate?,
    override val fallback: String?,
) : Engine {
    private val interpreter: Interpreter
    private val inputName: String
    private val outputName: String
    private val input: ByteBuffer
    private val output: ByteBuffer
    override val backend = on.id
    override val inputShape: List<Int>
    override val outputShape: List<Int>

    init {
        var created: Interpreter? = null
        try {
            val options = Interpreter.Options().setNumThreads(threads)
            if (delegate != null) options.addDelegate(delegate)
            val interpreter = Interpreter(content, options)
            created = interpreter
            val names = names(interpreter)
            inputName = names.first
            outputName = names.second
            interpreter.allocateTensors()
            val from = interpreter.getInputTensorFromSignature(inputName, signature)
            val to = interpreter.getOutputTensorFromSignature(outputName, signature)
            inputShape = from.shape().toList()
            outputShape = to.shape().toList()
            Signature.checkTensors(from.dataType() == DataType.FLOAT32 && to.dataType() == DataType.FLOAT32, inputShape)
            input = buffer(inputShape)
            output = buffer(outputShape)
            this.interpreter = interpreter
        } catch (error: Throwable) {
            created?.close()
            delegate?.close()
            throw error
        }
    }

    /** Names of the signature's input and output, checked. */
    private fun names(interpreter: Interpreter): Pair<String, String> {
        val known = signature in interpreter.signatureKeys
        val inputs = if (known) interpreter.getSignatureInputs(signature).toList() else emptyList()
        val outputs = if (known) interpreter.getSignatureOutputs(signature).toList() else emptyList()
        Signature.checkNames(signature, inputs, outputs)
        return inputs.single() to outputs.single()
    }

    private fun buffer(shape: List<Int>) =
        ByteBuffer.allocateDirect(Float.SIZE_BYTES * shape.fold(1, Int::times)).order(ByteOrder.nativeOrder())

    override fun fill(input: FloatArray) {
        this.input.rewind()
        this.input.asFloatBuffer().put(input)
    }

    override fun invoke(): Long? {
        input.rewind()
        output.rewind()
        interpreter.runSignature(mapOf(inputName to input), mapOf(outputName to output), signature)
        return interpreter.lastNativeInferenceDurationNanoseconds
    }

    override fun output(): FloatArray {
        output.rewind()
        return FloatArray(output.capacity() / Float.SIZE_BYTES).also { output.asFloatBuffer().get(it) }
    }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }
}
