package org.iristf.core

import java.io.InputStream
import java.nio.ByteBuffer
import java.security.MessageDigest

private const val BUFFER = 1 shl 16

/** Describe a model file whose content is read from a stream to its end. */
@Suppress("UnusedReceiverParameter")
fun ModelFiles.describe(file: String, content: InputStream): ModelFile {
    val digest = MessageDigest.getInstance("SHA-256")
    val buffer = ByteArray(BUFFER)
    var bytes = 0L
    while (true) {
        val read = content.read(buffer)
        if (read < 0) break
        digest.update(buffer, 0, read)
        bytes += read
    }
    val hexadecimal = digest.digest().joinToString("") { (it.toInt() and 0xff).toString(16).padStart(2, '0') }
    return ModelFile(file, hexadecimal, bytes)
}

/**
 * Check that a file was not truncated.
 *
 * @param content the whole file, independent of its position
 * @throws EngineException if the file is truncated or holds no model
 */
@Throws(EngineException::class)
fun ModelFiles.checkWhole(content: ByteBuffer) = checkWhole(content.limit()) { content.get(it) }

/** Verify a file's content against the card's SHA-256, and describe the file. */
@Throws(ModelException::class)
fun ModelCard.check(file: String, content: InputStream): ModelFile {
    entry(file) // before the whole file is read
    return ModelFiles.describe(file, content).also(::check)
}
