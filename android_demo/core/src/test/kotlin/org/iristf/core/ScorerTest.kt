package org.iristf.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import kotlin.math.ln

class ScorerTest {
    private val thresholds = ScoreModel.OPERATING_POINTS.withIndex().associate { (i, point) -> point to i.toDouble() }

    private fun model(leastFreedom: Double) = ScoreModel(-4.0, 0.5, 8.0, 0.35, leastFreedom, thresholds)

    /**
     * Four columns, one row, two filters. By hand, from `docs/how-it-works/scores.md`: of a code that is visible at one
     * place of energy E, only the autocorrelation at lag 0 is not 0, but 1 / 20. Then b is its least value, 1/4, and
     * s = 0: the place has four degrees of freedom.
     */
    private val layout = PhaseCodeLayout(16, 4, 1)

    private fun embedding(learned: FloatArray, vararg code: Pair<Int, Float>) = FloatArray(learned.size + 16).also {
        learned.copyInto(it)
        for ((at, value) in code) it[learned.size + at] = value
    }

    private val fixture = Fixtures.json("scores.json")
    private val vectors =
        fixture.list("embeddings").map { row -> (row as List<*>).map { (it as Number).toFloat() }.toFloatArray() }

    private fun fixtureScorer(wideShare: Double, levelling: Levelling? = null): Scorer {
        val phase = fixture.child("phase")
        val layout = PhaseCodeLayout(phase.size("size"), phase.size("columns"), phase.size("turns"))
        val (offset, slope, weight, from, freedom) =
            listOf("offset", "slope", "learned_weight", "learned_from", "least_freedom").map(fixture.child("score")::number)
        return Scorer(layout, ScoreModel(offset, slope, weight, from, freedom, thresholds, wideShare, levelling))
    }

    @Test
    fun `scores equal those of plain loops in Python`() {
        val templates = vectors.map(fixtureScorer(0.0)::describe)
        val pairs = fixture.children("pairs")
        assertTrue(pairs.size >= 9)
        for (pair in pairs) {
            val wideShare = pair.number("wide_share")
            val (first, second) = listOf("first", "second").map { templates[pair.integer(it, 0).toInt()] }
            val found = fixtureScorer(wideShare).score(first, second)
            assertEquals(pair.number("freedom"), found.freedom, 1e-3)
            assertEquals(pair.number("evidence"), first.code.compare(second.code, wideShare).evidence, 1e-3)
            assertEquals(pair.number("score"), found.value, 2e-3)
            assertNull(found.inconclusive)
        }
    }

    @Test
    fun `scores of levelled codes equal those of plain loops in Python`() {
        val scorer = fixtureScorer(0.25, Levelling.read(fixture.child("levelling")))
        val templates = vectors.map(scorer::describe)
        val pairs = fixture.children("levelled_pairs")
        assertTrue(pairs.size >= 6)
        for (pair in pairs) {
            val (first, second) = listOf("first", "second").map { templates[pair.integer(it, 0).toInt()] }
            val found = scorer.score(first, second)
            assertEquals(pair.number("freedom"), found.freedom, 1e-3)
            assertEquals(pair.number("score"), found.value, 2e-3)
        }
        // Coarseness is that of the codes before.
        assertEquals(fixtureScorer(0.25).describe(vectors[0]).code.coarseness, templates[0].code.coarseness, 1e-12)
    }

    @Test
    fun `a score follows its formula`() {
        // Four degrees of freedom, and K = 2 * sqrt(2) / (2 pi) = 0.45015816.
        val one = embedding(floatArrayOf(0.3f, 0.4f), 0 to 0.6f, 1 to 0.8f)
        val evidence = 4.0 / 2 - ln(0.95015816)
        val scorer = Scorer(layout, model(1.0))
        val (first, second) = listOf(one, embedding(floatArrayOf(0.6f, 0f), 4 to 1.2f, 5 to 1.6f)).map(scorer::describe)
        // Shifted by one column, the code is the same; the learned components' cosine is 0.6.
        assertEquals(-4 + 0.5 * (evidence + 8 * 0.25), scorer.score(first, second).value, 1e-6)
        assertEquals(-4 + 0.5 * (evidence + 8 * 0.25), scorer.score(second, first).value, 1e-6)
        assertEquals(-4 + 0.5 * (evidence + 8 * 0.65), scorer.score(first, first).value, 1e-6)
        assertEquals(4.0, scorer.score(first, second).freedom, 1e-9)
        // A cosine of -0.6 counts nothing.
        val opposite = scorer.describe(embedding(floatArrayOf(-0.6f, 0f), 4 to 1.2f, 5 to 1.6f))
        assertEquals(-4 + 0.5 * evidence, scorer.score(first, opposite).value, 1e-6)
        // Two columns away nothing is seen in both.
        val apart = scorer.describe(embedding(floatArrayOf(0.6f, 0f), 8 to 1f))
        assertEquals(0.0, scorer.score(first, apart).freedom)
        assertEquals(Double.NEGATIVE_INFINITY, scorer.score(first, apart).value)
        assertEquals(-ln(0.95015816), first.code.compare(apart.code).evidence, 1e-6)
    }

