package org.iristf.demo

import android.os.Build
import org.iristf.core.Backend
import org.iristf.core.Engine
import org.iristf.core.EngineException
import org.iristf.core.EngineFactory
import org.iristf.core.ModelFile
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.nnapi.NnApiDelegate
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Engines of LiteRT's `Interpreter`. Where a delegate cannot be made or cannot take the model, the
 * engine runs on the CPU and says why. An engine is used on the thread that made it, as the GPU
 * delegate demands.
 */
class LiteRtEngines(private val models: (ModelFile) -> StoredModel) : EngineFactory {
    override fun open(model: ModelFile, backend: Backend, threads: Int): Engine {
        val content = models(model).map()
        if (backend == Backend.CPU) return onCpu(content, threads, null)
        return try {
            when (backend) {
                Backend.GPU -> LiteRtEngine(content, 1, backend, GpuDelegate(), null)
                else -> LiteRtEngine(content, 1, backend, nnapi(), null)
            }
        } catch (error: RuntimeException) {
            onCpu(content, threads, fallback(backend, error))
        } catch (error: LinkageError) {
            onCpu(content, threads, fallback(backend, error))
        }
    }

    private fun onCpu(content: ByteBuffer, threads: Int, fallback: String?): Engine = try {
        LiteRtEngine(content, threads, Backend.CPU, null, fallback)
    } catch (error: RuntimeException) {
        throw EngineException(
            "LiteRT cannot load this file (${firstLine(error)}); it is damaged or needs operations that are not built in.",
            error,
        )
    } catch (error: LinkageError) {
        throw EngineException("The app holds no LiteRT library for this phone's processor.", error)
    }

    private fun nnapi(): Delegate {
        if (Build.VERSION.SDK_INT < NNAPI_FROM) throw UnsupportedOperationException("it came with Android 8.1")
        return NnApiDelegate(NnApiDelegate.Options().setUseNnapiCpu(false))
    }

    private fun fallback(backend: Backend, error: Throwable) =
        "Ran on the CPU, because ${backend.id} cannot be used (${firstLine(error)})."

    private companion object {
        const val NNAPI_FROM = 27
    }
}

private class LiteRtEngine(
    content: ByteBuffer, threads: Int, on: Backend, private val delegate: Delegate?, override val fallback: String?,
) : Engine {
    private val interpreter: Interpreter
    private val input: ByteBuffer
    private val output: ByteBuffer
    override val backend = on.id
    override val inputShape: List<Int>
    override val outputShape: List<Int>

    init {
        var made: Interpreter? = null
        try {
            val options = Interpreter.Options().setNumThreads(threads)
            if (delegate != null) options.addDelegate(delegate)
            val interpreter = Interpreter(content, options)
            made = interpreter
            checkSignature(interpreter)
            interpreter.allocateTensors()
            inputShape = interpreter.getInputTensor(0).shape().toList()
            outputShape = interpreter.getOutputTensor(0).shape().toList()
            if (inputShape.size != 4 || inputShape[0] != 1 || inputShape[3] != 1) {
                throw EngineException("The model takes $inputShape, not one grey image; choose a model of this project.")
            }
            this.interpreter = interpreter
        } catch (error: Throwable) {
            made?.close()
            delegate?.close()
            throw error
        }
        input = buffer(inputShape)
        output = buffer(outputShape)
    }

    private fun checkSignature(interpreter: Interpreter) {
        val floats = { interpreter.getInputTensor(0).dataType() == DataType.FLOAT32 &&
            interpreter.getOutputTensor(0).dataType() == DataType.FLOAT32 }
        val known = SIGNATURE in interpreter.signatureKeys &&
            interpreter.getSignatureInputs(SIGNATURE).size == 1 && interpreter.getSignatureOutputs(SIGNATURE).size == 1
        if (!known || interpreter.inputTensorCount != 1 || interpreter.outputTensorCount != 1 || !floats()) {
            throw EngineException(
                "The model has not the signature $SIGNATURE with one float32 input and output; choose one of this project.",
            )
        }
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
        interpreter.run(input, output)
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

    private companion object {
        const val SIGNATURE = "serving_default"
    }
}
