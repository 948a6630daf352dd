package org.iristf.host

import com.sun.jna.Library
import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.Pointer
import com.sun.jna.ptr.LongByReference
import com.sun.jna.ptr.PointerByReference
import org.iristf.core.Backend
import org.iristf.core.Engine
import org.iristf.core.EngineException
import org.iristf.core.EngineFactory
import org.iristf.core.ModelFile
import org.iristf.core.ModelFiles
import org.iristf.core.Signature
import org.iristf.core.checkWhole
import java.io.File
import java.nio.channels.FileChannel

/** C's size_t, which JNA does not know; hosts have 64 bits. */
private typealias Size = Long

/** The used functions of LiteRT 2.3's C API (`litert/c` in its sources). */
private interface LiteRt : Library {
    fun LiteRtCreateEnvironment(options: Int, values: Pointer?, environment: PointerByReference): Int
    fun LiteRtDestroyEnvironment(environment: Pointer)
    fun LiteRtCreateModelFromFile(environment: Pointer, file: String, model: PointerByReference): Int
    fun LiteRtDestroyModel(model: Pointer)
    fun LiteRtCreateOptions(options: PointerByReference): Int
    fun LiteRtDestroyOptions(options: Pointer)
    fun LiteRtSetOptionsHardwareAccelerators(options: Pointer, accelerators: Int): Int
    fun LiteRtCreateCompiledModel(
        environment: Pointer, model: Pointer, options: Pointer, compiled: PointerByReference,
    ): Int
    fun LiteRtDestroyCompiledModel(compiled: Pointer)
    fun LiteRtGetNumModelSignatures(model: Pointer, count: LongByReference): Int
    fun LiteRtGetModelSignature(model: Pointer, index: Size, signature: PointerByReference): Int
    fun LiteRtGetSignatureInputTensorByIndex(signature: Pointer, index: Size, tensor: PointerByReference): Int
    fun LiteRtGetSignatureOutputTensorByIndex(signature: Pointer, index: Size, tensor: PointerByReference): Int
    fun LiteRtGetSignatureKey(signature: Pointer, key: PointerByReference): Int
    fun LiteRtGetNumSignatureInputs(signature: Pointer, count: LongByReference): Int
    fun LiteRtGetNumSignatureOutputs(signature: Pointer, count: LongByReference): Int
    fun LiteRtGetSignatureInputName(signature: Pointer, index: Size, name: PointerByReference): Int
    fun LiteRtGetSignatureOutputName(signature: Pointer, index: Size, name: PointerByReference): Int
    fun LiteRtGetRankedTensorType(tensor: Pointer, type: Pointer): Int
    fun LiteRtGetCompiledModelInputBufferRequirements(
        compiled: Pointer, signature: Size, index: Size, requirements: PointerByReference,
    ): Int
    fun LiteRtGetCompiledModelOutputBufferRequirements(
        compiled: Pointer, signature: Size, index: Size, requirements: PointerByReference,
    ): Int
    fun LiteRtCreateManagedTensorBufferFromRequirements(
        environment: Pointer, type: Pointer, requirements: Pointer, buffer: PointerByReference,
    ): Int
    fun LiteRtDestroyTensorBuffer(buffer: Pointer)
    fun LiteRtLockTensorBuffer(buffer: Pointer, address: PointerByReference, mode: Int): Int
    fun LiteRtUnlockTensorBuffer(buffer: Pointer): Int
    fun LiteRtRunCompiledModel(
        compiled: Pointer, signature: Size, inputs: Size, inputBuffers: Array<Pointer>, outputs: Size,
        outputBuffers: Array<Pointer>,
    ): Int
}

private const val ON_CPU = 1
private const val FLOAT32 = 1 // kLiteRtElementTypeFloat32
private const val TYPE_BYTES = 256L // more than the size of a LiteRtRankedTensorType
private const val TO_READ = 0
private const val TO_WRITE = 1

/** Engines on LiteRT's C library, on this machine's CPU with LiteRT's default number of threads. */
class LiteRtEngines(library: String, private val folder: (ModelFile) -> File) : EngineFactory {
    private val liteRt = Native.load(library, LiteRt::class.java)

    override fun open(model: ModelFile, backend: Backend, threads: Int, signature: String): Engine {
        if (backend != Backend.CPU) throw EngineException("The host has no ${backend.id}.")
        val file = File(folder(model), model.file)
        // Mapped rather than read, because opening is timed and the library reads the file itself.
        val content = file.inputStream().channel.use { it.map(FileChannel.MapMode.READ_ONLY, 0, it.size()) }
        ModelFiles.checkWhole(content)
        return LiteRtEngine(liteRt, file.path, signature)
    }
}

private class LiteRtEngine(private val liteRt: LiteRt, path: String, key: String) : Engine {
    private val cleanup = ArrayList<() -> Unit>()
    private val index: Size // of the signature
    private val compiled: Pointer
    private val input: Tensor
    private val output: Tensor

    private class Tensor(val shape: List<Int>, val buffer: Pointer) {
        val size = shape.fold(1, Int::times)
    }

