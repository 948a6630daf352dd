package org.iristf.core

import java.util.Locale

// What Kotlin computes differently on the JVM and in JavaScript; `web_demo/core` has the counterparts.

/** Round to float32. */
internal fun single(value: Double): Float = value.toFloat()

/** A number with two decimals. */
internal fun hundredths(value: Double): String = String.format(Locale.ROOT, "%.2f", value)
