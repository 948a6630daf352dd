import { Durations, checkPlan } from 'core'
import { byId, element } from '../page/element'
import type { Machine } from '../page/machine'
import type { Model } from '../page/models'
import { save } from '../page/save'
import { Visibility } from '../page/visibility'
import type { Backend } from '../runtime/engine'
import { buildFor, threadsProblem } from '../runtime/litert'
import { Problem, userMessage } from '../runtime/problem'
import { Runtime } from '../runtime/runtime'
import { histogram } from './histogram'
import { resultCsv, resultJson, type Failure, type Row, type Task } from './latency_result'
import type { Counts } from './measure'

/** A backend that is offered. */
interface Offered {
  readonly backend: Backend
  readonly threads: number
  readonly label: string
}

/** A row to measure. */
interface Planned extends Task {
  readonly model: Model
  readonly backend: Backend
}

/** The section that measures models. */
export class BenchmarkView {
  private readonly visibility = new Visibility()
  private readonly offered: Offered[] = [
    { backend: 'wasm-xnnpack', threads: 1, label: 'WebAssembly, 1 thread' },
  ]
  private models: readonly Model[] = []
  private runtime: Runtime | null = null
  private cancelled = new AbortController()
  private json = ''

  constructor(private readonly machine: Machine) {
    byId('benchmark-form').addEventListener('submit', (event) => {
      event.preventDefault()
      void this.start()
    })
    byId('cancel-benchmark').addEventListener('click', () => { this.cancel() })
    byId('save-json').addEventListener('click', () => { save('latency.json', 'application/json', this.json) })
    byId('save-csv').addEventListener('click', () => { save('latency.csv', 'text/csv', resultCsv(this.json)) })
    void this.offerBackends()
  }

  /** Offer models; those that were chosen stay chosen. */
  offer(models: readonly Model[]): void {
    const place = byId('benchmark-models')
    const unchosen = new Set(this.boxes(place).filter((box) => !box.checked).map((box) => box.value))
    this.models = [...models]
    place.replaceChildren(...models.map(({ file, bytes }) =>
      checkbox(file, `${file} (${(bytes / MIB).toFixed(1)} MiB)`, !unchosen.has(file))))
  }

  private async offerBackends() {
    const problem = await threadsProblem()
    const line = byId('threads-problem')
    line.textContent = problem
    line.hidden = problem === null
    const threads = problem === null ? [2, 4].filter((count) => count === 2 || count <= this.machine.cores) : []
    for (const count of threads) {
      this.offered.push({ backend: 'wasm-xnnpack', threads: count, label: `WebAssembly, ${count} threads` })
    }
    this.offered.push({ backend: 'webgpu', threads: 1, label: 'WebGPU' })
    if ('ml' in navigator) this.offered.push({ backend: 'webnn', threads: 1, label: 'WebNN' })
    byId('backends').replaceChildren(...this.offered.map(({ label }, i) =>
      checkbox(String(i), label, i === 0 || (label === 'WebGPU' && 'gpu' in navigator))))
  }

  private boxes(place: HTMLElement) {
    return [...place.querySelectorAll('input')]
  }

  private cancel() {
    this.cancelled.abort()
    this.runtime?.stop()
  }

  private async start() {
    const status = byId('benchmark-status')
    try {
      const { planned, counts } = this.plan()
      this.busy(true)
      await this.measureAll(planned, counts)
    } catch (error) {
      status.textContent = userMessage(error)
    } finally {
      this.busy(false)
    }
  }

  private plan(): { planned: Planned[]; counts: Counts } {
    const number = (id: string) => byId(id, HTMLInputElement).valueAsNumber
    const counts = { runs: number('runs'), warmup: number('warmup'), initialisations: number('initialisations') }
    checkPlan(new Int32Array([1]), counts.runs, counts.warmup, counts.initialisations)
    const chosen = (id: string) => this.boxes(byId(id)).filter((box) => box.checked).map((box) => box.value)
    const files = new Set(chosen('benchmark-models'))
    const models = this.models.filter(({ file }) => files.has(file))
    const backends = chosen('backends').flatMap((index) => this.offered[Number(index)] ?? [])
    if (models.length === 0) throw new Problem('No model is chosen; choose at least one.')
    if (backends.length === 0) throw new Problem('No backend is chosen; choose at least one.')
    const planned = models.flatMap((model) => backends.map(({ backend, threads }) => ({ model, backend, threads })))
    return { planned, counts }
  }

