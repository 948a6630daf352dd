package org.iristf.core

import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class ForegroundMonitorTest {
    private val foreground = ForegroundMonitor()

    @Test
    fun `an app that was never in the foreground counts as interrupted`() {
        assertTrue(foreground.interrupted)
        foreground.reset()
        assertTrue(foreground.interrupted)
    }

    @Test
    fun `an interruption is remembered until the next row, also after the app has returned`() {
        foreground.update(true)
        foreground.reset()
        assertFalse(foreground.interrupted)
        foreground.update(false)
        assertTrue(foreground.interrupted)
        foreground.update(true)
        assertTrue(foreground.interrupted)
        foreground.reset()
        assertFalse(foreground.interrupted)
    }

    @Test
    fun `a row that starts in the background counts as interrupted, even if the app returns`() {
        foreground.update(true)
        foreground.update(false)
        foreground.reset()
        assertTrue(foreground.interrupted)
        foreground.update(true)
        assertTrue(foreground.interrupted)
    }
}
