package org.iristf.core

/**
 * Segments eye images with the released network: `iris_tf/segmentation/network_segmenter.py` step by step.
 *
 * The network looks at the whole image, made small, and then at a window around the iris that it
 * found there; where both disagree, again. Where it is unsure there, it looks at the mirror image, too.
 *
 * @param finder its signature [Signature.WHOLE]
 * @param outliner its signature [Signature.KEY]
 * @throws ModelException when an engine's model is no segmenter
 */
class NetworkSegmenter(finder: Engine, outliner: Engine, channels: List<String>) {
    private val finder = Network(finder, channels)
    private val outliner = Network(outliner, channels)

    /**
     * What the network sees through one window; the outlines are in the image's pixels.
     *
     * @property expectedOverlap how far the masks overlap with the truth if their probabilities are true
     */
    private class Look(
        val window: Window, val masks: Map<String, Plane>, val pupil: Ellipse, val iris: Ellipse,
        val expectedOverlap: Double,
    )

    /**
     * Segment one eye.
     *
     * @throws ExtractionException when no eye is found
     */
    @Throws(ExtractionException::class)
    fun segment(image: GrayImage): SegmentedEye {
        var look = find(image)
        var iris = look.iris
        var agreement = 0.0
        for (i in 0 until MOST_LOOKS) {
            val before = iris
            look = outliner.look(image, Window.around(before.x, before.y, 2 * before.radius / FILL), mirrored = true)
            iris = look.iris
            agreement = overlap(iris, before)
            if (agreement > SETTLED) break
        }
        val pupil = look.pupil
        Plausibility.checkGeometry(pupil, iris, image.height, image.width)
        val seen = look.window.outside(look.masks.getValue("visible"), image.height, image.width)
        val irisMask = iris.mask(image.height, image.width)
        val pupilMask = pupil.mask(image.height, image.width)
        for (i in seen.inside.indices) seen.inside[i] = seen.inside[i] && irisMask.inside[i] && !pupilMask.inside[i]
        Plausibility.checkVisible(pupil, iris, seen)
        val confidence = look.expectedOverlap * minOf(agreement / SETTLED, 1.0)
        Plausibility.checkConfidence(confidence)
        return SegmentedEye(pupil, iris, seen, confidence = confidence)
    }

    /** Look at the whole image, and if nothing is seen, closer at its parts. */
    private fun find(image: GrayImage): Look = try {
        finder.look(image, Window.whole(image.height, image.width))
    } catch (error: ExtractionException) {
        PARTS.mapNotNull { (x, y) ->
            val tall = PART * maxOf(image.height.toDouble(), 0.75 * image.width)
            try {
                finder.look(image, Window.around(x * image.width, y * image.height, tall))
            } catch (nothing: ExtractionException) {
                null
            }
        }.maxByOrNull { it.expectedOverlap } ?: throw error
    }

    /** Intersection over union of two ellipses, drawn at a fixed size. */
    private fun overlap(one: Ellipse, other: Ellipse): Double {
        val scale = 40.0 / maxOf(one.radius, other.radius)
        val x = (one.x + other.x) / 2
        val y = (one.y + other.y) / 2
        val (first, second) = listOf(one, other).map { it.scaled(scale, 100.0 - x * scale, 100.0 - y * scale).mask(201, 201) }
        return first.overlap(second)
    }

    /** The network at one size. */
    private class Network(private val engine: Engine, channels: List<String>) {
        private val height = engine.inputShape.getOrElse(1) { 0 }
        private val width = engine.inputShape.getOrElse(2) { 0 }
        private val channels = channels.withIndex().associate { it.value to it.index }

        init {
            if (engine.inputShape != listOf(1, height, width, 1) || 3 * width != 4 * height ||
                engine.outputShape != listOf(1, height, width, channels.size) || !channels.containsAll(NEEDED)
            ) {
                throw ModelException(
                    "The segmenter goes from ${engine.inputShape} to ${engine.outputShape}, which no segmenter of " +
                        "this project does.",
                )
            }
        }

        /** Look through a window; [mirrored]: if unsure at its mirror image, too, for the mean of both. */
        fun look(image: GrayImage, window: Window, mirrored: Boolean = false): Look {
            val seen = window.cut(image, height).toFloats()
            val once = infer(seen)
            var masks = planes(once)
            var overlap = expectedOverlap(masks)
            if (mirrored && overlap < SURE) {
                val other = infer(FloatArray(seen.size) { seen[turned(it)] })
                val count = channels.size
                masks = planes(FloatArray(once.size) { (once[it] + other[turned(it / count) * count + it % count]) / 2f })
                overlap = expectedOverlap(masks)
            }
            val (iris, pupil) = listOf("iris", "pupil").map { window.outwards(outline(masks, it), height) }
            return Look(window, masks, pupil, iris, overlap)
        }

        private fun outline(masks: Map<String, Plane>, name: String): Ellipse =
            Outline.of(masks.getValue(name), SMALLEST * height / 2)
                ?: throw ExtractionException("The network sees no $name in the image.")

        /** Product of the expected intersections over union of visible iris, pupil and iris. */
        private fun expectedOverlap(masks: Map<String, Plane>): Double =
            NEEDED.map { Plausibility.expectedOverlap(masks.getValue(it)) }.fold(1.0, Double::times)

        /** The mirror image of a pixel, both counted in the order of memory. */
        private fun turned(pixel: Int) = pixel - pixel % width + width - 1 - pixel % width

        private fun planes(masks: FloatArray) = NEEDED.associateWith { plane(masks, channels.getValue(it)) }

        private fun plane(masks: FloatArray, channel: Int) =
            Plane(height, width, FloatArray(height * width) { masks[it * channels.size + channel] })

        private fun infer(pixels: FloatArray): FloatArray {
            engine.fill(pixels)
            engine.invoke()
            return engine.output()
        }
    }

    private companion object {
        val NEEDED = listOf("visible", "pupil", "iris")
        const val PART = 0.55 // height of the windows for irises too small in the whole image
        val PARTS = listOf(0.5 to 0.5, 0.3 to 0.3, 0.7 to 0.3, 0.3 to 0.7, 0.7 to 0.7) // their centres
        const val FILL = 0.75 // iris diameter in the second window, as a share of its height
        const val MOST_LOOKS = 3 // through windows around the iris that the look before found,
        const val SETTLED = 0.85 // until both agree so far
        const val SURE = 0.95 // expected overlap from which on the mirror image is not looked at
        const val SMALLEST = 0.06 // diameter of iris or pupil in the window, as a share of its height
    }
}
