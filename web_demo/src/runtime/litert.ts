import { loadLiteRt, supportsFeature, type LiteRt } from '@litertjs/core'
import { fetchCompressed } from './fetch_file'
import type { Place } from './open_engine'
import { Problem } from './problem'

/** Builds of LiteRT's WebAssembly; `partial` can run some operators on an accelerator and the rest on the CPU. */
export type Build = 'single' | 'threads' | 'partial'

/**
 * The build that runs models on a backend.
 *
 * Where a browser can suspend WebAssembly (JSPI), LiteRT divides models between accelerator and CPU, for which it needs
 * the build `partial`; the others would fail. Elsewhere it runs models on an accelerator as a whole or not at all.
 */
export function buildFor({ backend, threads }: Place): Build {
  if (backend !== 'wasm-xnnpack') return 'Suspending' in WebAssembly ? 'partial' : 'single'
  return threads > 1 ? 'threads' : 'single'
}

const SIMD_CHECK = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
])

/** LiteRT reads the options of its loader from this global variable. */
declare global {
  var Module: { wasmBinary: ArrayBuffer; mainScriptUrlOrBlob: string; printErr: (line: string) => void } | undefined
}

/**
 * Load LiteRT in this worker.
 *
 * @param base address of the page's files, ending in a slash
 */
export async function load(build: Build, base: string): Promise<LiteRt> {
  if (typeof WebAssembly !== 'object' || !WebAssembly.validate(SIMD_CHECK)) {
    throw new Problem('This browser has no WebAssembly with SIMD, which the models need; update it, or use another one.')
  }
  const file = await fileOf(build)
  const script = new URL(`litert/${file}.js`, base).href
  globalThis.Module = {
    wasmBinary: await fetchCompressed(new URL(`litert/${file}.wasm.gz`, base)),
    mainScriptUrlOrBlob: script,
    printErr: console.debug, // it logs all that it does as errors
  }
  return loadLiteRt(script)
}

/** Name of the files of a build, as LiteRT's own loader chooses them for this browser. */
async function fileOf(build: Build): Promise<string> {
  if (build === 'partial') return 'litert_wasm_jspi_internal'
  if (!(await supportsFeature('relaxedSimd'))) return 'litert_wasm_compat_internal'
  return build === 'threads' ? 'litert_wasm_threaded_internal' : 'litert_wasm_internal'
}

/** Whether LiteRT can run on several threads, and if not, why. */
export async function threadsProblem(): Promise<string | null> {
  if (!globalThis.isSecureContext) {
    return 'Only one thread: browsers offer more only to pages opened over HTTPS or from this device itself.'
  }
  if (!globalThis.crossOriginIsolated) {
    return 'Only one thread: the server does not send the headers of cross-origin isolation (COOP and COEP).'
  }
  if (!(await supportsFeature('relaxedSimd'))) return 'Only one thread: this browser has no WebAssembly with relaxed SIMD.'
  if (!(await supportsFeature('threads'))) return 'Only one thread: this browser has no WebAssembly threads.'
  return null
}
