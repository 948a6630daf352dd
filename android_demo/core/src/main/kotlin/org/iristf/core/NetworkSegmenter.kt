package org.iristf.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.cos
import kotlin.math.hypot

/**
 * Segments eye images with the released network, step by step as
 * `iris_tf/segmentation/network_segmenter.py`.
 *
 * A first pass locates the iris in the downscaled image. Up to three more segment a window around it,
 * until the irises of two passes agree. Where the network is unsure, its masks are averaged with
 * those of the mirror image. Unless the eye is surely upright, windows that are rotated by multiples
 * of 45 degrees are tried, too.
 *
 * @param finder the network's signature [Signature.WHOLE], for the first pass
 * @param outliner its signature [Signature.KEY], for the windows
 * @param channels names of the output channels, from the model card
 * @throws ModelException if an engine's model is not a segmenter
 */
class NetworkSegmenter(finder: Engine, outliner: Engine, channels: List<String>) {
    private val finder = Network(finder, channels)
    private val outliner = Network(outliner, channels)

    /**
     * Result of one pass on a window; the outlines are in image coordinates.
     *
     * @property expectedOverlap intersection over union with the truth that is expected if the
     *   masks' probabilities hold
     */
    private class WindowResult(
        val window: Section, val masks: Map<String, Plane>, val pupil: Ellipse, val iris: Ellipse,
        val expectedOverlap: Double,
    )

    /**
     * Segment one eye image.
     *
     * @throws ExtractionException if no eye is found, or several are, or the result is not plausible
     */
    @Throws(ExtractionException::class)
    fun segment(image: GrayImage): SegmentedEye {
        val eye = surestEye(image)
        if (otherWindows(image, eye).any { findsAnother(image, eye, it) }) {
            throw ExtractionException("The image shows more than one eye; cut out one of them.")
        }
        return eye
    }

    /** Segment an eye, upright or rotated. */
    private fun surestEye(image: GrayImage): SegmentedEye {
        val upright = refine(image, find(image).iris, 0.0)
        if (upright.eye?.let(::seemsUpright) == true) return upright.eye
        val overlaps = rotatedOverlaps(image, upright.iris)
        val surest = (1 until overlaps.size).maxBy { overlaps[it] }
        val rotated = refine(image, upright.iris, ANGLE_STEP * surest)
        // The surest of eight is sure by chance more often than one, also of what is no eye.
        val eye = (if (rotated.confidence > maxOf(upright.confidence, SURE)) rotated.eye else upright.eye)
            ?: throw checkNotNull(upright.refusal)
        return SegmentedEye(eye.pupil, eye.iris, eye.visible, eye.irisMinusPupil, eye.confidence, tilt(eye, rotation(overlaps)))
    }

    /**
     * What became of outlining an eye in windows of one rotation.
     *
     * @property iris of the last pass that found one
     * @property refusal why there is no eye
     */
    private class Attempt(val iris: Ellipse, val eye: SegmentedEye?, val refusal: ExtractionException?) {
        val confidence: Double get() = eye?.confidence ?: 0.0
    }

    /** Windows in which another eye may be, beside, above or below one, if the image has room for it. */
    private fun otherWindows(image: GrayImage, eye: SegmentedEye): List<Section> {
        val iris = eye.iris
        val diameter = 2 * iris.radius
        return listOf(true, false).flatMap { horizontal ->
            val (along, across) = if (horizontal) image.width to image.height else image.height to image.width
            val at = if (horizontal) iris.x else iris.y
            val least = if (along >= LONG * across) LEAST_ROOM_IF_LONG else LEAST_ROOM
            listOf(1 to along - 1 - at, -1 to at).filter { (_, room) -> room >= least * diameter }.flatMap { (sign, room) ->
                OTHER_DISTANCES.filter { (it - OTHER_WINDOW / 2) * diameter <= room }.map {
                    val moved = sign * it * diameter
                    val (x, y) = if (horizontal) iris.x + moved to iris.y else iris.x to iris.y + moved
                    section(x, y, OTHER_WINDOW * diameter, eye.tilt)
                }
            }
        }
    }

    private fun findsAnother(image: GrayImage, eye: SegmentedEye, window: Section): Boolean {
        val iris = eye.iris
        val other = try {
            finder.segment(image, window).iris
        } catch (nothing: ExtractionException) {
            return false
        }
        val ratio = other.radius / iris.radius
        if (ratio <= LEAST_OTHER_RADIUS || ratio >= MOST_OTHER_RADIUS) return false
        val attempt = refine(image, other, eye.tilt)
        // As sure as of an upright eye: what has one by chance is no eye.
        val apart = hypot(attempt.iris.x - iris.x, attempt.iris.y - iris.y) > attempt.iris.radius + iris.radius
        return attempt.confidence >= SURE && apart
    }

