package org.iristf.core

/** Checks of model files that need no card. */
object ModelFiles {
    // Field numbers in the tables `Model` and `Buffer` of TFLite's schema.
    private const val BUFFERS = 4
    private const val DATA = 0

    private val IDENTIFIER = "TFL3".encodeToByteArray() // at this offset:
    private const val IDENTIFIED_AT = 4

    /** Whether a file's first bytes are those of TFLite: the identifier `TFL3` at offset 4. */
    fun isTFLite(head: ByteArray): Boolean = head.size >= IDENTIFIED_AT + IDENTIFIER.size &&
        IDENTIFIER.indices.all { head[IDENTIFIED_AT + it] == IDENTIFIER[it] }

    /**
     * Check that a file was not truncated: that all buffers of its model, which are stored at its
     * end, lie within it. Not all LiteRT libraries check this before they read them.
     *
     * @param size bytes of the file
     * @param byteAt its byte at an offset within it
     * @throws EngineException if the file is truncated or holds no model
     */
    @Throws(EngineException::class)
    fun checkWhole(size: Int, byteAt: (Int) -> Byte) {
        val file = FlatBuffer(size, byteAt)
        val whole = try {
            val buffers = file.follow(file.follow(0), BUFFERS)
            buffers != null && file.int(buffers) > 0 && (0 until file.int(buffers)).all { i ->
                val data = file.follow(file.follow(buffers + Int.SIZE_BYTES * (i + 1)), DATA)
                // An empty buffer has no data field.
                data == null || file.int(data) in 0..size - data - Int.SIZE_BYTES
            }
        } catch (error: IndexOutOfBoundsException) {
            false
        }
        if (!whole) throw EngineException("The file is truncated or damaged; copy it again.")
    }

    /**
     * A FlatBuffers file: offsets are relative to their own position, and a table points to its vtable,
     * which holds the offsets of its fields.
     */
    private class FlatBuffer(private val size: Int, private val byteAt: (Int) -> Byte) {
        fun follow(reference: Int): Int = reference + int(reference)

        fun follow(table: Int, field: Int): Int? {
            val fields = table - int(table)
            val entry = (2 + field) * Short.SIZE_BYTES
            val known = entry < short(fields)
            val at = if (known) short(fields + entry).toInt() else 0
            return if (at == 0) null else follow(table + at)
        }

        /** The little-endian number at an offset. */
        fun int(at: Int): Int = (byte(at + 3) shl 24) or (byte(at + 2) shl 16) or (byte(at + 1) shl 8) or byte(at)

        private fun short(at: Int): Short = ((byte(at + 1) shl 8) or byte(at)).toShort()

        private fun byte(at: Int): Int {
            if (at !in 0 until size) throw IndexOutOfBoundsException("byte $at of $size")
            return byteAt(at).toInt() and 0xff
        }
    }
}