    @Test
    fun `images rotated by any angle are found at a price`() {
        // Half of four columns: the only shift beyond those by one column, hence no steps between shifts.
        val learned = floatArrayOf(0.6f)
        val (one, rotated) = listOf(0 to 0.8f, 8 to 0.8f).map { PhaseCode.of(embedding(learned, it), layout) }
        assertEquals(0.0, one.compare(rotated).freedom)
        val found = one.compare(rotated, 0.25)
        assertEquals(4.0 / 2 - ln(0.5 / 0.25), found.evidence, 1e-9)
        // One stranger in a hundred has more evidence, so what both show upright counts: nothing.
        assertEquals(0.0, found.freedom)
        assertEquals(4.0 / 2 - ln(0.95015816 / 0.75), one.compare(one, 0.25).evidence, 1e-6)
    }

    @Test
    fun `what an image and its rotated copy show counts`() {
        val numbers = PseudoRandom(3)
        val wide = PhaseCodeLayout(512, 32, 3)
        val code = FloatArray(512) { numbers.below(201) / 100f - 1 }
        val rotated = FloatArray(512) { code[(it + 256) % 512] } // by half a turn
        val (one, other) = listOf(code, rotated).map { PhaseCode.of(it, wide) }
        assertEquals(one.compare(one, 0.25).freedom, one.compare(other, 0.25).freedom, 1e-9)
        assertTrue(one.compare(other, 0.25).evidence > 20)
        assertTrue(one.compare(other).evidence < 5)
    }

    @Test
    fun `pairs that show too little are inconclusive, with the reason`() {
        val learned = floatArrayOf(0.6f)
        val one = embedding(learned, 0 to 0.8f)
        val apart = embedding(learned, 8 to 0.8f)
        fun problem(leastFreedom: Double, first: FloatArray, second: FloatArray): String? {
            val scorer = Scorer(layout, model(leastFreedom))
            return scorer.score(scorer.describe(first), scorer.describe(second)).inconclusive
        }
        // A place has four degrees of freedom; each template alone needs three quarters of the least number.
        assertNull(problem(4.0, one, one))
        assertTrue("too little in common (4 degrees of freedom, at least 5" in problem(5.0, one, one)!!)
        assertTrue("first image shows too little texture (4 degrees of freedom, at least 6" in problem(8.0, one, one)!!)
        val two = embedding(learned, 0 to 0.8f, 8 to 0.8f)
        assertTrue("second image shows too little texture" in problem(8.0, two, one)!!)
        assertTrue("too little in common (0 degrees" in problem(4.0, one, apart)!!)
        assertNotNull(problem(1.0, embedding(learned), embedding(learned)))
    }

    @Test
    fun `blurred images are refused by the energy of their coarse texture over that of their fine texture`() {
        val scorer = Scorer(layout, model(1.0))
        // Two visible places: the coarse filter has energies 0.64 and 0.36, mean 0.5; the fine one 0.25 or 0.49 at one.
        fun template(fine: Float) =
            scorer.describe(embedding(floatArrayOf(0.6f), 0 to 0.8f, 2 to fine, 5 to 0.6f))
        assertEquals(0.5 / 0.25, template(0.5f).code.coarseness, 1e-6)
        val error = assertThrows(ExtractionException::class.java) { scorer.check(template(0.5f)) }
        assertEquals(
            "The image is blurred (its coarse texture is 2.0 times as strong as its fine texture, at most 1.6 times is " +
                "accepted); use an image in focus.",
            error.message,
        )
        assertEquals(0.5 / 0.49, template(0.7f).code.coarseness, 1e-6)
        scorer.check(template(0.7f))
        // Where a filter sees nothing, there is nothing to compare with.
        assertEquals(0.0, template(0f).code.coarseness)
    }
}
