package org.iristf.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** `GreyLevels` of `write_fixtures.py`: a fake network whose masks are functions of the grey level. */
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

        // The input sizes of the released segmenter.
        fun finder() = GreyLevels(192)

        fun outliner() = GreyLevels(288)

        fun segmenter() = NetworkSegmenter(finder(), outliner(), CHANNELS)
    }
}

/** `render_eye` of `write_fixtures.py`: an eye of uniform grey levels, with a lid and noise. */
fun renderEye(numbers: PseudoRandom): GrayImage {
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
        // 4:3, because GreyLevels would take the black padding of a window for a pupil.
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
    fun `segmentations equal those of the Python code`() {
        val numbers = PseudoRandom(6)
        val eyes = Json.parse(Fixtures.text("rendered_eyes.json")) as List<*>
        var found = 0
        for ((i, expected) in eyes.map { JsonObject(it as Map<*, *>, "") }.withIndex()) {
            val image = renderEye(numbers)
            if (expected.has("refusal")) {
                val error = assertThrows(ExtractionException::class.java, { segmenter.segment(image) }, "eye $i")
                assertEquals(expected.text("refusal"), error.message, "eye $i")
                continue
            }
            val eye = segmenter.segment(image)
            assertArrayEquals(expected.numbers("pupil").toDoubleArray(), outline(eye.pupil), 1e-6, "eye $i")
            assertArrayEquals(expected.numbers("iris").toDoubleArray(), outline(eye.iris), 1e-6, "eye $i")
            assertEquals(expected.number("confidence"), eye.confidence, 1e-6, "eye $i")
            assertEquals(expected.number("tilt"), eye.tilt, 1e-6, "eye $i")
            val visible = ByteArray(eye.visible.inside.size) { if (eye.visible.inside[it]) 1 else 0 }
            assertEquals(expected.integer("visible", 0), Fixtures.checksum(visible), "eye $i")
            found++
        }
        assertTrue(found >= 20, "$found eyes")
    }

    @Test
    fun `an eye is found where it was rendered`() {
        val eye = segmenter.segment(flatEye(iris, pupil, 110))
        assertEquals(iris.x, eye.iris.x, 0.5)
        assertEquals(iris.y, eye.iris.y, 0.5)
        // Filling includes the pixels that the outline touches, which adds about half a pixel.
        assertEquals(iris.radius + 0.5, eye.iris.radius, 0.5)
        assertEquals(pupil.radius + 0.5, eye.pupil.radius, 0.5)
        assertTrue((iris.mask(180, 240) - pupil.mask(180, 240)).overlap(eye.visible) > 0.95)
    }

    @Test
    fun `an image of two eyes is refused`() {
        fun eyes(otherRadius: Double?): GrayImage {
            val image = GrayImage(450, 600)
            image.pixels.fill(220.toByte())
            for ((x, radius) in listOf(130.0 to 20.0, 378.0 to otherRadius)) {
                if (radius == null) continue
                val (irisMask, pupilMask) = listOf(1.0, 0.4).map { Ellipse(x, 225.0, it * radius, it * radius).mask(450, 600) }
                for (i in image.pixels.indices) if (pupilMask.inside[i]) image.pixels[i] = 30 else if (irisMask.inside[i]) image.pixels[i] = 110
            }
            return image
        }
        assertEquals(130.0, segmenter.segment(eyes(null)).iris.x, 0.5)
        val error = assertThrows(ExtractionException::class.java) { segmenter.segment(eyes(18.0)) }
        assertEquals("The image shows more than one eye; cut out one of them.", error.message)
        // Less than half as large: no other eye of the same face.
        assertEquals(130.0, segmenter.segment(eyes(9.0)).iris.x, 0.5)
    }

    @Test
    fun `the first pass sees the whole image, the second the iris, then its mirror image and rotations if unsure`() {
        // Grey level 110 is certainly iris; 134 is iris with a probability of 0.93.
        // Unsure: the window, its mirror image, eight rotations, and the surest of these with its mirror image.
        for ((grey, passes) in listOf(110 to 1, 134 to 2 + 8 + 2)) {
            val image = flatEye(iris, pupil, grey)
            val (finder, outliner) = listOf(GreyLevels.finder(), GreyLevels.outliner())
            NetworkSegmenter(finder, outliner, GreyLevels.CHANNELS).segment(image)
            assertArrayEquals(Window.whole(180, 240).cut(image, 192).toFloats(), finder.seen.single())
            assertEquals(passes, outliner.seen.size)
            if (passes == 1) continue
            for ((window, mirror) in listOf(0 to 1, passes - 2 to passes - 1)) {
                val seen = outliner.seen[mirror]
                val mirrored = FloatArray(seen.size) { seen[it - it % 384 + 383 - it % 384] }
                assertArrayEquals(outliner.seen[window], mirrored)
            }
        }
    }

    @Test
    fun `an image in which no iris is found is searched in tiles`() {
        val (finder, outliner) = listOf(GreyLevels.finder(), GreyLevels.outliner())
        val blank = GrayImage(180, 240, ByteArray(180 * 240) { 127 })
        assertThrows(ExtractionException::class.java) {
            NetworkSegmenter(finder, outliner, GreyLevels.CHANNELS).segment(blank)
        }
        assertEquals(6 to 0, finder.seen.size to outliner.seen.size)
    }

    @Test
    fun `a model that is not a segmenter is rejected`() {
        fun rejected(finder: Engine, outliner: Engine, channels: List<String> = GreyLevels.CHANNELS) {
            assertThrows(ModelException::class.java) { NetworkSegmenter(finder, outliner, channels) }
        }
        val (finder, outliner) = listOf(GreyLevels.finder(), GreyLevels.outliner())
        val other = object : Engine by finder {
            override val outputShape = listOf(1, 192, 256, 3)
        }
        rejected(other, outliner)
        rejected(finder, other)
        rejected(finder, outliner, listOf("visible", "pupil", "iris"))
        rejected(finder, outliner, listOf("a", "b", "c", "d"))
    }

    @Test
    fun `windows equal those of the Python code`() {
        val numbers = PseudoRandom(5)
        val expected = Fixtures.checksums("windows.json")
        val found = ArrayList<Long>()
        while (found.size < expected.size) {
            val image = numbers.image(20 + numbers.below(100), 20 + numbers.below(100))
            val x = numbers.below(1400) / 10.0 - 10
            val y = numbers.below(1400) / 10.0 - 10
            val extent = 4 + numbers.below(1500) / 10.0
            val rotated = RotatedWindow.around(x, y, extent, numbers.below(628) / 100.0)
            for (window in listOf(Window.around(x, y, extent), Window.whole(image.height, image.width), rotated)) {
                found.add(Fixtures.checksum(window.cut(image, 48).pixels))
            }
        }
        assertEquals(expected, found)
    }

    @Test
    fun `ellipses and masks are mapped from the window to the image`() {
        // 96 pixels of the image become 48 of the window, whose pixel 0 covers the image's 10 and 11.
        val window = Window(10, 20, 32)
        assertEquals(Ellipse(10.5, 22.5, 4.0, 6.0, 0.3), window.outwards(Ellipse(0.0, 1.0, 2.0, 3.0, 0.3), 48))
        val plane = Plane(48, 64)
        plane.values[0] = 1f
        val mask = window.outside(plane, 200, 300)
        // Interpolated values: 1, 3/4, 3/4 and 9/16 in its four pixels, and 1/4 in the next ones.
        assertTrue(mask[20, 10] && mask[20, 11] && mask[21, 10] && mask[21, 11] && mask.inside.count { it } == 4)
    }

    @Test
    fun `ellipse fits equal those of the Python code`() {
        val numbers = PseudoRandom(4)
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
    fun `too few points, and coinciding points, give no ellipse`() {
        val ones = DoubleArray(10) { 1.0 }
        assertNull(EllipseFit.fit(ones, ones, ones, 0.02))
        assertNull(EllipseFit.fit(DoubleArray(5) { it.toDouble() }, DoubleArray(5), DoubleArray(5) { 1.0 }, 0.02))
    }

    @Test
    fun `the largest component is 4-connected`() {
        val mask = Plane(3, 4, floatArrayOf(1f, 1f, 0f, 0f, 0f, 0f, 1f, 1f, 0f, 0f, 1f, 0.5f))
        val component = LargestComponent.of(mask)!!
        assertEquals(3, component.area)
        assertEquals(listOf(7.0 / 3, 4.0 / 3), listOf(component.x, component.y))
        assertTrue(component.contains(6) && !component.contains(0) && !component.contains(11))
        assertNull(LargestComponent.of(Plane(2, 2)))
    }

    @Test
    fun `an unsure network has a lower expected overlap`() {
        // Inside 0.9 and 0.6, outside 0.5: 1.5 of 2.5.
        assertEquals(0.6, Plausibility.expectedOverlap(Plane(1, 3, floatArrayOf(0.9f, 0.6f, 0.5f))), 1e-6)
        assertEquals(0.0, Plausibility.expectedOverlap(Plane(1, 3)))
    }
}
