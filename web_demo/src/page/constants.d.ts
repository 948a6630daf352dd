/** Version of the project. */
declare const __VERSION__: string

/** Version of @litertjs/core. */
declare const __LITERT_VERSION__: string
