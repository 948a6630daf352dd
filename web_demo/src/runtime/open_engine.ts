import { Tensor, type CompiledModel, type LiteRt, type SignatureRunner } from '@litertjs/core'
import { checkModelFile, checkSignature } from 'core'
import { CpuModel, DEFAULT_SIGNATURE, type Backend, type Engine, type ModelContent } from './engine'
import { Problem, firstLine } from './problem'

/** Where a model is to run; only the CPU takes more than one thread. */
export interface Place {
  readonly backend: Backend
  readonly threads: number
}

/**
 * Open a model's default signature on a backend, or, where that cannot run it, on the CPU, with the
 * reason in `fallback`.
 */
export async function openEngine(liteRt: LiteRt, model: ModelContent, place: Place): Promise<Engine> {
  if (place.backend === 'wasm-xnnpack') return onCpu(liteRt, model, place.threads, null)
  const missing = missingFor(liteRt, place.backend)
  if (missing !== null) return onCpu(liteRt, model, 1, missing)
  checkModelFile(model.file, new Int8Array(model.content.buffer, model.content.byteOffset, model.content.length))
  const accelerator = place.backend
  let compiled: CompiledModel
  try {
    compiled = await liteRt.loadAndCompile(model.content, { accelerator })
  } catch (error) {
    return onCpu(liteRt, model, 1, `${NAMES[accelerator]} cannot run this model (${error instanceof Error ? firstLine(error) : String(error)}).`)
  }
  const lacking = `${NAMES[accelerator]} cannot run all of this model's operators`
  // LiteRT itself falls back where it cannot divide a model.
  if (compiled.options.accelerator !== accelerator) {
    compiled.delete()
    return onCpu(liteRt, model, 1, `${lacking}.`)
  }
  return compiled.isFullyAccelerated
    ? new AcceleratedEngine(compiled, accelerator, null)
    : new AcceleratedEngine(compiled, `${accelerator}+wasm-xnnpack`, `${lacking}; the others ran on the CPU.`)
}

const NAMES = { webgpu: 'WebGPU', webnn: 'WebNN' }

function missingFor(liteRt: LiteRt, backend: 'webgpu' | 'webnn'): string | null {
  if (backend === 'webnn') return 'ml' in navigator ? null : 'This browser has no WebNN.'
  if (liteRt.getWebGpuDevice()) return null
  if ('gpu' in navigator) return 'WebGPU found no GPU that it can use.'
  return globalThis.isSecureContext
    ? 'This browser has no WebGPU.'
    : 'Browsers offer WebGPU only to pages opened over HTTPS or from this device itself.'
}

async function onCpu(liteRt: LiteRt, content: ModelContent, threads: number, fallback: string | null): Promise<Engine> {
  const model = await CpuModel.open(liteRt, content, threads)
  const signature = model.signature(DEFAULT_SIGNATURE)
  return {
    backend: 'wasm-xnnpack',
    fallback,
    inputShape: signature.inputShape,
    outputShape: signature.outputShape,
    fill: (input) => { signature.fill(input) },
    invoke: async () => { await signature.invoke() },
    output: () => signature.output(),
    close: () => {
      signature.close()
      model.close()
    },
  }
}

/** A model on WebGPU or WebNN, or divided between one of them and the CPU. */
class AcceleratedEngine implements Engine {
  readonly inputShape: Int32Array
  readonly outputShape: Int32Array
  private readonly signature: SignatureRunner
  private input: Tensor | null = null
  private result: Float32Array | null = null

  constructor(private readonly model: CompiledModel, readonly backend: string, readonly fallback: string | null) {
    const signature = model.signatures[DEFAULT_SIGNATURE]
    const inputs = signature?.getInputDetails() ?? []
    const outputs = signature?.getOutputDetails() ?? []
    const shape = inputs[0]?.shape ?? new Int32Array()
    const float32 = [...inputs, ...outputs].every((tensor) => tensor.dtype === 'float32')
    checkSignature(DEFAULT_SIGNATURE, inputs.map((tensor) => tensor.name), outputs.map((tensor) => tensor.name), float32, shape)
    if (!signature) throw new Problem(`The model has no signature ${DEFAULT_SIGNATURE}.`)
    this.signature = signature
    this.inputShape = shape
    this.outputShape = outputs[0]?.shape ?? new Int32Array()
  }

  fill(input: Float32Array): void {
    this.input?.delete()
    this.input = new Tensor(input, this.inputShape)
  }

  /** The output is copied from the accelerator: only then is it known that the inference is done. */
  async invoke(): Promise<void> {
    if (!this.input) throw new Problem('The model has no input yet.')
    const outputs = await this.signature.run([this.input])
    this.result = (await outputs[0]?.data()) as Float32Array | undefined ?? null
    for (const output of outputs) output.delete()
  }

  output(): Float32Array {
    if (!this.result) throw new Problem('The model gave no output; export it again.')
    return this.result
  }

  close(): void {
    this.input?.delete()
    this.model.delete()
  }
}
