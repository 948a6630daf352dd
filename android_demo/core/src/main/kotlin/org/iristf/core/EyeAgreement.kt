package org.iristf.core

import kotlin.math.abs
import kotlin.math.hypot

/**
 * One eye image with Python's result.
 *
 * @property expected Python's segmentation; null if it failed
 * @property strip Python's unrolled strip; null if it failed
 * @property refusal Python's error message if it extracted no crop; else null
 */
class EyeCase(val image: GrayImage, val expected: SegmentedEye?, val strip: GrayImage?, val refusal: String?)

/** Agreement of segmentation and crops with Python's. */
data class EyeAgreementResult(
    /** Number of images. */
    val eyes: Int,
    /** Images of which both sides extracted a crop; the next three figures are over these. */
    val crops: Int,
    /** Least intersection over union of the visible iris masks. */
    val minOverlap: Double,
    /** Greatest difference in centre or radius of pupil or iris, in iris radii. */
    val maxShift: Double,
    /** Greatest mean absolute difference of a strip, in grey levels. */
    val maxStripDifference: Double,
    /** Images of which only one side extracted a crop. */
    val disagreements: Int,
) {
    val agrees: Boolean get() = disagreements == 0 && minOverlap >= MIN_OVERLAP &&
        maxShift <= MAX_SHIFT && maxStripDifference <= MAX_DIFFERENCE

    companion object {
        // Bounds leave room for float16 arithmetic; on the same CPU, both sides are almost identical.
        const val MIN_OVERLAP = 0.98
        const val MAX_SHIFT = 0.01
        const val MAX_DIFFERENCE = 2.0
    }
}

/**
 * Agreement test of segmentation and crops: eye images with Python's results, written by
 * `android_demo/write_agreement.py`.
 *
 * Fields of the JSON file: `file` and `sha256` of the segmenter, and `eyes`, each with `height`,
 * `width` and `pixels` (as in [Agreement]), and either `refusal` (an error message) or `pupil` and
 * `iris` (x, y, a, b, angle), `visible` (run lengths, alternately hidden and visible), `confidence`
 * and `strip` (grey levels of the unrolled iris).
 */
class EyeAgreement(val file: String, val sha256: String, val cases: List<EyeCase>) {
    @Throws(EngineException::class, ModelException::class)
    fun run(segmenter: NetworkSegmenter): EyeAgreementResult {
        var overlap = 1.0
        var shift = 0.0
        var difference = 0.0
        var disagreements = 0
        var crops = 0
        for (case in cases) {
            val (found, strip) = try {
                segmenter.segment(case.image).let { it to RoiMode.UNROLLED.crop(case.image, it) }
            } catch (error: ExtractionException) {
                if (case.refusal == null) disagreements++
                continue
            }
            if (case.expected == null || case.strip == null) {
                disagreements++
                continue
            }
            crops++
            overlap = minOf(overlap, found.visible.overlap(case.expected.visible))
            val radius = case.expected.iris.radius
            shift = maxOf(shift, shift(found.pupil, case.expected.pupil) / radius, shift(found.iris, case.expected.iris) / radius)
            difference = maxOf(difference, difference(strip, case.strip))
        }
        return EyeAgreementResult(cases.size, crops, overlap, shift, difference, disagreements)
    }

    private fun shift(one: Ellipse, other: Ellipse) =
        maxOf(hypot(one.x - other.x, one.y - other.y), abs(one.radius - other.radius))

    private fun difference(one: GrayImage, other: GrayImage): Double {
        var sum = 0L
        for (y in 0 until one.height) for (x in 0 until one.width) sum += abs(one[y, x] - other[y, x])
        return sum.toDouble() / one.pixels.size
    }

    companion object {
        /** Name of the test file bundled with the app. */
        const val FILE = "eyes.json"

        /**
         * Parse a test file.
         *
         * @param where name of the file, for error messages
         */
        @Throws(ModelException::class)
        fun read(text: String, where: String): EyeAgreement = try {
            val json = JsonObject.parse(text)
            val cases = json.children("eyes").map(::case)
            if (cases.isEmpty()) throw json.wrong("eyes", "a list of at least one eye")
            EyeAgreement(json.text("file"), json.text("sha256"), cases)
        } catch (error: JsonException) {
            throw ModelException("$where: ${error.message}")
        } catch (error: NumberFormatException) {
            throw ModelException("$where: pixels are not hexadecimal digits; run write_agreement.py again.")
        }

        private fun case(json: JsonObject): EyeCase {
            val image = image(json, "pixels", json.integer("height", 1).toInt(), json.integer("width", 1).toInt())
            if (json.has("refusal")) return EyeCase(image, null, null, json.text("refusal"))
            val eye = SegmentedEye(
                ellipse(json, "pupil"), ellipse(json, "iris"), mask(json, image.height, image.width),
                confidence = json.number("confidence"),
            )
            return EyeCase(image, eye, image(json, "strip", RoiMode.STRIP_RADII, RoiMode.STRIP_ANGLES), null)
        }

        private fun image(json: JsonObject, name: String, height: Int, width: Int): GrayImage {
            val pixels = json.text(name)
            if (pixels.length != 2 * height * width) throw json.wrong(name, "$height x $width grey levels")
            return GrayImage(height, width, hexadecimal(pixels))
        }

        private fun ellipse(json: JsonObject, name: String): Ellipse {
            val values = json.numbers(name)
            if (values.size != 5) throw json.wrong(name, "x, y, a, b and angle")
            return Ellipse(values[0], values[1], values[2], values[3], values[4])
        }

        private fun mask(json: JsonObject, height: Int, width: Int): Mask {
            val runs = json.integers("visible", 0)
            if (runs.sum() != height.toLong() * width) throw json.wrong("visible", "runs of $height x $width pixels")
            val mask = Mask(height, width)
            var at = 0
            for ((i, run) in runs.withIndex()) {
                if (i % 2 == 1) mask.inside.fill(true, at, at + run.toInt())
                at += run.toInt()
            }
            return mask
        }
    }
}
