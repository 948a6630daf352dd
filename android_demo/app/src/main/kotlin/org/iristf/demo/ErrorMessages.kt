package org.iristf.demo

import org.iristf.core.EngineException
import org.iristf.core.ExtractionException
import org.iristf.core.ModelException
import java.io.IOException

/** Message for the user about a problem with a model or an image, one sentence; other errors are rethrown. */
fun userMessage(error: Throwable): String = when (error) {
    is EngineException, is ModelException, is ExtractionException -> error.message.orEmpty()
    is OutOfMemoryError -> "The phone does not have enough memory for this; close other apps."
    is IOException -> "The file cannot be read (${firstLine(error)}); choose it again."
    is SecurityException -> "The app is not allowed to read this file; choose it again."
    is RuntimeException -> "The runtime failed (${firstLine(error)})."
    else -> throw error
}

internal fun firstLine(error: Throwable) =
    error.message?.lineSequence()?.firstOrNull()?.trimEnd('.') ?: error.javaClass.simpleName
