package org.iristf.core

/** Invalid JSON, or JSON without an expected field; the message is one sentence. */
class JsonException(message: String) : Exception(message)

/**
 * JSON (RFC 8259) as Kotlin values: [Map] in the order of its keys, [List], [String], [Long] for
 * numbers without fraction and exponent, [Double] for other numbers, [Boolean], null.
 */
object Json {
    private const val MAX_DEPTH = 100

    /** Parse a complete document. */
    @Throws(JsonException::class)
    fun parse(text: String): Any? = Parser(text).document()

    /** Serialise a value of a type that [parse] returns, or an [Int] or [Float]. */
    fun write(value: Any?, indent: Int = 2): String =
        StringBuilder().also { writeValue(it, value, indent, 0) }.append('\n').toString()

    private fun writeValue(out: StringBuilder, value: Any?, indent: Int, depth: Int) {
        when (value) {
            null -> out.append("null")
            is String -> writeString(out, value)
            is Boolean, is Int, is Long -> out.append(value)
            is Double -> out.append(finite(value))
            is Float -> out.append(finite(value.toDouble()))
            is Map<*, *> -> writeItems(out, '{', '}', value.entries, indent, depth) { (key, item) ->
                writeString(out, key as String)
                out.append(": ")
                writeValue(out, item, indent, depth + 1)
            }
            is List<*> -> writeItems(out, '[', ']', value, indent, depth) { item ->
                writeValue(out, item, indent, depth + 1)
            }
            else -> throw IllegalArgumentException("JSON cannot represent a ${value::class.simpleName}.")
        }
    }

    private fun <T> writeItems(
        out: StringBuilder, open: Char, close: Char, items: Collection<T>, indent: Int,
        depth: Int, writeItem: (T) -> Unit,
    ) {
        out.append(open)
        // Lists of numbers are kept on one line: a result holds thousands of them.
        val lines = items.any { it !is Number }
        items.forEachIndexed { i, item ->
            if (i > 0) out.append(if (lines) "," else ", ")
            if (lines) out.append('\n').append(" ".repeat(indent * (depth + 1)))
            writeItem(item)
        }
        if (lines) out.append('\n').append(" ".repeat(indent * depth))
        out.append(close)
    }

    private fun finite(value: Double): Double {
        require(value.isFinite()) { "JSON cannot represent $value." }
        return value
    }

    private fun writeString(out: StringBuilder, text: String) {
        out.append('"')
        for (c in text) {
            when {
                c == '"' || c == '\\' -> out.append('\\').append(c)
                c == '\n' -> out.append("\\n")
                c < ' ' || c.isSurrogate() -> out.append("\\u").append(hexadecimal(c))
                else -> out.append(c)
            }
        }
        out.append('"')
    }

    private fun hexadecimal(c: Char) = c.code.toString(16).padStart(4, '0')

    private class Parser(private val text: String) {
        private var at = 0

        fun document(): Any? {
            val value = value(0)
            skipSpace()
            if (at < text.length) throw problem("text follows the end of the document")
            return value
        }

        private fun value(depth: Int): Any? {
            if (depth > MAX_DEPTH) throw problem("it is nested too deeply")
            skipSpace()
            return when (peek()) {
                '{' -> members(depth)
                '[' -> elements(depth)
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        private fun members(depth: Int): Map<String, Any?> {
            val result = LinkedHashMap<String, Any?>()
            sequence('}') {
                if (peek() != '"') throw problem("a quoted name is missing")
                val name = string()
                skipSpace()
                expect(':')
                result[name] = value(depth + 1)
            }
            return result
        }

        private fun elements(depth: Int): List<Any?> {
            val result = ArrayList<Any?>()
            sequence(']') { result.add(value(depth + 1)) }
            return result
        }

        private fun sequence(close: Char, item: () -> Unit) {
            at++
            skipSpace()
            if (peek() == close) {
                at++
                return
            }
            while (true) {
                skipSpace()
                item()
                skipSpace()
                if (peek() == close) break
                expect(',')
            }
            at++
        }

        private fun string(): String {
            val result = StringBuilder()
            at++
            while (true) {
                val c = next()
                when {
                    c == '"' -> return result.toString()
                    c == '\\' -> result.append(escape())
                    c < ' ' -> throw problem("a string contains a control character")
                    else -> result.append(c)
                }
            }
        }

        private fun escape(): Char = when (val c = next()) {
            '"', '\\', '/' -> c
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                val digits = text.substring(at, minOf(at + 4, text.length))
                val code = digits.takeIf { it.length == 4 && it.all(::isHexadecimal) }
                    ?: throw problem("\\u needs four hexadecimal digits")
                at += 4
                code.toInt(16).toChar()
            }
            else -> throw problem("\\$c is not an escape sequence")
        }

        private fun isHexadecimal(c: Char) = c in '0'..'9' || c in 'a'..'f' || c in 'A'..'F'

        private fun number(): Number {
            val match = NUMBER.matchAt(text, at) ?: throw problem("a value is missing")
            val digits = match.value
            at += digits.length
            if (match.groups[1] == null) digits.toLongOrNull()?.let { return it }
            val number = digits.toDouble()
            if (!number.isFinite()) throw problem("$digits is too large")
            return number
        }

        private fun <T> word(word: String, value: T): T {
            if (!text.startsWith(word, at)) throw problem("a value is missing")
            at += word.length
            return value
        }

        private fun skipSpace() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun peek() = if (at < text.length) text[at] else throw problem("it ends too early")

        private fun next() = peek().also { at++ }

        private fun expect(c: Char) {
            if (peek() != c) throw problem("'$c' is missing")
            at++
        }

        private fun problem(what: String): JsonException {
            val line = text.substring(0, minOf(at, text.length)).count { it == '\n' } + 1
            return JsonException("Invalid JSON in line $line: $what.")
        }
    }

