package org.iristf.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** `GreyLevels` of `write_fixtures.py`: masks that follow from grey levels. */
class GreyLevels(height: Int) : Engine {
    val seen = ArrayList<FloatArray>()
    var closed = false
    override val backend = "cpu-xnnpack"
    override val fallback: String? = null
    override val inputShape = listOf(1, height, height * 4 / 3, 1)
    override val outputShape = listOf(1, height, height * 4 / 3, 4)

    override fun fill(input: FloatArray) {
        seen.add(input)
    }

    override fun invoke(): Long? = null

    override fun output() = FloatArray(4 * seen.last().size) {
        val grey = seen.last()[it / 4]
        val pupil = ((75 - grey) / 60 + 0.5f).coerceIn(0f, 1f)
        val iris = ((160 - grey) / 60 + 0.5f).coerceIn(0f, 1f)
        when (it % 4) {
            0 -> iris * (1 - pupil)
            1 -> pupil
            2 -> iris
            else -> 1f
        }
    }

    override fun close() {
        closed = true
    }

    companion object {
        val CHANNELS = listOf("visible", "pupil", "iris", "opening")

        /** As large as in the released segmenter. */
        fun finder() = GreyLevels(192)

        fun outliner() = GreyLevels(288)

        fun segmenter() = NetworkSegmenter(finder(), outliner(), CHANNELS)
    }
}

/** `draw_eye` of `write_fixtures.py`: a flat eye with a lid and noise. */
fun drawEye(numbers: Numbers): GrayImage {
    val height = 100 + numbers.below(120)
    val width = 100 + numbers.below(180)
    val radius = 12 + numbers.below(60)
    val iris = Ellipse(
        0.2 * width + 0.6 * numbers.below(width), 0.3 * height + 0.4 * numbers.below(height), radius.toDouble(),
        radius * (70 + numbers.below(40)) / 100.0, numbers.below(314) / 100.0,
    )
    val share = (20 + numbers.below(50)) / 100.0
    val pupil = Ellipse(
        iris.x + (numbers.below(21) - 10) / 100.0 * radius, iris.y, share * iris.a, share * iris.b, iris.angle,
    )
    val lid = (iris.y - radius * (20 + numbers.below(110)) / 100.0).toInt()
    val irisMask = iris.mask(height, width)
    val pupilMask = pupil.mask(height, width)
    val image = GrayImage(height, width)
    for (y in 0 until height) for (x in 0 until width) {
        image[y, x] = if (y < lid) 190 else if (pupilMask[y, x]) 30 else if (irisMask[y, x]) 110 else 200
    }
    for (y in 0 until height) for (x in 0 until width) image[y, x] = image[y, x] + numbers.below(256) % 32
    return image
}

class NetworkSegmenterTest {
    private fun outline(ellipse: Ellipse) = doubleArrayOf(ellipse.x, ellipse.y, ellipse.a, ellipse.b, ellipse.angle)

    private fun flatEye(iris: Ellipse, pupil: Ellipse, grey: Int): GrayImage {
        // 4:3, because GreyLevels would take a window's black edges for a pupil.
        val image = GrayImage(180, 240)
        val irisMask = iris.mask(180, 240)
        val pupilMask = pupil.mask(180, 240)
        for (y in 0 until 180) for (x in 0 until 240) {
            image[y, x] = if (pupilMask[y, x]) 30 else if (irisMask[y, x]) grey else 220
        }
        return image
    }

    private val segmenter = GreyLevels.segmenter()
    private val iris = Ellipse(130.0, 75.0, 48.0, 48.0)
    private val pupil = Ellipse(128.0, 76.0, 18.0, 18.0)

