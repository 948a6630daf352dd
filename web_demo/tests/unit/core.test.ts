// The core in JavaScript against the fixtures that hold the app and Python together.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  AgreementTest, Durations, EyeComparer, Result, SynchronousModel, checkModelFile, checkPlan, checkSignature, readCard, sampleSize,
  toGray,
} from 'core'
import { describe, expect, test } from 'vitest'
import { resultCsv } from '../../src/benchmark/latency_result'
import { userMessage } from '../../src/runtime/problem'

const ROOT = join(import.meta.dirname, '../../..')
const APP = join(ROOT, 'android_demo/core/src/test/resources')
const SHARED = join(ROOT, 'tests/fixtures')
const read = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8')
const parse = (folder: string, name: string) => JSON.parse(read(folder, name)) as unknown
const card = read(APP, 'recognition_card.json')

/** The sentence of the error that an action raises. */
function problemOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return userMessage(error)
  }
  throw new Error('nothing was refused')
}

test('statistics are those of NumPy', () => {
  const expected = parse(APP, 'statistics.json') as Record<'median' | 'p90' | 'p95' | 'p99' | 'avg' | 'stddev' | 'min' | 'max', number> & { samples: number[] }
  const found = new Durations(Float64Array.from(expected.samples))
  const pairs = [
    [found.median, expected.median], [found.p90, expected.p90], [found.p95, expected.p95], [found.p99, expected.p99],
    [found.mean, expected.avg], [found.standardDeviation, expected.stddev], [found.min, expected.min], [found.max, expected.max],
  ] as const
  for (const [one, other] of pairs) expect(one).toBeCloseTo(other, 9)
  expect([...found.histogram(7)].reduce((sum, count) => sum + count)).toBe(expected.samples.length)
})

test("results of Python and of the app are read, and give Python's table", () => {
  expect(resultCsv(read(APP, 'host_result.json'))).toContain('m_float16.tflite')
  const rows = (text: string) => text.trim().split(/\r?\n/).map((line) => line.split(',').length)
  expect(rows(resultCsv(read(APP, 'phone_result.json')))).toEqual(rows(read(APP, 'phone_result.csv')))
  expect(problemOf(() => new Result('{"schema": "other"}'))).toBe('schema is "other", not iris_tf.latency.')
})

describe('cards', () => {
  interface Case { readonly change: Record<string, unknown>; readonly accepted: boolean; readonly android?: boolean; readonly field?: string }
  const { cards } = parse(APP, 'cards.json') as { cards: Case[] }

  test.each(cards)('with the change $change are refused where Python or the app refuses them', ({ change, accepted, android, field }) => {
    const changed = JSON.parse(card) as Record<string, unknown>
    for (const [path, value] of Object.entries(change)) {
      const names = path.split('.')
      const last = names.pop() ?? ''
      const parent = names.reduce((object, name) => (object[name] ??= {}) as Record<string, unknown>, changed)
      if (value === null) Reflect.deleteProperty(parent, last)
      else parent[last] = value
    }
    const action = () => readCard(JSON.stringify(changed), 'small')
    if (android ?? accepted) expect(action().name).toBeTruthy()
    else expect(problemOf(action)).toContain(field ?? 'small')
  })

  test('name the files that they describe', () => {
    const found = readCard(card, 'small')
    expect([found.name, found.roiMode, found.isSegmenter, found.hasScore, found.precision('m.tflite')]).toEqual(['small', 'unrolled', false, false, 'float16'])
    expect(problemOf(() => { found.check('m.tflite', '00', 3) })).toMatch(/its SHA-256 differs/)
    expect(problemOf(() => { found.check('n.tflite', '00', 3) })).toMatch(/lists m\.tflite, not n\.tflite/)
  })
})

