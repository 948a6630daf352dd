import { Durations, Result } from 'core'
import type { Machine } from '../page/machine'
import type { Measured } from './measure'

/** What a row was to measure. */
export interface Task {
  readonly model: { readonly file: string; readonly sha256: string; readonly bytes: number }
  readonly backend: string
  readonly threads: number
}

/** A measured row; `invalid` says why its times must not be used. */
export interface Row {
  readonly task: Task
  readonly measured: Measured
  readonly invalid: string | null
}

/** A row that could not be measured. */
export interface Failure {
  readonly task: Task
  readonly reason: string
}

/** A result in the schema of `iris_tf/benchmark/schema.py`, as JSON, checked by the app's own reader. */
export function resultJson(machine: Machine, rows: readonly Row[], failures: readonly Failure[], created: Date): string {
  const json = `${JSON.stringify({
    schema: 'iris_tf.latency',
    schema_version: 1,
    created: created.toISOString().replace(/\.\d+Z$/, 'Z'),
    created_by: `iris_tf web_demo ${__VERSION__}`,
    runtime: `LiteRT.js ${__LITERT_VERSION__} in ${machine.browser}`,
    machine: { cpu: machine.cpu, cores: machine.cores, os: machine.os, ...(machine.device && { device: machine.device }) },
    rows: rows.map(rowJson),
    failures: failures.map(({ task, reason }) => ({
      model: task.model.file, backend_requested: task.backend, threads: task.threads, reason,
    })),
  }, null, 1)}\n`
  new Result(json)
  return json
}

/** The same result as CSV. */
export function resultCsv(json: string): string {
  return new Result(json).csv()
}

function rowJson({ task, measured, invalid }: Row) {
  const { file, sha256, bytes } = task.model
  return {
    model: { file, sha256, bytes },
    backend_requested: task.backend,
    backend: measured.backend,
    threads: task.threads,
    init: statistics(measured.init),
    first: statistics(measured.first),
    warmup: measured.warmup.length > 0 ? statistics(measured.warmup) : null,
    inference: statistics(measured.inference),
    ...(measured.fallback !== null && { fallback: measured.fallback }),
    ...(invalid !== null && { invalid }),
  }
}

const statistics = (samples: number[]) => JSON.parse(new Durations(Float64Array.from(samples)).json()) as unknown