    @Test
    fun `eyes are outlined as by the Python code`() {
        val numbers = Numbers(6)
        val eyes = Json.parse(Fixtures.text("drawn_eyes.json")) as List<*>
        var found = 0
        for ((i, expected) in eyes.map { JsonObject(it as Map<*, *>, "") }.withIndex()) {
            val image = drawEye(numbers)
            if (expected.has("refusal")) {
                val error = assertThrows(ExtractionException::class.java, { segmenter.segment(image) }, "eye $i")
                assertEquals(expected.text("refusal"), error.message, "eye $i")
                continue
            }
            val eye = segmenter.segment(image)
            assertArrayEquals(expected.numbers("pupil").toDoubleArray(), outline(eye.pupil), 1e-6, "eye $i")
            assertArrayEquals(expected.numbers("iris").toDoubleArray(), outline(eye.iris), 1e-6, "eye $i")
            assertEquals(expected.number("confidence"), eye.confidence, 1e-6, "eye $i")
            val visible = ByteArray(eye.visible.inside.size) { if (eye.visible.inside[it]) 1 else 0 }
            assertEquals(expected.integer("visible", 0), Fixtures.checksum(visible), "eye $i")
            found++
        }
        assertTrue(found >= 20, "$found eyes")
    }

    @Test
    fun `an eye is found where it was drawn`() {
        val eye = segmenter.segment(flatEye(iris, pupil, 110))
        assertEquals(iris.x, eye.iris.x, 0.5)
        assertEquals(iris.y, eye.iris.y, 0.5)
        // Filling takes the pixels that an outline touches, about half a pixel more.
        assertEquals(iris.radius + 0.5, eye.iris.radius, 0.5)
        assertEquals(pupil.radius + 0.5, eye.pupil.radius, 0.5)
        assertTrue((iris.mask(180, 240) - pupil.mask(180, 240)).overlap(eye.visible) > 0.95)
    }

    @Test
    fun `the whole image is looked at small and the iris large, in doubt also its mirror image`() {
        // That 110 is iris is certain; 134 is it with a probability of 0.93.
        for ((grey, looks) in listOf(110 to 1, 134 to 2)) {
            val image = flatEye(iris, pupil, grey)
            val (finder, outliner) = listOf(GreyLevels.finder(), GreyLevels.outliner())
            NetworkSegmenter(finder, outliner, GreyLevels.CHANNELS).segment(image)
            assertArrayEquals(Window.whole(180, 240).cut(image, 192).toFloats(), finder.seen.single())
            assertEquals(looks, outliner.seen.size)
            val last = outliner.seen.last()
            val turned = FloatArray(last.size) { last[it - it % 384 + 383 - it % 384] }
            if (looks == 2) assertArrayEquals(outliner.seen.first(), turned)
        }
    }

    @Test
    fun `parts of an image in which nothing is seen are looked at small`() {
        val (finder, outliner) = listOf(GreyLevels.finder(), GreyLevels.outliner())
        val blank = GrayImage(180, 240, ByteArray(180 * 240) { 127 })
        assertThrows(ExtractionException::class.java) {
            NetworkSegmenter(finder, outliner, GreyLevels.CHANNELS).segment(blank)
        }
        assertEquals(6 to 0, finder.seen.size to outliner.seen.size)
    }

    @Test
    fun `a model that is no segmenter is refused`() {
        fun refused(finder: Engine, outliner: Engine, channels: List<String> = GreyLevels.CHANNELS) {
            assertThrows(ModelException::class.java) { NetworkSegmenter(finder, outliner, channels) }
        }
        val (finder, outliner) = listOf(GreyLevels.finder(), GreyLevels.outliner())
        val other = object : Engine by finder {
            override val outputShape = listOf(1, 192, 256, 3)
        }
        refused(other, outliner)
        refused(finder, other)
        refused(finder, outliner, listOf("visible", "pupil", "iris"))
        refused(finder, outliner, listOf("a", "b", "c", "d"))
    }