    init {
        try {
            val environment = create("environment", liteRt::LiteRtDestroyEnvironment) {
                liteRt.LiteRtCreateEnvironment(0, null, it)
            }
            val model = create("model", liteRt::LiteRtDestroyModel) {
                liteRt.LiteRtCreateModelFromFile(environment, path, it)
            }
            val (at, signature) = signature(model, key)
            index = at.toLong()
            val options = create("options", liteRt::LiteRtDestroyOptions) { liteRt.LiteRtCreateOptions(it) }
            check("accelerator", liteRt.LiteRtSetOptionsHardwareAccelerators(options, ON_CPU))
            compiled = create("compiled model", liteRt::LiteRtDestroyCompiledModel) {
                liteRt.LiteRtCreateCompiledModel(environment, model, options, it)
            }
            input = tensor(
                environment, get("input") { liteRt.LiteRtGetSignatureInputTensorByIndex(signature, 0, it) },
                get("input") { liteRt.LiteRtGetCompiledModelInputBufferRequirements(compiled, index, 0, it) },
            )
            output = tensor(
                environment, get("output") { liteRt.LiteRtGetSignatureOutputTensorByIndex(signature, 0, it) },
                get("output") { liteRt.LiteRtGetCompiledModelOutputBufferRequirements(compiled, index, 0, it) },
            )
            Signature.checkTensors(true, input.shape)
        } catch (error: EngineException) {
            close()
            throw error
        }
    }

    override val backend get() = Backend.CPU.id
    override val fallback: String? get() = null
    override val inputShape get() = input.shape
    override val outputShape get() = output.shape

    override fun fill(input: FloatArray) = locked(this.input, TO_WRITE) { it.write(0, input, 0, this.input.size) }

    override fun invoke(): Long? {
        val buffers = Pair(arrayOf(input.buffer), arrayOf(output.buffer))
        check("run", liteRt.LiteRtRunCompiledModel(compiled, index, 1, buffers.first, 1, buffers.second))
        return null
    }

    override fun output(): FloatArray = locked(output, TO_READ) { it.getFloatArray(0, output.size) }

    override fun close() {
        // In reverse order, because later objects use earlier ones.
        cleanup.asReversed().forEach { it() }
        cleanup.clear()
    }

    /** The model's signature with a key, and its index. */
    private fun signature(model: Pointer, key: String): IndexedValue<Pointer> {
        val found = all({ liteRt.LiteRtGetNumModelSignatures(model, it) }) { i, signature ->
            liteRt.LiteRtGetModelSignature(model, i, signature)
        }.withIndex().filter { (_, signature) ->
            get("signature") { liteRt.LiteRtGetSignatureKey(signature, it) }.getString(0) == key
        }
        val inputs = found.flatMap { (_, signature) ->
            all({ liteRt.LiteRtGetNumSignatureInputs(signature, it) }) { i, name ->
                liteRt.LiteRtGetSignatureInputName(signature, i, name)
            }
        }
        val outputs = found.flatMap { (_, signature) ->
            all({ liteRt.LiteRtGetNumSignatureOutputs(signature, it) }) { i, name ->
                liteRt.LiteRtGetSignatureOutputName(signature, i, name)
            }
        }
        Signature.checkNames(key, inputs.map { it.getString(0) }, outputs.map { it.getString(0) })
        return found.single()
    }

    /** All elements of an enumeration of the C API. */
    private fun all(count: (LongByReference) -> Int, element: (Size, PointerByReference) -> Int): List<Pointer> {
        val found = LongByReference()
        check("signature", count(found))
        return (0 until found.value).map { i -> get("signature") { element(i, it) } }
    }

    private fun tensor(environment: Pointer, tensor: Pointer, requirements: Pointer): Tensor {
        val type = Memory(TYPE_BYTES)
        check("tensor type", liteRt.LiteRtGetRankedTensorType(tensor, type))
        if (type.getInt(0) != FLOAT32) throw EngineException("A tensor is not float32.")
        // The rank is in the lower seven bits of a word, followed by the sizes.
        val shape = type.getIntArray(8, type.getInt(4) and 0x7f).toList()
        val buffer = create("buffer", liteRt::LiteRtDestroyTensorBuffer) {
            liteRt.LiteRtCreateManagedTensorBufferFromRequirements(environment, type, requirements, it)
        }
        return Tensor(shape, buffer)
    }

    private fun <T> locked(tensor: Tensor, mode: Int, use: (Pointer) -> T): T {
        val address = get("buffer") { liteRt.LiteRtLockTensorBuffer(tensor.buffer, it, mode) }
        try {
            return use(address)
        } finally {
            check("buffer", liteRt.LiteRtUnlockTensorBuffer(tensor.buffer))
        }
    }

    private fun create(what: String, destroy: (Pointer) -> Unit, make: (PointerByReference) -> Int): Pointer =
        get(what, make).also { cleanup.add { destroy(it) } }

    private fun get(what: String, read: (PointerByReference) -> Int): Pointer {
        val reference = PointerByReference()
        check(what, read(reference))
        return reference.value
    }

    private fun check(what: String, status: Int) {
        if (status != 0) throw EngineException("LiteRT failed at the $what with status $status.")
    }
}
