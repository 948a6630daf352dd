package org.iristf.core

import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class PresenceTest {
    private val presence = Presence()

    @Test
    fun `an app that was never seen is away`() {
        assertTrue(presence.left)
        presence.reset()
        assertTrue(presence.left)
    }

    @Test
    fun `leaving is remembered until the next row, also after coming back`() {
        presence.seen(true)
        presence.reset()
        assertFalse(presence.left)
        presence.seen(false)
        assertTrue(presence.left)
        presence.seen(true)
        assertTrue(presence.left)
        presence.reset()
        assertFalse(presence.left)
    }

    @Test
    fun `a row that starts while the app is away is marked, and one within which it comes back`() {
        presence.seen(true)
        presence.seen(false)
        presence.reset()
        assertTrue(presence.left)
        presence.seen(true)
        assertTrue(presence.left)
    }
}
