import type { LiteRt } from '@litertjs/core'
import { checkModelFile, checkSignature } from 'core'
import { NO_MEMORY, Problem, firstLine, isOutOfMemory } from './problem'

/** Names of backends in results. */
export type Backend = 'wasm-xnnpack' | 'webgpu' | 'webnn'

/** Key of the signature that every model has. */
export const DEFAULT_SIGNATURE = 'serving_default'

/** Key of the segmenter's signature for whole images. */
export const WHOLE = 'whole'

/** A model file with its content. */
export interface ModelContent {
  readonly file: string
  readonly content: Uint8Array<ArrayBuffer>
}

/** One signature of a loaded model, with one float32 input and one float32 output. */
export interface Engine {
  /** Where the model runs, which may differ from where it was to run; both places where it is divided. */
  readonly backend: string
  /** Why it does not run where it was to run; null if it does. */
  readonly fallback: string | null
  readonly inputShape: Int32Array
  readonly outputShape: Int32Array
  fill(input: Float32Array): void
  /** Run one inference on the input; resolves when the output can be read. */
  invoke(): Promise<void>
  output(): Float32Array
  close(): void
}

type Wasm = LiteRt['liteRtWasm']
type WasmModel = ReturnType<Wasm['loadModel']>
type WasmTensorType = ReturnType<WasmModel['getInputTensorType']>

/** A model on the CPU, whose inferences return when they are done. */
export class CpuModel {
  private constructor(
    private readonly wasm: Wasm,
    private readonly environment: ReturnType<LiteRt['getDefaultEnvironment']>['liteRtEnvironment'],
    private readonly model: WasmModel,
    private readonly compiled: Awaited<ReturnType<Wasm['compileModel']>>,
    private readonly memory: number,
  ) {}

  /** Load a model, and prepare it for inferences on a number of threads. */
  static async open(liteRt: LiteRt, { file, content }: ModelContent, threads: number): Promise<CpuModel> {
    checkModelFile(file, new Int8Array(content.buffer, content.byteOffset, content.length))
    const wasm = liteRt.liteRtWasm
    const environment = liteRt.getDefaultEnvironment()
    const memory = wasm._malloc(content.length)
    if (memory === 0) throw new Problem(NO_MEMORY)
    wasm.HEAPU8.set(content, memory)
    const options = { environment, accelerator: 'wasm', cpuOptions: { numThreads: threads }, gpuOptions: {}, webNNOptions: {} } as const
    try {
      const model = wasm.loadModel(environment.liteRtEnvironment, memory, content.length)
      const compiled = await wasm.compileModel(environment.liteRtEnvironment, model, options)
      return new CpuModel(wasm, environment.liteRtEnvironment, model, compiled, memory)
    } catch (error) {
      wasm._free(memory)
      throw cannotRun(file, error)
    }
  }

  /** One of the model's signatures. */
  signature(key: string): CpuSignature {
    const count = this.model.getNumSignatures()
    for (let index = 0; index < count; index++) {
      const signature = this.model.getSignature(index)
      const found = signature.key() === key
      const inputs = names(signature.inputNames())
      const outputs = names(signature.outputNames())
      signature.delete()
      if (found) return this.checked(key, index, inputs, outputs)
    }
    checkSignature(key, [], [], true, new Int32Array()) // which says what such models are
    throw new Problem(`The model has no signature ${key}.`)
  }

  private checked(key: string, index: number, inputs: string[], outputs: string[]): CpuSignature {
    if (inputs.length !== 1 || outputs.length !== 1) checkSignature(key, inputs, outputs, true, new Int32Array())
    const inputType = this.model.getInputTensorType(index, 0)
    const outputType = this.model.getOutputTensorType(index, 0)
    const inputShape = shape(inputType)
    const float32 = [inputType, outputType].every((type) => type.elementType().value === FLOAT32)
    checkSignature(key, inputs, outputs, float32, inputShape)
    const { LiteRtTensorBuffer, LiteRtTensorBufferType } = this.wasm
    const bytes = inputShape.reduce((product, side) => product * side, Float32Array.BYTES_PER_ELEMENT)
    const input = LiteRtTensorBuffer.createManaged(this.environment, LiteRtTensorBufferType.HOST_MEMORY, inputType, bytes)
    return new CpuSignature(this.wasm, this.compiled, index, input, inputShape, shape(outputType))
  }

  close(): void {
    this.compiled.delete()
    this.model.delete()
    this.wasm._free(this.memory)
  }
}

/** One signature of a model on the CPU. */
export class CpuSignature {
  private result: ReturnType<Wasm['LiteRtTensorBuffer']['createManaged']> | null = null

  constructor(
    private readonly wasm: Wasm,
    private readonly compiled: Awaited<ReturnType<Wasm['compileModel']>>,
    private readonly index: number,
    private readonly input: ReturnType<Wasm['LiteRtTensorBuffer']['createManaged']>,
    readonly inputShape: Int32Array,
    readonly outputShape: Int32Array,
  ) {}

  fill(input: Float32Array): void {
    const start = this.input.lock(this.wasm.LiteRtTensorBufferLockMode.WRITE)
    new Float32Array(this.wasm.HEAPU8.buffer, start, input.length).set(input)
    this.input.unlock()
  }

  /** Run one inference; only the build `partial` returns a promise. */
  invoke(): void | Promise<void> {
    this.result?.delete()
    this.result = null
    const results = this.compiled.run(this.index, [this.input])
    if (results instanceof Promise) return results.then(([result]) => { this.result = result ?? null })
    this.result = results[0] ?? null
  }

  output(): Float32Array {
    if (!this.result) throw new Problem('The model gave no output; export it again.')
    const length = this.outputShape.reduce((product, side) => product * side, 1)
    const start = this.result.lock(this.wasm.LiteRtTensorBufferLockMode.READ)
    const values = new Float32Array(this.wasm.HEAPU8.buffer, start, length).slice()
    this.result.unlock()
    return values
  }

  /** Copy the input, run, and copy the output; not in the build `partial`. */
  readonly infer = (input: Float32Array): Float32Array => {
    this.fill(input)
    void this.invoke()
    return this.output()
  }

  close(): void {
    this.result?.delete()
    this.input.delete()
  }
}

/** LiteRT throws the addresses of C++ exceptions, or errors whose first line says little. */
function cannotRun(file: string, error: unknown): Problem {
  const reason = error instanceof Error ? ` (${firstLine(error)})` : ''
  return isOutOfMemory(error)
    ? new Problem(NO_MEMORY)
    : new Problem(`LiteRT cannot run ${file}${reason}; it is damaged, or has operators that LiteRT lacks in browsers.`)
}

const FLOAT32 = 1 // LiteRT's ElementType

function names(vector: { size(): number; get(index: number): string; delete(): void }): string[] {
  const found = Array.from({ length: vector.size() }, (_, i) => vector.get(i))
  vector.delete()
  return found
}

function shape(type: WasmTensorType): Int32Array {
  const layout = type.layout()
  const dimensions = layout.dimensions()
  const found = Int32Array.from({ length: dimensions.size() }, (_, i) => dimensions.get(i))
  dimensions.delete()
  layout.delete()
  return found
}