    /** Outline an eye in windows around its iris that are rotated by an angle. */
    private fun refine(image: GrayImage, start: Ellipse, angle: Double): Attempt {
        var iris = start
        try {
            lateinit var result: WindowResult
            var agreement = 0.0
            for (i in 0 until MAX_PASSES) {
                val before = iris
                result = outliner.segment(image, window(before, angle), mirrored = true)
                iris = result.iris
                agreement = overlap(iris, before)
                if (agreement > CONVERGED) break
            }
            val confidence = result.expectedOverlap * minOf(agreement / CONVERGED, 1.0)
            return Attempt(iris, plausibleEye(image, result, confidence), null)
        } catch (refusal: ExtractionException) {
            return Attempt(iris, null, refusal)
        }
    }

    private fun plausibleEye(image: GrayImage, result: WindowResult, confidence: Double): SegmentedEye {
        val pupil = result.pupil
        val iris = result.iris
        Plausibility.checkGeometry(pupil, iris, image.height, image.width)
        val seen = result.window.outside(result.masks.getValue("visible"), image.height, image.width)
        val irisMask = iris.mask(image.height, image.width)
        val pupilMask = pupil.mask(image.height, image.width)
        for (i in seen.inside.indices) seen.inside[i] = seen.inside[i] && irisMask.inside[i] && !pupilMask.inside[i]
        Plausibility.checkVisible(pupil, iris, seen)
        Plausibility.checkConfidence(confidence)
        return SegmentedEye(pupil, iris, seen, confidence = confidence)
    }

    /** Tilt of an eye, -pi..pi, that is most upright in a window of some angle. */
    private fun tilt(eye: SegmentedEye, angle: Double): Double {
        val ofLids = if (angle == 0.0) null else LidTilt.of(eye.pupil, eye.iris, eye.visible)
        val tilt = when {
            ofLids != null && cos(ofLids - angle) >= cos(MAX_TILT_IN_WINDOW) -> ofLids
            abs(angle) > 1.5 * ANGLE_STEP -> angle
            else -> 0.0 // hardly more than a guess
        }
        return if (abs(tilt) > LEAST_TILT) tilt else 0.0
    }

    private fun seemsUpright(eye: SegmentedEye): Boolean {
        if (eye.confidence < SURE) return false
        val tilt = LidTilt.of(eye.pupil, eye.iris, eye.visible) ?: return eye.confidence >= SURE_WITHOUT_LIDS
        return abs(tilt) <= MAX_UPRIGHT_TILT
    }

    /** Expected overlaps in windows around an iris that are rotated by multiples of [ANGLE_STEP], from 0 on. */
    private fun rotatedOverlaps(image: GrayImage, iris: Ellipse): DoubleArray = DoubleArray(LEADS.size) { step ->
        try {
            outliner.segment(image, window(iris, ANGLE_STEP * step)).expectedOverlap
        } catch (nothing: ExtractionException) {
            NO_OVERLAP
        }
    }

    /** Window around an iris; the pixels of one that is not rotated are the image's. */
    private fun window(iris: Ellipse, angle: Double) = section(iris.x, iris.y, 2 * iris.radius / IRIS_SHARE, angle)

    private fun section(x: Double, y: Double, height: Double, angle: Double): Section =
        if (angle == 0.0) Window.around(x, y, height) else RotatedWindow.around(x, y, height, angle)

    /** Locate the iris in the whole image or, if that fails, in overlapping tiles of it. */
    private fun find(image: GrayImage): WindowResult = try {
        finder.segment(image, Window.whole(image.height, image.width))
    } catch (error: ExtractionException) {
        TILE_CENTRES.mapNotNull { (x, y) ->
            val tall = TILE_HEIGHT * maxOf(image.height.toDouble(), 0.75 * image.width)
            try {
                finder.segment(image, Window.around(x * image.width, y * image.height, tall))
            } catch (nothing: ExtractionException) {
                null
            }
        }.maxByOrNull { it.expectedOverlap } ?: throw error
    }

    /** Intersection over union of two ellipses, rasterised at a fixed size. */
    private fun overlap(one: Ellipse, other: Ellipse): Double {
        val scale = 40.0 / maxOf(one.radius, other.radius)
        val x = (one.x + other.x) / 2
        val y = (one.y + other.y) / 2
        val (first, second) = listOf(one, other).map { it.scaled(scale, 100.0 - x * scale, 100.0 - y * scale).mask(201, 201) }
        return first.overlap(second)
    }

    /** The network at one input size. */
    private class Network(private val engine: Engine, channels: List<String>) {
        private val height = engine.inputShape.getOrElse(1) { 0 }
        private val width = engine.inputShape.getOrElse(2) { 0 }
        private val channels = channels.withIndex().associate { it.value to it.index }

        init {
            if (engine.inputShape != listOf(1, height, width, 1) || 3 * width != 4 * height ||
                engine.outputShape != listOf(1, height, width, channels.size) || !channels.containsAll(USED_CHANNELS)
            ) {
                throw ModelException(
                    "The segmenter maps ${engine.inputShape} to ${engine.outputShape}, which does not match its card; " +
                        "use the iris-segmenter model of this project.",
                )
            }
        }

