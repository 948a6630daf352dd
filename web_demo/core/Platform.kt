package org.iristf.core

import kotlin.reflect.KClass

// The counterparts of `android_demo/core`'s `jvm/Platform.kt`.

@JsName("Math")
private external object JavaScriptMath {
    fun fround(value: Double): Float
}

/** Round to float32; JavaScript computes with doubles only. */
internal fun single(value: Double): Float = JavaScriptMath.fround(value)

/** A number with a fixed number of decimals. */
internal fun fixed(value: Double, decimals: Int): String = value.asDynamic().toFixed(decimals).unsafeCast<String>()

/** Kotlin offers the annotation of this name, for callers in Java, only on the JVM. */
@Suppress("unused")
internal annotation class Throws(vararg val exceptions: KClass<out Throwable>)
