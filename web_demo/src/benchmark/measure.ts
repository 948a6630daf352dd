import type { Engine } from '../runtime/engine'

/** How often a row is measured. */
export interface Counts {
  readonly initialisations: number
  readonly warmup: number
  readonly runs: number
}

/** Durations of a row in milliseconds, and where it ran. */
export interface Measured {
  readonly init: number[]
  readonly first: number[]
  readonly warmup: number[]
  readonly inference: number[]
  readonly backend: string
  readonly fallback: string | null
}

/**
 * Measure one row, as the app's `Benchmark` does: time the creation and the first inference of fresh
 * engines, then create one more for warm-up and the measured inferences. It is written a second time
 * because the results of WebGPU and WebNN have to be awaited.
 *
 * @param open creates a fresh engine
 * @param now milliseconds of a monotonic clock
 * @param progressed called after each initialisation and inference
 */
export async function measure(
  open: () => Promise<Engine>, counts: Counts, now: () => number, progressed: (done: number, total: number) => void,
): Promise<Measured> {
  const total = 2 * counts.initialisations + counts.warmup + counts.runs
  let done = 0
  let input: Float32Array | null = null
  const infer = async (engine: Engine) => {
    input ??= noise(engine.inputShape)
    // Filled before every inference: the runtime may reuse the input's memory for other tensors.
    engine.fill(input)
    const start = now()
    await engine.invoke()
    const duration = now() - start
    progressed(++done, total)
    return duration
  }
  const init: number[] = []
  const first: number[] = []
  for (let i = 0; i < counts.initialisations; i++) {
    const start = now()
    const engine = await open()
    init.push(now() - start)
    progressed(++done, total)
    try {
      first.push(await infer(engine))
    } finally {
      engine.close()
    }
  }
  const engine = await open()
  try {
    const repeat = async (count: number) => {
      const durations: number[] = []
      for (let i = 0; i < count; i++) durations.push(await infer(engine))
      return durations
    }
    const warmup = await repeat(counts.warmup)
    const inference = await repeat(counts.runs)
    return { init, first, warmup, inference, backend: engine.backend, fallback: engine.fallback }
  } finally {
    engine.close()
  }
}

/** Grey levels 0..255 that look random, always the same. */
export function noise(shape: Int32Array): Float32Array {
  let state = 1
  return Float32Array.from({ length: shape.reduce((product, side) => product * side, 1) }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 16) & 0xff
  })
}
