package org.iristf.core

/** Monotonic time in nanoseconds. */
fun interface Clock {
    fun nanoseconds(): Long
}