test('files that are no models, plans and signatures are refused with one sentence', () => {
  const model = new Int8Array(readFileSync(join(ROOT, 'models/iris-segmenter/iris_segmenter_float16.tflite')))
  checkModelFile('m.tflite', model)
  expect(problemOf(() => { checkModelFile('m.tflite', model.subarray(0, 1000)) })).toMatch(/truncated/)
  expect(problemOf(() => { checkModelFile('m.tflite', new Int8Array(3)) })).toMatch(/^m\.tflite is not a \.tflite file/)
  checkPlan(new Int32Array([1]), 50, 0, 1)
  expect(problemOf(() => { checkPlan(new Int32Array([1]), 49, 0, 1) })).toMatch(/runs is 49/)
  checkSignature('serving_default', ['roi'], ['embedding'], true, new Int32Array([1, 64, 512, 1]))
  expect(problemOf(() => { checkSignature('serving_default', ['x'], ['embedding'], true, new Int32Array()) })).toMatch(/has no signature/)
  expect(problemOf(() => { checkSignature('serving_default', ['roi'], ['embedding'], true, new Int32Array([1, 64, 512, 3])) })).toMatch(/not one grey image/)
})

test('agreement is the cosine of the stored positions', () => {
  const agreement = new AgreementTest(JSON.stringify({
    file: 'm', sha256: 's', height: 1, width: 2, positions: [0, 2], cases: [{ pixels: '00ff', outputs: [3, 4] }],
  }), 'test')
  expect([...agreement.input(0)]).toEqual([0, 255])
  expect(agreement.cosine(0, new Float32Array([4, 9, 3]))).toBeCloseTo(24 / 25, 9)
  expect(agreement.difference(0, new Float32Array([4, 9, 3]))).toBe(1)
  expect(agreement.cosine(0, new Float32Array([NaN, 0, 1]))).toBe(-1)
  expect([agreement.agrees(0.9991), agreement.agrees(0.9989)]).toEqual([true, false])
})

test('colours become grey as in OpenCV, and large images are halved', () => {
  const image = toGray(64, 64, new Int32Array(64 * 64).fill(0xff0a6428 | 0))
  // 0.299 * 10 + 0.587 * 100 + 0.114 * 40 = 66.25
  expect(image.pixels[0]).toBe(66)
  expect(problemOf(() => toGray(63, 64, new Int32Array(63 * 64)))).toMatch(/^The image has 64x63 pixels/)
  expect([sampleSize(2048, 2048), sampleSize(2049, 2048), sampleSize(10_000, 10_000)]).toEqual([1, 2, 8])
})