    @Test
    fun `windows show what the Python code's show`() {
        val numbers = Numbers(5)
        val expected = Fixtures.checksums("windows.json")
        val found = ArrayList<Long>()
        while (found.size < expected.size) {
            val image = numbers.image(20 + numbers.below(100), 20 + numbers.below(100))
            val x = numbers.below(1400) / 10.0 - 10
            val y = numbers.below(1400) / 10.0 - 10
            val window = Window.around(x, y, 4 + numbers.below(1500) / 10.0)
            found.add(Fixtures.checksum(window.cut(image, 48).pixels))
            found.add(Fixtures.checksum(Window.whole(image.height, image.width).cut(image, 48).pixels))
        }
        assertEquals(expected, found)
    }

    @Test
    fun `what a window outlines lies at the same place in the image`() {
        // 96 pixels of the image are 48 of the window: its pixel 0 covers the image's 10 and 11.
        val window = Window(10, 20, 32)
        assertEquals(Ellipse(10.5, 22.5, 4.0, 6.0, 0.3), window.outwards(Ellipse(0.0, 1.0, 2.0, 3.0, 0.3), 48))
        val plane = Plane(48, 64)
        plane.values[0] = 1f
        val mask = window.outside(plane, 200, 300)
        // Its four pixels see 1, 3/4, 3/4 and 9/16 of the 1; the next ones see a quarter.
        assertTrue(mask[20, 10] && mask[20, 11] && mask[21, 10] && mask[21, 11] && mask.inside.count { it } == 4)
    }

    @Test
    fun `ellipses through scattered points are those of the Python code`() {
        val numbers = Numbers(4)
        for ((i, expected) in (Json.parse(Fixtures.text("fits.json")) as List<*>).withIndex()) {
            val count = 8 + numbers.below(90)
            val ellipse = Ellipse(
                numbers.below(900) / 9.0, numbers.below(900) / 9.0, 2 + numbers.below(900) / 16.0,
                2 + numbers.below(900) / 16.0, numbers.below(314) / 100.0,
            )
            val x = DoubleArray(count)
            val y = DoubleArray(count)
            val weights = DoubleArray(count)
            for (k in 0 until count) {
                val point = ellipse.point(numbers.below(6283) / 1000.0)
                val off = (numbers.below(100) / 100.0 - 0.5) * (if (numbers.below(10) == 0) 20.0 else 0.5)
                x[k] = point.first + off
                y[k] = point.second - off
                weights[k] = numbers.below(5) / 4.0
            }
            val found = EllipseFit.fit(x, y, weights, 0.02)
            if (expected == null) assertNull(found, "points $i")
            else assertArrayEquals((expected as List<*>).map { it as Double }.toDoubleArray(), outline(found!!), 1e-6, "points $i")
        }
    }

    @Test
    fun `too few points, or points at one place, give no ellipse`() {
        val ones = DoubleArray(10) { 1.0 }
        assertNull(EllipseFit.fit(ones, ones, ones, 0.02))
        assertNull(EllipseFit.fit(DoubleArray(5) { it.toDouble() }, DoubleArray(5), DoubleArray(5) { 1.0 }, 0.02))
    }

    @Test
    fun `the largest part touches at sides, not at corners`() {
        val mask = Plane(3, 4, floatArrayOf(1f, 1f, 0f, 0f, 0f, 0f, 1f, 1f, 0f, 0f, 1f, 0.5f))
        val part = LargestPart.of(mask)!!
        assertEquals(3, part.area)
        assertEquals(listOf(7.0 / 3, 4.0 / 3), listOf(part.x, part.y))
        assertTrue(part.holds(6) && !part.holds(0) && !part.holds(11))
        assertNull(LargestPart.of(Plane(2, 2)))
    }

    @Test
    fun `a network that is unsure promises less`() {
        // Inside 0.9 and 0.6, outside 0.5: 1.5 of 2.5.
        assertEquals(0.6, Plausibility.expectedOverlap(Plane(1, 3, floatArrayOf(0.9f, 0.6f, 0.5f))), 1e-6)
        assertEquals(0.0, Plausibility.expectedOverlap(Plane(1, 3)))
    }
}
