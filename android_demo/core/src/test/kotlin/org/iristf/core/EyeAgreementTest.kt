package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class EyeAgreementTest {
    private val eye = renderEye(PseudoRandom(6))
    private val segmenter = GreyLevels.segmenter()

    private fun hexadecimal(image: GrayImage) = image.pixels.joinToString("") { "%02x".format(it) }

    private fun test(image: GrayImage, rest: String) = """{"file": "s.tflite", "sha256": "ab", "eyes": [{"height":
        ${image.height}, "width": ${image.width}, "pixels": "${hexadecimal(image)}", $rest}]}"""

    private fun written(image: GrayImage, found: SegmentedEye): String {
        val runs = ArrayList<Int>()
        var current = false
        var length = 0
        for (value in found.visible.inside) {
            if (value != current) {
                runs.add(length)
                length = 0
                current = value
            }
            length++
        }
        runs.add(length)
        fun outline(e: Ellipse) = listOf(e.x, e.y, e.a, e.b, e.angle)
        return test(
            image, """"pupil": ${outline(found.pupil)}, "iris": ${outline(found.iris)}, "confidence": 1,
            "visible": $runs, "strip": "${hexadecimal(RoiMode.UNROLLED.crop(image, found))}"""",
        )
    }

    @Test
    fun `a segmentation agrees with itself and not with a larger one`() {
        val found = segmenter.segment(eye)
        val same = EyeAgreement.read(written(eye, found), "test").run(segmenter)
        assertEquals(EyeAgreementResult(1, 1, 1.0, 0.0, 0.0, 0), same)
        assertTrue(same.agrees)
        val larger = found.iris.copy(a = found.iris.a * 1.21)
        val other = EyeAgreement.read(written(eye, SegmentedEye(found.pupil, larger, found.visible)), "test").run(segmenter)
        // The area is 1.21 times as large, so the radius 1.1 times.
        assertEquals(0.1 / 1.1, other.maxShift, 1e-9)
        assertTrue(!other.agrees && other.maxStripDifference > 0)
    }

    @Test
    fun `a failure agrees only with a failure`() {
        val blank = GrayImage(60, 80)
        assertTrue(EyeAgreement.read(test(blank, "\"refusal\": \"No.\""), "test").run(segmenter).agrees)
        val differing = EyeAgreement.read(test(eye, "\"refusal\": \"No.\""), "test").run(segmenter)
        assertEquals(1 to false, differing.disagreements to differing.agrees)
    }

    @Test
    fun `broken tests are rejected with a message`() {
        val good = written(eye, segmenter.segment(eye))
        for ((old, new) in listOf("\"pupil\": [" to "\"pupil\": [1, ", "\"visible\": [" to "\"visible\": [1, ",
            "\"strip\": \"00" to "\"strip\": \"0", "\"iris\"" to "\"isir\"", "\"eyes\": [" to "\"eyes\": [], \"other\": [")) {
            assertTrue(old in good, old)
            assertThrows(ModelException::class.java, { EyeAgreement.read(good.replace(old, new), "test") }, new)
        }
    }
}
