package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.nio.ByteBuffer
import java.nio.ByteOrder

class ModelCardTest {
    // SHA-256 of "abc", FIPS 180-2, appendix B.1.
    private val abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    private val recognition = """{
        "schema_version": 1, "name": "small", "network": "mobilenet_v3_large", "roi_mode": "aligned",
        "segmenter": "network", "input_size": [96, 128], "embedding_size": 64,
        "thresholds": {"eer": 0.5, "far_1e-2": 0.55, "far_1e-3": 1}, "thresholds_from": {},
        "files": {"m.tflite": {"precision": "float16", "sha256": "$abc", "bytes": 3}},
        "training_data": "", "parity": {}, "metrics": {}, "created_by": ""}"""

    private val segmenter = """{
        "name": "iris-segmenter", "files": {"s.tflite": {"precision": "float16", "sha256": "$abc", "bytes": 3}},
        "input": {"name": "image", "range": [0, 255], "size": [192, 256]},
        "output": {"name": "masks", "range": [0, 1], "channels": ["visible", "pupil", "iris", "opening"]}}"""

    @Test
    fun `both kinds of cards are parsed`() {
        val card = ModelCard.read(recognition, "small") as RecognitionCard
        assertEquals(RoiMode.ALIGNED, card.roiMode)
        assertEquals(96 to 128, card.inputSize)
        assertEquals(1.0, card.thresholds["far_1e-3"])
        assertEquals(null, card.phase)
        assertEquals("roi" to "embedding", card.input to card.output)
        val other = ModelCard.read(segmenter, "iris-segmenter") as SegmenterCard
        assertEquals("image" to "masks", other.input to other.output)
        assertEquals(4, other.channels.size)
    }

    @Test
    fun `a card written by Python is parsed`() {
        val card = ModelCard.read(Fixtures.text("recognition_card.json"), "small") as RecognitionCard
        assertEquals(RoiMode.UNROLLED, card.roiMode)
        assertEquals(48 to 256, card.inputSize)
        assertEquals(64, card.embeddingSize)
        assertEquals(PhaseCodeLayout(32, 16, 2), card.phase)
        assertEquals(mapOf("eer" to 0.25, "far_1e-2" to 0.5, "far_1e-3" to 0.75), card.thresholds)
        assertEquals(ModelFile("m.tflite", abc, 3), card.check("m.tflite", "abc".byteInputStream()))
    }

    @Test
    fun `the scores of a card are read`() {
        assertEquals(null, (ModelCard.read(recognition, "small") as RecognitionCard).score)
        val score = """"phase": {"size": 32, "columns": 8, "turns": 2}, "score": {
            "offset": -4, "slope": 0.5, "learned_weight": 8, "learned_from": 0.25, "least_freedom": 60,
            "thresholds": {"fmr_1e-6": 9, "fmr_1e-2": 1, "fmr_1e-3": 3, "fmr_1e-4": 5, "fmr_1e-5": 7}}, "parity": {}"""
        val card = ModelCard.read(recognition.replace("\"parity\": {}", score), "small") as RecognitionCard
        val thresholds = mapOf("fmr_1e-2" to 1.0, "fmr_1e-3" to 3.0, "fmr_1e-4" to 5.0, "fmr_1e-5" to 7.0, "fmr_1e-6" to 9.0)
        assertEquals(ScoreModel(-4.0, 0.5, 8.0, 0.25, 60.0, thresholds), card.score)
        assertEquals(ScoreModel.OPERATING_POINTS, card.score?.thresholds?.keys?.toList())
        val levelled = card.score?.copy(levelling = Levelling(listOf(1.0), 0.5))
        assertEquals(listOf(45.0, 45.0), listOf(1.6, 1.7).map { card.score?.leastOwnFreedom(it) })
        assertEquals(listOf(45.0, 60.0), listOf(1.6, 1.7).map { levelled?.leastOwnFreedom(it) })
        fun wide(share: String) = ModelCard.read(
            recognition.replace("\"parity\": {}", score.replace("\"offset\"", "\"wide_share\": $share, \"offset\"")), "small",
        ) as RecognitionCard
        assertEquals(0.0, card.score?.wideShare)
        assertEquals(0.25, wide("0.25").score?.wideShare)
        for (share in listOf("1", "-0.1", "\"a\"")) assertThrows(ModelException::class.java) { wide(share) }
    }

    @Test
    fun `a file must have the SHA-256 given in its card`() {
        val card = ModelCard.read(recognition, "small")
        assertEquals(ModelFile("m.tflite", abc, 3), card.check("m.tflite", "abc".byteInputStream()))
        val changed = assertThrows(ModelException::class.java) { card.check("m.tflite", "abd".byteInputStream()) }
        assertTrue("SHA-256" in changed.message!!)
        assertThrows(ModelException::class.java) { card.check("n.tflite", "abc".byteInputStream()) }
    }

