package org.iristf.core

/** Whether the app went out of sight; the screen's thread tells it, the one that measures asks. */
class Presence {
    @Volatile
    private var visible = false

    /** Whether the app was out of sight at any time since [reset]. */
    @Volatile
    var left = true
        private set

    fun seen(seen: Boolean) {
        visible = seen
        if (!seen) left = true
    }

    fun reset() {
        left = false
        // In this order, or leaving between the two would be forgotten.
        if (!visible) left = true
    }
}
