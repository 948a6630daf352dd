package org.iristf.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class RecognizerTest {
    private val segmenterFile = ModelFile("s.tflite", "ab", 1)
    private val modelFile = ModelFile("m.tflite", "cd", 1)
    private val channels = SegmenterCard("s", emptyMap(), 192 to 256, "image", "masks", GreyLevels.CHANNELS)
    private val thresholds = mapOf("eer" to 0.5, "far_1e-2" to 0.7, "far_1e-3" to 0.9)

    private fun card(mode: RoiMode = RoiMode.UNROLLED, segmenter: String = "network") =
        RecognitionCard("m", emptyMap(), 16 to 128, mode, segmenter, 2, thresholds)

    /** Returns one embedding after another. */
    private class Embedder(vararg embeddings: FloatArray) : Engine {
        // The first inference is for warm-up.
        private val waiting = ArrayDeque(listOf(floatArrayOf(0f, 0f), *embeddings))
        var input = FloatArray(0)
        var closed = false
        override val backend = "cpu-xnnpack"
        override val fallback: String? = null
        override val inputShape = listOf(1, 16, 128, 1)
        override val outputShape = listOf(1, 2)
        override fun fill(input: FloatArray) {
            this.input = input
        }
        override fun invoke(): Long? = null
        override fun output() = waiting.removeFirst()
        override fun close() {
            closed = true
        }
    }

    private class Ticks : Clock {
        private var time = 0L
        private var step = 0L
        override fun nanoseconds(): Long {
            time += 1_000_000 * step++
            return time
        }
    }

    private fun open(
        embedder: Engine?, card: RecognitionCard = card(), finder: Engine = GreyLevels.finder(),
        outliner: Engine = GreyLevels.outliner(),
    ) = Recognizer.open(
        object : EngineFactory {
            override fun open(model: ModelFile, backend: Backend, threads: Int, signature: String): Engine {
                assertEquals(Backend.CPU to 1, backend to threads)
                return when (model to signature) {
                    segmenterFile to Signature.WHOLE -> finder
                    segmenterFile to Signature.KEY -> outliner
                    else -> embedder!!
                }
            }
        },
        segmenterFile to channels, embedder?.let { modelFile to card }, Ticks(),
    )

    private val eye = renderEye(PseudoRandom(6))

    @Test
    fun `an image is cropped as the card specifies, and each stage is timed`() {
        val embedder = Embedder(floatArrayOf(0.6f, 0.8f))
        val found = open(embedder).enrol(eye)
        val expected = GreyLevels.segmenter().segment(eye)
        assertEquals(Resize.roi(RoiMode.UNROLLED.crop(eye, expected), 16, 128), found.crop)
        assertArrayEquals(found.crop.toFloats(), embedder.input)
        // The clock advances by 0, 1, 2 and 3 ms.
        assertEquals(StageTimes(1.0, 2.0, 3.0), found.times)
        assertEquals(6.0, found.times.total)
    }

    @Test
    fun `the thresholds of the card decide`() {
        val one = floatArrayOf(1f, 0f)
        // Cosines computed by hand: 0.6, 0.8, -1.
        for ((other, cosine, same) in listOf(
            Triple(floatArrayOf(0.6f, 0.8f), 0.6, listOf(false, true, false)),
            Triple(floatArrayOf(0.8f, -0.6f), 0.8, listOf(true, true, false)),
            Triple(floatArrayOf(-1f, 0f), -1.0, listOf(false, false, false)),
        )) {
            val recognizer = open(Embedder(one, other))
            val comparison = recognizer.compare(recognizer.enrol(eye), recognizer.enrol(eye))!!
            assertEquals(cosine, comparison.similarity, 1e-7)
            assertEquals(Decision("far_1e-2", 0.7, same[0]), comparison.decision)
            assertEquals(
                listOf(Decision("eer", 0.5, same[1]), Decision("far_1e-3", 0.9, same[2])), comparison.others,
            )
            assertNull(recognizer.note)
        }
    }

    /** Two learned numbers, then a phase code of 4 columns in which one or no place is visible: 4 degrees of freedom. */
    private fun scored(real: Float, imaginary: Float) = FloatArray(18).also {
        it[0] = 0.6f
        it[2] = real
        it[3] = imaginary
    }

    private fun openScored(leastFreedom: Double, vararg embeddings: FloatArray): Recognizer {
        // By hand (see ScorerTest): a pair of equal codes has the score 4 + 2 - ln(0.95015816) = 6.0511.
        val points = ScoreModel.OPERATING_POINTS.zip(listOf(1.0, 5.0, 6.05, 6.06, 7.0)).toMap()
        val score = ScoreModel(4.0, 1.0, 0.0, 0.0, leastFreedom, points)
        val card = card().copy(embeddingSize = 18, phase = PhaseCodeLayout(16, 4, 1), score = score)
        val embedder = object : Engine by Embedder(*embeddings) {
            override val outputShape = listOf(1, 18)
        }
        return open(embedder, card)
    }

    @Test
    fun `scores decide where the card has them`() {
        val recognizer = openScored(4.0, scored(0.8f, 0f), scored(0.8f, 0f), scored(0.48f, 0.64f))
        val (one, same, other) = List(3) { recognizer.enrol(eye) }
        val comparison = recognizer.compare(one, same)!!
        assertEquals(6.0511, comparison.score!!.value, 1e-4)
        assertEquals(1.0, comparison.similarity, 1e-6)
        assertEquals(Decision("fmr_1e-4", 6.05, true), comparison.decision)
        assertEquals(
            listOf("fmr_1e-2" to true, "fmr_1e-3" to true, "fmr_1e-5" to false, "fmr_1e-6" to false),
            comparison.others.map { it.operatingPoint to it.sameEye },
        )
        // Codes of similarity 0.6: 4 + 2 * 0.36 - ln(0.95015816).
        val different = recognizer.compare(one, other)!!
        assertEquals(4.7711, different.score!!.value, 1e-4)
        assertEquals(Decision("fmr_1e-4", 6.05, false), different.decision)
    }

    @Test
    fun `an inconclusive score gives a reason and no decision, however high the similarity`() {
        val recognizer = openScored(5.0, scored(0.8f, 0f), scored(0.8f, 0f))
        val comparison = recognizer.compare(recognizer.enrol(eye), recognizer.enrol(eye))!!
        assertEquals(1.0, comparison.similarity, 1e-6)
        assertNull(comparison.decision)
        assertTrue(comparison.others.isEmpty())
        assertTrue("too little in common" in comparison.score!!.inconclusive!!)
    }

    @Test
    fun `an image that shows too little is refused`() {
        val error = assertThrows(ExtractionException::class.java) { openScored(8.0, scored(0.8f, 0f)).enrol(eye) }
        assertEquals(
            "The image shows too little texture (4 degrees of freedom, at least 6 are needed); use an image in focus that " +
                "shows more of the iris.",
            error.message,
        )
    }

    @Test
    fun `without a recognition model images are only cropped`() {
        val recognizer = open(null)
        val found = recognizer.enrol(eye)
        assertEquals(64 to 512, found.crop.height to found.crop.width)
        assertNull(found.embedding)
        assertNull(found.times.embedding)
        assertNull(recognizer.compare(found, found))
        assertTrue("no recognition model" in recognizer.note!!)
    }

    @Test
    fun `a model trained with another segmenter has a note`() {
        assertTrue("open-iris" in open(Embedder(), card(segmenter = "open-iris")).note!!)
    }

    @Test
    fun `an embedding without unit norm is rejected`() {
        for (bad in listOf(floatArrayOf(0f, 0f), floatArrayOf(2f, 0f), floatArrayOf(Float.NaN, 0f))) {
            assertThrows(EngineException::class.java) { open(Embedder(bad)).enrol(eye) }
        }
    }

    @Test
    fun `an image without an eye is rejected`() {
        assertThrows(ExtractionException::class.java) { open(Embedder()).enrol(GrayImage(100, 100)) }
    }

    @Test
    fun `images that show nothing to compare are refused as by Python`() {
        val fixtures = Fixtures.json("refused_images.json")
        for (case in fixtures.children("sizes")) {
            val (height, width) = listOf("height", "width").map(case::size)
            if (!case.flag("refused")) CropChecks.checkShape(height, width)
            else assertThrows(ExtractionException::class.java) { CropChecks.checkShape(height, width) }
        }
        for (case in fixtures.children("crops")) {
            val tile = case.integers("tile", 0).map { it.toByte() }
            val crop = GrayImage(16, 16, ByteArray(256) { tile[it % tile.size] })
            if (case.isNull("refusal")) CropChecks.checkTexture(crop)
            else {
                val error = assertThrows(ExtractionException::class.java) { CropChecks.checkTexture(crop) }
                assertEquals(case.text("refusal"), error.message)
            }
        }
    }

    @Test
    fun `a finished strip is refused`() {
        val strip = assertThrows(ExtractionException::class.java) { open(Embedder()).enrol(GrayImage(64, 512)) }
        assertTrue("too wide for one eye" in strip.message!!)
    }

    /** Sees another image than the one that it is given, except for warm-up. */
    private class Replay(private val engine: Engine, inputs: List<FloatArray>) : Engine by engine {
        private val waiting = ArrayDeque(inputs)
        override fun fill(input: FloatArray) = engine.fill(if (input.any { it > 0 }) waiting.removeFirst() else input)
    }

    @Test
    fun `an eye without texture is refused before it is embedded`() {
        val (finder, outliner) = GreyLevels.finder() to GreyLevels.outliner()
        NetworkSegmenter(finder, outliner, GreyLevels.CHANNELS).segment(eye)
        val embedder = Embedder(floatArrayOf(1f, 0f))
        val recognizer = open(
            embedder, finder = Replay(GreyLevels.finder(), finder.seen), outliner = Replay(GreyLevels.outliner(), outliner.seen),
        )
        val warmup = embedder.input
        val flat = GrayImage(eye.height, eye.width, ByteArray(eye.pixels.size) { 100 })
        val error = assertThrows(ExtractionException::class.java) { recognizer.enrol(flat) }
        assertTrue("no texture" in error.message!!, error.message)
        assertSame(warmup, embedder.input)
    }

    @Test
    fun `embeddings of different models are not compared`() {
        val (one, other) = List(2) { open(Embedder(floatArrayOf(1f, 0f))) }
        val (first, second) = one.enrol(eye) to other.enrol(eye)
        for (recognizer in listOf(one, other)) {
            val error = assertThrows(ModelException::class.java) { recognizer.compare(first, second) }
            assertTrue(error.message!!.endsWith("."))
        }
        assertThrows(ModelException::class.java) { open(null).compare(first, first) }
    }

    @Test
    fun `models that do not match their cards are rejected and closed`() {
        val embedder = Embedder()
        val other = card().copy(inputSize = 16 to 64)
        assertThrows(ModelException::class.java) { open(embedder, other) }
        assertTrue(embedder.closed)
        val second = Embedder()
        val finder = GreyLevels.finder()
        assertThrows(ModelException::class.java) { open(null, finder = finder, outliner = second) }
        assertTrue(second.closed && finder.closed)
    }

    @Test
    fun `all models are closed`() {
        val embedder = Embedder()
        val segmenter = listOf(GreyLevels.finder(), GreyLevels.outliner())
        open(embedder, finder = segmenter[0], outliner = segmenter[1]).close()
        assertTrue(embedder.closed && segmenter.all { it.closed })
    }

    @Test
    fun `the overlay shows the visible iris and both outlines`() {
        val image = GrayImage(40, 40, ByteArray(1600) { 100 })
        val visible = Mask(40, 40).also { it[20, 25] = true }
        val eye = SegmentedEye(Ellipse(20.0, 20.0, 3.0, 3.0), Ellipse(20.0, 20.0, 10.0, 10.0), visible)
        val found = Overlay.colours(image, eye)
        fun at(y: Int, x: Int) = "%08x".format(found[y * 40 + x])
        assertEquals(
            listOf("ff646464", "ff326432", "ffe69f00", "ff56b4e9"), listOf(at(0, 0), at(20, 25), at(20, 23), at(30, 20)),
        )
        assertEquals("ff646464", at(20, 26))
    }
}
