package org.iristf.core

/**
 * Records whether the app left the foreground, where the system may slow it down. Updated on the UI
 * thread, queried on the measuring thread.
 */
class ForegroundMonitor {
    @Volatile
    private var inForeground = false

    /** Whether the app was out of the foreground at any time since [reset]. */
    @Volatile
    var interrupted = true
        private set

    fun update(inForeground: Boolean) {
        this.inForeground = inForeground
        if (!inForeground) interrupted = true
    }

    fun reset() {
        interrupted = false
        // In this order, or an update between the two statements would be lost.
        if (!inForeground) interrupted = true
    }
}
