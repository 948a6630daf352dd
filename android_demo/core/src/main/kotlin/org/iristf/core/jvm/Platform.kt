package org.iristf.core

import java.util.Locale

// What Kotlin computes differently on the JVM and in JavaScript; `web_demo/core` has the counterparts.

/** Round to float32. */
internal fun single(value: Double): Float = value.toFloat()

/** A number with a fixed number of decimals. */
internal fun fixed(value: Double, decimals: Int): String = "%.${decimals}f".format(Locale.ROOT, value)
