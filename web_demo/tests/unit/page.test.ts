import type { LiteRt } from '@litertjs/core'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resultJson } from '../../src/benchmark/latency_result'
import { measure, noise } from '../../src/benchmark/measure'
import { toBytes, toColours } from '../../src/comparison/colours'
import { isHeic } from '../../src/comparison/decode_image'
import { browserOf, osOf } from '../../src/page/machine'
import { chosenModels } from '../../src/page/models'
import { CpuModel, type Engine } from '../../src/runtime/engine'
import { NO_MEMORY, Problem, userMessage } from '../../src/runtime/problem'

/** An engine whose clock advances by 10 ms for its creation, 5 for its first inference and 1 for others. */
function clockwork() {
  let now = 0
  let opened = 0
  const open = (): Promise<Engine> => {
    now += 10
    opened++
    let inferences = 0
    return Promise.resolve({
      backend: 'wasm-xnnpack', fallback: null, inputShape: new Int32Array([1, 2, 3, 1]), outputShape: new Int32Array([1, 4]),
      fill: () => { now += 100 }, // not measured
      invoke: () => {
        now += inferences++ === 0 ? 5 : 1
        return Promise.resolve()
      },
      output: () => new Float32Array(4),
      close: () => { opened-- },
    })
  }
  return { open, now: () => now, opened: () => opened }
}

test('a row times the creation and first inference of fresh engines, then one of them', async () => {
  const { open, now, opened } = clockwork()
  const progress: number[] = []
  const row = await measure(open, { initialisations: 2, warmup: 3, runs: 4 }, now, (done, total) => progress.push(done / total))
  expect(row).toEqual({
    init: [10, 10], first: [5, 5], warmup: [5, 1, 1], inference: [1, 1, 1, 1], backend: 'wasm-xnnpack', fallback: null,
  })
  expect(opened()).toBe(0)
  expect(progress.at(-1)).toBe(1)
  expect(progress).toHaveLength(2 * 2 + 3 + 4)
})

test('an engine is closed when an inference fails', async () => {
  const { open, now, opened } = clockwork()
  const failing = async () => ({ ...(await open()), invoke: () => Promise.reject(new Error('lost')) })
  await expect(measure(failing, { initialisations: 1, warmup: 0, runs: 1 }, now, () => undefined)).rejects.toThrow('lost')
  expect(opened()).toBe(0)
})

test('noise has grey levels, and is always the same', () => {
  const levels = noise(new Int32Array([1, 100, 100, 1]))
  expect(levels).toEqual(noise(new Int32Array([1, 100, 100, 1])))
  expect(Math.min(...levels)).toBe(0)
  expect(Math.max(...levels)).toBe(255)
  const mean = levels.reduce((sum, level) => sum + level) / levels.length
  expect(Math.abs(mean - 127.5)).toBeLessThan(3)
})

test('a result has the fields of the schema', () => {
  const task = { model: { file: 'm.tflite', sha256: '0123456789abcdef'.repeat(4), bytes: 3 }, backend: 'webgpu', threads: 1 }
  const measured = { init: [2], first: [1], warmup: [], inference: [1, 3], backend: 'wasm-xnnpack', fallback: 'No GPU.' }
  const machine = { browser: 'Some browser 1', cpu: 'Some CPU', cores: 8, os: 'Some system', device: null }
  const json = resultJson(machine, [{ task, measured, invalid: 'It was hidden.' }], [{ task, reason: 'Because.' }], new Date(0))
  expect(JSON.parse(json)).toMatchObject({
    schema: 'iris_tf.latency', schema_version: 1, created: '1970-01-01T00:00:00Z', machine: { cpu: 'Some CPU', cores: 8, os: 'Some system' },
    rows: [{ backend_requested: 'webgpu', backend: 'wasm-xnnpack', threads: 1, warmup: null, fallback: 'No GPU.', invalid: 'It was hidden.', inference: { count: 2, avg: 2, samples: [1, 3] } }],
    failures: [{ model: 'm.tflite', backend_requested: 'webgpu', threads: 1, reason: 'Because.' }],
  })
})

test('browsers and systems are named from their user agents', () => {
  const android = 'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36'
  const iphone = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1'
  expect([browserOf(android), osOf(android)]).toEqual(['Chromium 141', 'Linux; Android 15'])
  expect([browserOf(iphone), osOf(iphone)]).toEqual(['Safari 18', 'iPhone; CPU iPhone OS 18_5 like Mac OS X'])
  expect(browserOf('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0')).toBe('Firefox 140')
  expect([browserOf('strange'), osOf('strange')]).toEqual(['an unknown browser', 'unknown'])
})

test('HEIC photos are known by their first bytes', () => {
  const head = (brand: string) => new Uint8Array([0, 0, 0, 24, ...Buffer.from(`ftyp${brand}`)])
  expect([head('heic'), head('mif1'), head('isom'), new Uint8Array(3)].map(isHeic)).toEqual([true, true, false, false])
})

test('red, green, blue and alpha become one number, and bytes again', () => {
  const bytes = new Uint8ClampedArray([1, 2, 3, 4, 255, 0, 128, 255])
  expect([...toColours(bytes)]).toEqual([0x04010203, 0xffff0080 | 0])
  expect(toBytes(toColours(bytes))).toEqual(bytes)
})

test('a model that is too large for a browser or its memory is refused', async () => {
  const file = { name: 'm.tflite', size: 2 ** 31 } as File
  await expect(chosenModels([file])).rejects.toThrow('m.tflite has more than 1 GiB')
  const content = new Uint8Array(readFileSync(join(import.meta.dirname, '../../../models/iris-segmenter/iris_segmenter_float16.tflite')))
  const full = { liteRtWasm: { _malloc: () => 0 }, getDefaultEnvironment: () => ({}) } as unknown as LiteRt
  await expect(CpuModel.open(full, { file: 'm.tflite', content }, 1)).rejects.toThrow(NO_MEMORY)
})

test('every error is one sentence', () => {
  expect(userMessage(new Problem('So it is.'))).toBe('So it is.')
  expect(userMessage(new RangeError('Array buffer allocation failed'))).toBe(NO_MEMORY)
  expect(userMessage(new Error('first line.\nsecond line'))).toBe('The runtime failed (first line).')
  expect(userMessage(42)).toBe('Something failed (42).')
})