        /** Segment a window; with [mirrored], average the masks with those of the mirror image if unsure. */
        fun segment(image: GrayImage, window: Section, mirrored: Boolean = false): WindowResult {
            val pixels = window.cut(image, height).toFloats()
            val output = infer(pixels)
            var masks = planes(output)
            var overlap = expectedOverlap(masks)
            if (mirrored && overlap < CONFIDENT) {
                val mirror = infer(FloatArray(pixels.size) { pixels[mirroredIndex(it)] })
                val count = channels.size
                masks = planes(
                    FloatArray(output.size) { (output[it] + mirror[mirroredIndex(it / count) * count + it % count]) / 2f },
                )
                overlap = expectedOverlap(masks)
            }
            val (iris, pupil) = listOf("iris", "pupil").map { window.outwards(outline(masks, it), height) }
            return WindowResult(window, masks, pupil, iris, overlap)
        }

        private fun outline(masks: Map<String, Plane>, name: String): Ellipse =
            Outline.of(masks.getValue(name), MIN_DIAMETER * height / 2)
                ?: throw ExtractionException("The network sees no $name in the image.")

        /** Product of the expected overlaps of visible iris, pupil and iris. */
        private fun expectedOverlap(masks: Map<String, Plane>): Double =
            USED_CHANNELS.map { Plausibility.expectedOverlap(masks.getValue(it)) }.fold(1.0, Double::times)

        /** Row-major index of a pixel's mirror image. */
        private fun mirroredIndex(pixel: Int) = pixel - pixel % width + width - 1 - pixel % width

        private fun planes(masks: FloatArray) = USED_CHANNELS.associateWith { plane(masks, channels.getValue(it)) }

        private fun plane(masks: FloatArray, channel: Int) =
            Plane(height, width, FloatArray(height * width) { masks[it * channels.size + channel] })

        private fun infer(pixels: FloatArray): FloatArray {
            engine.fill(pixels)
            engine.invoke()
            return engine.output()
        }
    }

    private companion object {
        val USED_CHANNELS = listOf("visible", "pupil", "iris")
        const val TILE_HEIGHT = 0.55 // relative to the image; for irises too small in the whole image
        val TILE_CENTRES = listOf(0.5 to 0.5, 0.3 to 0.3, 0.7 to 0.3, 0.3 to 0.7, 0.7 to 0.7) // x, y, relative to the image
        const val IRIS_SHARE = 0.75 // iris diameter relative to the height of the window around it
        const val MAX_PASSES = 3 // on windows around the iris of the pass before
        const val CONVERGED = 0.85 // overlap of two passes' irises at which no further pass is needed
        const val CONFIDENT = 0.95 // expected overlap above which the mirror image is not needed
        const val SURE = 0.85 // confidence from which an eye may pass for upright, or for rotated
        const val SURE_WITHOUT_LIDS = 0.94 // the same if its eyelids hide too little to tell how it is tilted
        const val MAX_UPRIGHT_TILT = 20.0 * (PI / 180.0) // of the eyelids of an upright eye
        const val NEIGHBOURS_SHARE = 0.5 // weight of the overlaps in the windows on both sides of one
        const val NO_OVERLAP = 0.6 // stands for that in a window in which there is no iris

        // How much more evidence than for an upright eye is asked for in rotated windows, since rotated eyes are rare.
        val LEADS = doubleArrayOf(0.0, 0.01, 0.02, 0.02, 0.03, 0.02, 0.02, 0.01)
        const val ANGLE_STEP = 2.0 * PI / 8
        const val LEAST_TILT = 25.0 * (PI / 180.0) // that is made up for
        const val MAX_TILT_IN_WINDOW = 35.0 * (PI / 180.0) // from a window's rotation to a tilt of the eyelids that is believed
        // Where another eye may be: distances from an iris, and the height of windows there, in iris diameters.
        val OTHER_DISTANCES = listOf(2.2, 4.2, 6.2)
        const val OTHER_WINDOW = 3.0
        const val LEAST_OTHER_RADIUS = 0.5 // relative to the first
        const val MOST_OTHER_RADIUS = 2.0
        // Least room from an iris's centre to the border, in iris diameters, and the same in the direction in which the
        // image is so much longer.
        const val LEAST_ROOM = 3.5
        const val LEAST_ROOM_IF_LONG = 1.5
        const val LONG = 1.45
        const val MIN_DIAMETER = 0.06 // of iris and pupil, relative to the height of the window

        /** Angle, -pi..pi, of the window in which an eye is most upright; 0 if none clearly is. */
        fun rotation(overlaps: DoubleArray): Double {
            // Overlap falls with the angle between eye and window, so neighbours tell, too.
            val count = overlaps.size
            val best = overlaps.indices.maxBy { step ->
                val neighbours = overlaps[(step + count - 1) % count] + overlaps[(step + 1) % count]
                overlaps[step] + NEIGHBOURS_SHARE * neighbours - LEADS[step]
            }
            val angle = ANGLE_STEP * best
            return if (angle > PI) angle - 2.0 * PI else angle
        }
    }
}
