package org.iristf.core

import java.util.zip.CRC32

/** Test data written by `android_demo/write_fixtures.py`. */
object Fixtures {
    fun bytes(name: String): ByteArray =
        checkNotNull(javaClass.getResourceAsStream("/$name")) { "$name is missing" }.use { it.readBytes() }

    fun text(name: String) = String(bytes(name), Charsets.UTF_8)

    fun json(name: String) = JsonObject.parse(text(name))

    /** Read a binary PGM with the three-line header that the script writes. */
    fun image(name: String): GrayImage {
        val bytes = bytes(name)
        val lines = String(bytes, 0, minOf(bytes.size, 40), Charsets.ISO_8859_1).split('\n')
        val (width, height) = lines[1].split(' ').map(String::toInt)
        val start = lines.take(3).sumOf { it.length + 1 }
        check(lines[0] == "P5" && bytes.size == start + width * height)
        return GrayImage(height, width, bytes.copyOfRange(start, bytes.size))
    }

    fun mask(name: String): Mask {
        val image = image(name)
        return Mask(image.height, image.width, BooleanArray(image.pixels.size) { image.pixels[it] != 0.toByte() })
    }

    fun checksums(name: String): List<Long> = (Json.parse(text(name)) as List<*>).map { it as Long }

    fun checksum(bytes: ByteArray): Long = CRC32().apply { update(bytes) }.value
}

/** The same sequence as the class of this name in `write_fixtures.py`. */
class PseudoRandom(private var state: Long) {
    fun below(limit: Int): Int {
        state = (state * 1103515245 + 12345) % (1L shl 31)
        return ((state shr 16) % limit).toInt()
    }

    fun image(height: Int, width: Int) =
        GrayImage(height, width, ByteArray(height * width) { below(256).toByte() })
}
