import { Problem } from './problem'
import type { Build } from './litert'
import type { Jobs, Progressed, Request, Response } from './protocol'

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
  readonly progressed: Progressed | null
}

/** A worker with LiteRT, to which the page gives jobs. */
export class Runtime {
  private readonly worker = new Worker(new URL('./worker.ts', import.meta.url))
  private readonly waiting = new Map<number, Waiting>()
  private last = 0

  constructor() {
    this.worker.addEventListener('message', ({ data }: MessageEvent<Response>) => { this.receive(data) })
    this.worker.addEventListener('error', (event) => {
      this.fail(`The runtime failed (${event.message || 'its worker cannot be started'}).`)
    })
  }

  /** Start a worker with LiteRT. */
  static async start(build: Build): Promise<Runtime> {
    const runtime = new Runtime()
    try {
      await runtime.run('load', [build, new URL(import.meta.env.BASE_URL, location.href).href])
    } catch (error) {
      runtime.stop()
      throw error
    }
    return runtime
  }

  /** Run a job; rejects with a `Problem`. */
  run<Job extends keyof Jobs>(
    job: Job, input: Parameters<Jobs[Job]>, progressed: Progressed | null = null,
  ): Promise<Awaited<ReturnType<Jobs[Job]>>> {
    const id = ++this.last
    const request: Request = { id, job, input }
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (result: unknown) => void, reject, progressed })
      this.worker.postMessage(request)
    })
  }

  /** End the worker and free its memory; jobs that were running fail. */
  stop(): void {
    this.worker.terminate()
    this.fail('It was cancelled.')
  }

  private fail(message: string) {
    for (const { reject } of this.waiting.values()) reject(new Problem(message))
    this.waiting.clear()
  }

  private receive(response: Response) {
    const waiting = this.waiting.get(response.id)
    if (!waiting) return
    if ('total' in response) {
      waiting.progressed?.(response.done, response.total)
      return
    }
    this.waiting.delete(response.id)
    if ('problem' in response) waiting.reject(new Problem(response.problem))
    else waiting.resolve(response.result)
  }
}
