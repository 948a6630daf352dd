package org.iristf.core

/**
 * Segments eye images with the released network: `iris_tf/segmentation/network.py` step by step.
 *
 * The network looks at the whole image, and then at a window around the iris that it found there;
 * where both disagree, again. Where it is unsure there, it looks at the mirror image, too.
 *
 * @throws ModelException when the engine's model is no segmenter
 */
class NetworkSegmenter(private val engine: Engine, channels: List<String>) {
    private val height: Int
    private val width: Int
    private val channels: Map<String, Int>

    init {
        val input = engine.inputShape
        height = input.getOrElse(1) { 0 }
        width = input.getOrElse(2) { 0 }
        this.channels = channels.withIndex().associate { it.value to it.index }
        if (input != listOf(1, height, width, 1) || 3 * width != 4 * height ||
            engine.outputShape != listOf(1, height, width, channels.size) || !channels.containsAll(NEEDED)
        ) {
            throw ModelException(
                "The segmenter goes from $input to ${engine.outputShape}, which no segmenter of this project does.",
            )
        }
    }

    /** What the network sees through one window, in the window's pixels. */
    private inner class Look(val window: Window, val masks: Map<String, Plane>) {
        private val inside = outline("iris", "iris")
        private val hole = outline("pupil", "pupil")
        val iris: Ellipse get() = window.outwards(inside, height)
        val pupil: Ellipse get() = window.outwards(hole, height)

        private fun outline(name: String, what: String): Ellipse =
            Outline.of(masks.getValue(name), SMALLEST * height / 2)
                ?: throw ExtractionException("The network sees no $what in the image.")

        /** How far the masks overlap with the truth if their probabilities are true. */
        fun expectedOverlap(): Double = this@NetworkSegmenter.expectedOverlap(masks)
    }

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
            look = look(image, Window.around(before.x, before.y, 2 * before.radius / FILL), true)
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
        val confidence = look.expectedOverlap() * minOf(agreement / SETTLED, 1.0)
        Plausibility.checkConfidence(confidence)
        return SegmentedEye(pupil, iris, seen, confidence = confidence)
    }

    /** Look at the whole image, and if nothing is seen, closer at its parts. */
    private fun find(image: GrayImage): Look = try {
        look(image, Window.whole(image.height, image.width), false)
    } catch (error: ExtractionException) {
        PARTS.mapNotNull { (x, y) ->
            val tall = PART * maxOf(image.height.toDouble(), 0.75 * image.width)
            try {
                look(image, Window.around(x * image.width, y * image.height, tall), false)
            } catch (nothing: ExtractionException) {
                null
            }
        }.maxByOrNull { it.expectedOverlap() } ?: throw error
    }

    /** Look through a window; [mirrored]: if unsure at its mirror image, for the mean of both. */
    private fun look(image: GrayImage, window: Window, mirrored: Boolean): Look {
        val seen = window.cut(image, height).toFloats()
        val once = infer(seen)
        var masks = planes(once)
        if (mirrored && expectedOverlap(masks) < SURE) {
            val other = infer(FloatArray(seen.size) { seen[turned(it)] })
            val count = channels.size
            masks = planes(FloatArray(once.size) { (once[it] + other[turned(it / count) * count + it % count]) / 2f })
        }
        return Look(window, masks)
    }

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

    /** Intersection over union of two ellipses, drawn at a fixed size. */
    private fun overlap(one: Ellipse, other: Ellipse): Double {
        val scale = 40.0 / maxOf(one.radius, other.radius)
        val x = (one.x + other.x) / 2
        val y = (one.y + other.y) / 2
        val (first, second) = listOf(one, other).map { it.scaled(scale, 100.0 - x * scale, 100.0 - y * scale).mask(201, 201) }
        return first.overlap(second)
    }

    private companion object {
        val NEEDED = listOf("visible", "pupil", "iris")
        const val PART = 0.55 // height of the windows for irises too small in the whole image
        val PARTS = listOf(0.5 to 0.5, 0.3 to 0.3, 0.7 to 0.3, 0.3 to 0.7, 0.7 to 0.7) // their centres
        const val FILL = 0.75 // iris diameter in the second window, as a share of its height
        const val MOST_LOOKS = 3 // through windows around the iris that the look before found,
        const val SETTLED = 0.85 // until both agree so far
        const val SURE = 0.9 // expected overlap from which on the mirror image is not looked at
        const val SMALLEST = 0.06 // diameter of iris or pupil in the window, as a share of its height
    }
}