    @Test
    fun `broken cards are rejected with a message`() {
        for ((old, new) in listOf(
            "\"schema_version\": 1" to "\"schema_version\": 3", "aligned" to "round", "[96, 128]" to "[96]",
            "[96, 128]" to "[96, 0]", "\"eer\": 0.5" to "\"eer\": \"low\"", "\"bytes\": 3" to "\"bytes\": 0",
            "\"embedding_size\": 64," to "", "{" to "[", "\"embedding_size\": 64" to "\"embedding_size\": 65537",
            "[96, 128]" to "[96, 65537]", "\"eer\": 0.5" to "\"eer\": 0.5, \"far_1e-4\": 7",
            "\"parity\": {}" to "\"phase\": {\"size\": 5, \"columns\": 2, \"turns\": 0}",
        )) {
            val broken = recognition.replace(old, new)
            assertTrue(broken != recognition, old)
            val error = assertThrows(ModelException::class.java, { ModelCard.read(broken, "small") }, new)
            assertTrue(error.message!!.startsWith("small/model_card.json: "))
        }
    }

    @Test
    fun `cards are accepted and refused as by Python`() {
        val original = Json.parse(Fixtures.text("recognition_card.json")) as Map<*, *>
        for (case in Fixtures.json("cards.json").children("cards")) {
            val change = case.child("change")
            val text = Json.write(change.names.fold(original) { card, name -> changed(card, name.split('.'), change.value(name)) })
            if (if (case.has("android")) case.flag("android") else case.flag("accepted")) {
                ModelCard.read(text, "small")
            } else {
                val error = assertThrows(ModelException::class.java, { ModelCard.read(text, "small") }, change.names.toString())
                assertTrue(error.message!!.startsWith("small/model_card.json: ${case.text("field")}"), error.message)
            }
        }
    }

    /** A JSON object with another value at a path; null removes the field. */
    private fun changed(json: Map<*, *>, path: List<String>, value: Any?): Map<String, Any?> {
        val result = json.entries.associateTo(LinkedHashMap<String, Any?>()) { it.key as String to it.value }
        val name = path.first()
        when {
            path.size > 1 -> result[name] = changed(result[name] as Map<*, *>, path.drop(1), value)
            value == null -> result.remove(name)
            else -> result[name] = value
        }
        return result
    }

    @Test
    fun `a card names files in its own folder only`() {
        for (name in listOf("../m.tflite", "/m.tflite", "a\\\\m.tflite", "..")) {
            val error = assertThrows(ModelException::class.java, {
                ModelCard.read(recognition.replace("\"m.tflite\"", "\"$name\""), "small")
            }, name)
            assertTrue("without folders" in error.message!!)
        }
    }

    @Test
    fun `TFLite files are recognised by their identifier`() {
        assertTrue(ModelFiles.isTFLite("....TFL3".toByteArray()))
        assertFalse(ModelFiles.isTFLite("TFL3....".toByteArray()))
        assertFalse(ModelFiles.isTFLite(ByteArray(0)))
    }

    /** A model with a single buffer, assembled by hand: 68 bytes, the last four of which are the buffer's data. */
    private fun smallest(): ByteArray = ByteBuffer.allocate(68).order(ByteOrder.LITTLE_ENDIAN).apply {
        putInt(0, 28).putInt(4, 0x334c4654) // Model at 28, TFL3
        putShort(8, 14).putShort(10, 8).putShort(20, 4) // vtable of Model: the fifth field is at offset 4
        putInt(28, 28 - 8).putInt(32, 36 - 32) // Model: vtable at 8, buffers at 36
        putInt(36, 1).putInt(40, 52 - 40) // one buffer, at 52
        putShort(44, 6).putShort(46, 8).putShort(48, 4) // vtable of Buffer: the first field is at offset 4
        putInt(52, 52 - 44).putInt(56, 60 - 56) // Buffer: vtable at 44, data at 60
        putInt(60, 4).putInt(64, -1) // four bytes
    }.array()

    @Test
    fun `a model truncated at any byte is rejected before a runtime reads it`() {
        ModelFiles.checkWhole(ByteBuffer.wrap(smallest()))
        for (size in 0 until 68) {
            val cut = ByteBuffer.wrap(smallest().copyOf(size))
            val error = assertThrows(EngineException::class.java, { ModelFiles.checkWhole(cut) }, "$size")
            assertEquals("The file is truncated or damaged; copy it again.", error.message)
        }
        assertThrows(EngineException::class.java) { ModelFiles.checkWhole(ByteBuffer.allocate(1000)) }
    }

    @Test
    fun `corrupted bytes give an error message or pass, but never crash`() {
        val random = java.util.Random(0)
        repeat(2000) {
            val changed = smallest()
            repeat(1 + random.nextInt(6)) { changed[random.nextInt(68)] = random.nextInt(256).toByte() }
            try {
                ModelFiles.checkWhole(ByteBuffer.wrap(changed))
            } catch (error: EngineException) {
                assertTrue(error.message!!.endsWith("."))
            }
        }
    }
}