describe('comparisons', () => {
  interface Scores {
    readonly phase: { size: number; columns: number; turns: number }
    readonly score: object
    readonly embeddings: number[][]
    readonly pairs: { readonly first: number; readonly second: number; readonly wide_share: number; readonly freedom: number; readonly score: number }[]
  }
  const HEIGHT = 192
  const WIDTH = 256
  const scores = parse(SHARED, 'scores.json') as Scores
  const unit = scores.embeddings.map((embedding) => {
    const length = Math.sqrt(embedding.reduce((sum, value) => sum + value * value, 0))
    return Float32Array.from(embedding, (value) => value / length)
  })

  /** Masks of an iris of three quarters of the image's height in its centre. */
  const masks = Float32Array.from({ length: HEIGHT * WIDTH * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3)
    const radius = Math.hypot((pixel % WIDTH) - (WIDTH - 1) / 2, Math.floor(pixel / WIDTH) - (HEIGHT - 1) / 2)
    const inside = (limit: number) => 1 / (1 + Math.exp(2 * (radius - limit)))
    const [iris, pupil] = [inside(0.375 * HEIGHT), inside(0.15 * HEIGHT)]
    return [iris * (1 - pupil), pupil, iris][i % 3] ?? 0
  })
  const segmenter = () => new SynchronousModel(new Int32Array([1, HEIGHT, WIDTH, 1]), new Int32Array([1, HEIGHT, WIDTH, 3]), () => masks)
  const segmenterCard = readCard(JSON.stringify({
    name: 'iris-segmenter', files: {}, input: { name: 'image', size: [HEIGHT, WIDTH] }, output: { name: 'masks', channels: ['visible', 'pupil', 'iris'] },
  }), 'segmenter')
  const recognitionCard = (wideShare: number) => readCard(JSON.stringify({
    ...(JSON.parse(card) as object), embedding_size: unit[0]?.length, phase: scores.phase, input_size: [64, 512],
    score: { ...scores.score, wide_share: wideShare, thresholds: { 'fmr_1e-2': 1, 'fmr_1e-3': 2, 'fmr_1e-4': 5, 'fmr_1e-5': 6, 'fmr_1e-6': 7 } },
  }), 'small')

  function comparer(embeddings: Float32Array[], wideShare = 0) {
    const waiting = [new Float32Array(unit[0]?.length ?? 0), ...embeddings] // the first one for the warm-up
    const embedder = new SynchronousModel(
      new Int32Array([1, 64, 512, 1]), new Int32Array([1, unit[0]?.length ?? 0]), () => waiting.shift() ?? new Float32Array(),
    )
    let now = 0
    return new EyeComparer(segmenter(), segmenter(), segmenterCard, embedder, recognitionCard(wideShare), () => now++)
  }
  // Noise, because stripes would pass for motion blur.
  const noise = (i: number) => (Math.imul(Math.imul(i + 1, 0x9e3779b1) ^ (i >>> 5), 0x85ebca6b) >>> 16) % 200
  const textured = toGray(HEIGHT, WIDTH, Int32Array.from({ length: HEIGHT * WIDTH }, (_, i) => (noise(i) * 0x10101) | 0xff000000))

  test("scores equal those of plain loops in Python, and decide by the card's thresholds", () => {
    expect(scores.pairs.length).toBeGreaterThanOrEqual(9)
    for (const wideShare of new Set(scores.pairs.map((pair) => pair.wide_share))) {
      const recognizer = comparer(unit, wideShare)
      const eyes = unit.map(() => recognizer.enrol(textured))
      for (const pair of scores.pairs.filter((other) => other.wide_share === wideShare)) {
        const [first, second] = [eyes[pair.first], eyes[pair.second]]
        if (!first || !second) throw new Error('an embedding is missing')
        const found = recognizer.compare(first, second)
        expect(found?.freedom).toBeCloseTo(pair.freedom, 2)
        expect(Math.abs((found?.score ?? NaN) - pair.score)).toBeLessThan(5e-3)
        const [decisive] = found?.decisions ?? []
        expect([decisive?.operatingPoint, decisive?.sameEye]).toEqual(['fmr_1e-4', pair.score >= 5])
      }
    }
  })

  test('an eye has outlines, visible share, durations and a crop of the size that the card gives', () => {
    const eye = comparer(unit).enrol(textured)
    const [x, y, a] = eye.iris
    expect(x).toBeCloseTo((WIDTH - 1) / 2, 1)
    expect(y).toBeCloseTo((HEIGHT - 1) / 2, 1)
    expect(a).toBeCloseTo(0.375 * HEIGHT, 0)
    expect([eye.crop.height, eye.crop.width]).toEqual([64, 512])
    expect(eye.visibleShare).toBeGreaterThan(0.9)
    expect([eye.segmentationTime, eye.cropTime, eye.embeddingTime]).toEqual([1, 1, 1])
  })

  test('broken embeddings and blank images are refused', () => {
    expect(problemOf(() => comparer([new Float32Array(unit[0]?.length ?? 0)]).enrol(textured))).toMatch(/norm 0/)
    const blank = toGray(HEIGHT, WIDTH, new Int32Array(HEIGHT * WIDTH).fill(0xff808080 | 0))
    expect(problemOf(() => comparer(unit).enrol(blank))).toMatch(/^The crop has no texture/)
  })
})