    private val NUMBER = Regex("""-?(?:0|[1-9][0-9]*)(\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)?""")
}

/** An object within a JSON document, with its path for error messages. */
class JsonObject(private val values: Map<*, *>, private val path: String) {
    val names: Set<String> get() = values.keys.mapTo(LinkedHashSet()) { it as String }

    fun has(name: String) = name in values

    fun isNull(name: String) = get(name) == null

    /** A value of any kind, as [Json.parse] gives it. */
    fun value(name: String): Any? = get(name)

    fun text(name: String): String =
        (get(name) as? String)?.takeIf { it.isNotEmpty() } ?: throw wrong(name, "a non-empty string")

    fun integer(name: String, least: Long): Long =
        (get(name) as? Long)?.takeIf { it >= least } ?: throw wrong(name, "an integer of at least $least")

    /** A number of pixels or entries; a few digits could ask for any amount of memory. */
    fun size(name: String): Int =
        integer(name, 1).takeIf { it <= MOST }?.toInt() ?: throw wrong(name, "an integer of 1 to $MOST")

    fun number(name: String): Double =
        (get(name) as? Number)?.toDouble() ?: throw wrong(name, "a number")

    fun flag(name: String): Boolean = get(name) as? Boolean ?: throw wrong(name, "true or false")

    fun child(name: String): JsonObject =
        (get(name) as? Map<*, *>)?.let { JsonObject(it, "$path$name.") } ?: throw wrong(name, "an object")

    fun list(name: String): List<Any?> = get(name) as? List<*> ?: throw wrong(name, "a list")

    fun children(name: String): List<JsonObject> = list(name).mapIndexed { i, item ->
        JsonObject(
            item as? Map<*, *> ?: throw JsonException("$path$name[$i] is not an object."), "$path$name[$i].",
        )
    }

    fun texts(name: String): List<String> =
        list(name).map { it as? String ?: throw wrong(name, "a list of strings") }

    fun integers(name: String, least: Long): List<Long> = list(name).map {
        (it as? Long)?.takeIf { number -> number >= least }
            ?: throw wrong(name, "a list of integers of at least $least")
    }

    fun numbers(name: String): List<Double> =
        list(name).map { (it as? Number)?.toDouble() ?: throw wrong(name, "a list of numbers") }

    /** Refuse fields with other names: they may change what the known ones mean. */
    fun refuseOthers(known: Collection<String>) {
        (names - known.toSet()).firstOrNull()?.let {
            throw JsonException("$path$it is a field that this program does not know; use a newer version of the app.")
        }
    }

    /** The exception for a field whose value is not [expected]. */
    fun wrong(name: String, expected: String): JsonException =
        JsonException("$path$name is ${brief(values[name])}, not $expected.")

    private fun get(name: String): Any? =
        if (name in values) values[name] else throw JsonException("$path$name is missing.")

    private fun brief(value: Any?) = when (value) {
        is Map<*, *> -> "an object"
        is List<*> -> "a list"
        is String -> "\"${value.take(40)}\""
        else -> value.toString()
    }

    companion object {
        const val MOST = 1 shl 16

        /** Parse a document whose root must be an object. */
        @Throws(JsonException::class)
        fun parse(text: String): JsonObject = JsonObject(
            Json.parse(text) as? Map<*, *> ?: throw JsonException("The JSON document is not an object."), "",
        )
    }
}
