package org.iristf.core

import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class SignatureTest {
    @Test
    fun `signatures of recognition models and segmenters are accepted`() {
        Signature.checkNames("serving_default", listOf("roi"), listOf("embedding"))
        Signature.checkNames("serving_default", listOf("image"), listOf("masks"))
        Signature.checkNames("whole", listOf("image"), listOf("masks"))
        Signature.checkTensors(true, listOf(1, 64, 512, 1))
    }

    @Test
    fun `other names are rejected with a message`() {
        for ((inputs, outputs) in listOf(
            emptyList<String>() to emptyList(), // no such signature
            listOf("roi") to listOf("masks"),
            listOf("image") to listOf("logits"),
            listOf("input") to listOf("embedding"),
            listOf("roi", "image") to listOf("embedding"),
            listOf("image") to listOf("masks", "embedding"),
        )) {
            for ((signature, known) in listOf(
                Signature.KEY to "serving_default from roi to embedding or from image to masks",
                Signature.WHOLE to "whole from image to masks",
            )) {
                val error = assertThrows(
                    EngineException::class.java, { Signature.checkNames(signature, inputs, outputs) }, "$inputs",
                )
                assertTrue("has no signature $known; choose" in error.message!!, error.message)
            }
        }
        assertThrows(EngineException::class.java) { Signature.checkNames("whole", listOf("roi"), listOf("embedding")) }
    }

    @Test
    fun `inputs other than one grey float32 image are rejected with a message`() {
        for (shape in listOf(listOf(1, 64, 512, 3), listOf(2, 64, 512, 1), listOf(1, 64, 512), emptyList())) {
            val error = assertThrows(EngineException::class.java) { Signature.checkTensors(true, shape) }
            assertTrue("input is $shape, not one grey image" in error.message!!, error.message)
        }
        val error = assertThrows(EngineException::class.java) { Signature.checkTensors(false, listOf(1, 64, 512, 1)) }
        assertTrue("not float32" in error.message!!, error.message)
    }
}