  private async measureAll(planned: readonly Planned[], counts: Counts) {
    const rows: Row[] = []
    const failures: Failure[] = []
    const place = byId('benchmark-rows')
    place.replaceChildren()
    this.cancelled = new AbortController()
    const { signal } = this.cancelled
    for (const [i, task] of planned.entries()) {
      byId('benchmark-status').textContent = `Row ${i + 1} of ${planned.length}: ${title(task)}`
      try {
        const row = await this.measureRow(task, counts, signal)
        rows.push(row)
        place.append(rowView(row))
      } catch (error) {
        if (signal.aborted) break
        failures.push({ task, reason: userMessage(error) })
        place.append(block(title(task), element('p', { class: 'problem' }, userMessage(error))))
      }
    }
    const done = signal.aborted ? 'Cancelled' : 'Done'
    byId('benchmark-status').textContent = `${done}: ${rows.length} rows, ${failures.length} not measured.`
    if (rows.length > 0) this.json = resultJson(this.machine, rows, failures, new Date())
    byId('exports').hidden = rows.length === 0
  }

  /** Each row has a worker of its own, so that no row inherits memory of another. */
  private async measureRow(task: Planned, counts: Counts, signal: AbortSignal): Promise<Row> {
    const progress = byId('benchmark-progress', HTMLProgressElement)
    progress.value = 0
    const model = await task.model.read()
    this.runtime = await Runtime.start(buildFor(task))
    try {
      signal.throwIfAborted()
      this.visibility.reset()
      const place = { backend: task.backend, threads: task.threads }
      const measured = await this.runtime.run('measure', [{ model, place, counts }], (done, total) => {
        progress.value = done / total
      })
      return { task, measured, invalid: this.visibility.invalid() }
    } finally {
      this.runtime.stop()
      this.runtime = null
    }
  }

  private busy(busy: boolean) {
    byId('start-benchmark', HTMLButtonElement).disabled = busy
    byId('cancel-benchmark', HTMLButtonElement).disabled = !busy
    byId('benchmark-progress').hidden = !busy
  }
}

const MIB = 2 ** 20

function checkbox(value: string, label: string, checked: boolean) {
  return element('label', { class: 'choice' }, element('input', { type: 'checkbox', value, checked }), label)
}

function title({ model, backend, threads }: Task) {
  return `${model.file} · ${backend} · ${threads === 1 ? '1 thread' : `${threads} threads`}`
}

function block(heading: string, ...children: Node[]) {
  return element('article', { class: 'row' }, element('h3', {}, heading), ...children)
}

function rowView({ task, measured, invalid }: Row) {
  const median = (samples: number[]) => milliseconds(new Durations(Float64Array.from(samples)).median)
  const inference = new Durations(Float64Array.from(measured.inference))
  const lines: Node[] = []
  if (invalid !== null) lines.push(element('p', { class: 'problem' }, `Invalid: ${invalid}`))
  if (measured.fallback !== null) {
    lines.push(element('p', { class: 'warning' }, `Ran on ${measured.backend}. ${measured.fallback}`))
  }
  const figures: [string, string][] = [
    ['initialisation', median(measured.init)], ['first', median(measured.first)],
    ['warm-up', measured.warmup.length > 0 ? median(measured.warmup) : 'none'], ['n', String(inference.count)],
    ['minimum', milliseconds(inference.min)], ['median', milliseconds(inference.median)], ['mean', milliseconds(inference.mean)],
    ['p90', milliseconds(inference.p90)], ['p95', milliseconds(inference.p95)], ['p99', milliseconds(inference.p99)],
    ['standard deviation', milliseconds(inference.standardDeviation)],
  ]
  const list = element('dl', { class: 'figures' }, ...figures.map(([name, figure]) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, figure))))
  return block(title(task), ...lines, list, histogram(inference))
}

const milliseconds = (value: number) => `${value.toFixed(2)} ms`
