// Benchmark and agreement in a real browser.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MODELS, Site, WEBGPU, open, type Opened } from './site'

const RESULT = join(import.meta.dirname, '../../build/browser_result.json') // for web_check.py, which imports it
const MOBIIRIS = join(MODELS, 'mobiiris/mobiiris_float16.tflite')
const SEGMENTER = join(MODELS, 'iris-segmenter/iris_segmenter_float16.tflite')

describe('a page with cross-origin isolation', () => {
  let site: Site
  let opened: Opened
  beforeAll(async () => {
    site = await Site.start(true)
    opened = await open(site.url)
  })
  afterAll(async () => {
    await opened.close()
    await site.stop()
  })

  test('outputs, outlines and crops are those of Python', async () => {
    const { page } = opened
    await page.getByRole('tab', { name: 'Agreement' }).click()
    await page.getByRole('button', { name: 'Check' }).click()
    await expect.poll(() => page.locator('#agreement-status').innerText(), { timeout: 90_000 }).toBe('Everything agrees with the desktop.')
    const rows = await page.locator('#agreement-rows article').allInnerTexts()
    const recognition = rows.find((row) => row.includes('mobiiris_float16.tflite · wasm-xnnpack'))
    const segmenter = rows.find((row) => row.includes('iris_segmenter_float16.tflite · wasm-xnnpack'))
    expect(Number(/differ by at most (\S+)/.exec(recognition ?? '')?.[1])).toBeLessThan(1e-4)
    expect(Number(/differ by at most (\S+)/.exec(segmenter ?? '')?.[1])).toBeLessThan(1e-3)
    expect(segmenter).toContain('2 of 2 images cropped: visible iris IoU at least 1.0000, outlines differ by at most 0.0000 iris radii, strips by at most 0.00 grey levels')
  })

  test('a benchmark on one and two threads gives a valid result', async () => {
    const { page } = opened
    await page.getByRole('tab', { name: 'Benchmark' }).click()
    await page.getByLabel(/iris_segmenter_float16.tflite/).uncheck()
    await page.getByLabel('WebAssembly, 2 threads').check()
    await page.getByLabel('WebGPU').check()
    await page.getByLabel('Measured').fill('50')
    await page.getByLabel('Initialisations').fill('2')
    await page.getByRole('button', { name: 'Measure' }).click()
    await expect.poll(() => page.locator('#benchmark-status').innerText(), { timeout: 100_000 }).toBe('Done: 3 rows, 0 not measured.')
    const saved = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Save JSON' }).click()
    await (await saved).saveAs(RESULT)
    const result = JSON.parse(readFileSync(RESULT, 'utf8')) as Saved
    expect(result.rows.map((row) => [row.backend_requested, row.threads, row.inference.count])).toEqual([
      ['wasm-xnnpack', 1, 50], ['wasm-xnnpack', 2, 50], ['webgpu', 1, 50],
    ])
    // Headless Chromium has no GPU: that row ran on the CPU, and says so.
    expect(result.rows.map((row) => row.backend)).toEqual(['wasm-xnnpack', 'wasm-xnnpack', 'wasm-xnnpack'])
    expect(result.rows[2]?.fallback).toMatch(/^WebGPU|^This browser has no WebGPU/)
    expect(result.rows.every((row) => row.invalid === undefined)).toBe(true)
    expect(result.machine.cores).toBeGreaterThan(0)
    const csv = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Save CSV' }).click()
    expect((await csv).suggestedFilename()).toBe('latency.csv')
  })

  test('a run can be cancelled, and its row is discarded', async () => {
    const { page } = opened
    await page.getByLabel('Measured').fill('100000')
    await page.getByRole('button', { name: 'Measure' }).click()
    await page.waitForFunction(() => (document.getElementById('benchmark-progress') as HTMLProgressElement).value > 0)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await expect.poll(() => page.locator('#benchmark-status').innerText()).toBe('Cancelled: 0 rows, 0 not measured.')
    await page.getByLabel('Measured').fill('50')
  })

  test('numbers that make no plan are one sentence', async () => {
    const { page } = opened
    await page.getByLabel('Measured').evaluate((input) => { input.removeAttribute('min') })
    await page.getByLabel('Measured').fill('7')
    await page.getByRole('button', { name: 'Measure' }).click()
    await expect.poll(() => page.locator('#benchmark-status').innerText())
      .toBe('Benchmark plan: runs is 7; choose 50 to 100000 (percentiles need at least 50).')
    await page.getByLabel('Measured').fill('50')
  })

  const model = readFileSync(MOBIIRIS)
  const card = readFileSync(join(MODELS, 'mobiiris/model_card.json'))
  const bad: [string, { name: string; buffer: Buffer }[], RegExp][] = [
    ['no model', [{ name: 'cat.jpg', buffer: Buffer.from('not a model at all') }], /^cat\.jpg is not a \.tflite file/],
    ['an empty file', [{ name: 'empty.tflite', buffer: Buffer.alloc(0) }], /^empty\.tflite is not a \.tflite file/],
    ['half a model', [{ name: 'half.tflite', buffer: model.subarray(0, model.length / 2) }], /^The file is truncated or damaged/],
    ['a card alone', [{ name: 'model_card.json', buffer: card }], /^No model file was chosen/],
    ['a card that is no JSON', [{ name: 'm.tflite', buffer: model }, { name: 'model_card.json', buffer: Buffer.from('{') }], /Invalid JSON in line 1/],
    ['a card of other files', [{ name: 'm.tflite', buffer: model }, { name: 'model_card.json', buffer: card }], /^The card of mobiiris lists .*, not m\.tflite/],
    ['a card of another version of the file', [{ name: 'mobiiris_float16.tflite', buffer: readFileSync(SEGMENTER) }, { name: 'model_card.json', buffer: card }], /its SHA-256 differs/],
    ['two cards', [{ name: 'a.json', buffer: card }, { name: 'b.json', buffer: card }, { name: 'm.tflite', buffer: model }], /^More than one card was chosen/],
  ]
  test.each(bad)('%s is one sentence', async (_, files, message) => {
    const { page } = opened
    await page.locator('#chosen-models').setInputFiles(files.map((file) => ({ ...file, mimeType: 'application/octet-stream' })))
    const problem = page.locator('#problem')
    await expect.poll(() => problem.innerText()).toMatch(message)
    expect(await problem.innerText()).toMatch(/^[^\n]*\.$/)
  })

  test('models that are damaged or have another signature are rows with the reason, and hidden pages make rows invalid', async () => {
    const { page } = opened
    const other = Buffer.from(model.toString('latin1').replaceAll('serving_default', 'another_default'), 'latin1')
    // Whole, but the tables of its tensors and operators, near its end, are nonsense.
    const damaged = Buffer.from(model.map((byte, i) => (i > model.length - 5000 && i % 53 === 0 ? byte ^ 0x15 : byte)))
    const files = Object.entries({ 'damaged.tflite': damaged, 'other.tflite': other })
    await page.locator('#chosen-models').setInputFiles(files.map(([name, buffer]) => ({ name, mimeType: 'application/octet-stream', buffer })))
    await page.getByLabel(/other.tflite/).waitFor()
    await page.getByLabel('WebAssembly, 2 threads').uncheck()
    await page.getByLabel('WebGPU').uncheck()
    await page.getByRole('button', { name: 'Measure' }).click()
    await page.waitForFunction(() => (document.getElementById('benchmark-progress') as HTMLProgressElement).value > 0)
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
      Object.defineProperty(document, 'hidden', { get: () => false, configurable: true })
    })
    await expect.poll(() => page.locator('#benchmark-status').innerText(), { timeout: 60_000 }).toBe('Done: 1 rows, 2 not measured.')
    const [measured, broken, failed] = await page.locator('#benchmark-rows article').allInnerTexts()
    expect(measured).toContain('Invalid: The page was hidden during this row')
    expect(broken).toMatch(/LiteRT cannot run damaged\.tflite .*; it is damaged/)
    expect(failed).toContain('The model has no signature serving_default from roi to embedding or from image to masks')
  })

  test('nothing failed unseen', () => {
    expect(opened.errors).toEqual([])
  })
})

test('a server without the headers leaves one thread, and the page says why', async () => {
  const site = await Site.start(false)
  const { page, close } = await open(site.url, { serviceWorkers: 'block' })
  await page.getByLabel('WebAssembly, 1 thread').waitFor()
  expect(await page.locator('#threads-problem').innerText())
    .toBe('Only one thread: the server does not send the headers of cross-origin isolation (COOP and COEP).')
  expect(await page.getByLabel('WebAssembly, 2 threads').count()).toBe(0)
  await close()
  await site.stop()
})

test('a browser without SIMD gets one sentence', async () => {
  const site = await Site.start(true)
  const { page, context, close } = await open('about:blank', { serviceWorkers: 'block' })
  // Workers cannot be patched from here, so their code is served with the check already answered.
  await context.route(/worker-.*\.js$/, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, body: `WebAssembly.validate = () => false;${await response.text()}` })
  })
  await page.goto(site.url)
  await page.getByRole('tab', { name: 'Agreement' }).click()
  await page.getByRole('button', { name: 'Check' }).click()
  await expect.poll(() => page.locator('#agreement-status').innerText()).toMatch(/^This browser has no WebAssembly with SIMD/)
  await close()
  await site.stop()
})

test('models that WebGPU can run in part only say so, and agree with the desktop', async () => {
  const site = await Site.start(true)
  const { page, errors, close } = await open(`${site.url}#agreement`, {}, WEBGPU)
  await page.getByRole('button', { name: 'Check' }).click()
  await expect.poll(() => page.locator('#agreement-status').innerText(), { timeout: 110_000 }).toBe('Everything agrees with the desktop.')
  const rows = await page.locator('#agreement-rows article').allInnerTexts()
  expect(rows.find((row) => row.includes('iris_segmenter_float16.tflite · webgpu'))).toMatch(/over 2 inputs on webgpu/)
  const recognition = rows.find((row) => row.includes('mobiiris_float16.tflite · webgpu'))
  expect(recognition).toMatch(/over 2 inputs on webgpu\+wasm-xnnpack/)
  expect(recognition).toContain("WebGPU cannot run all of this model's operators; the others ran on the CPU.")
  expect(Number(/differ by at most (\S+)/.exec(recognition ?? '')?.[1])).toBeLessThan(1e-3)
  expect(errors).toEqual([])
  await close()
  await site.stop()
})

test('over plain HTTP from another machine, everything but threads works, and the page says so', async () => {
  const site = await Site.start(true)
  const { port } = new URL(site.url)
  // Browsers trust 127.0.0.1, but no other name.
  const { page, errors, close } = await open('about:blank', {}, ['--disable-gpu', '--host-resolver-rules=MAP phone.test 127.0.0.1'])
  await page.goto(`http://phone.test:${port}/`)
  await page.getByLabel('WebAssembly, 1 thread').waitFor()
  expect(await page.evaluate(() => isSecureContext)).toBe(false)
  expect(await page.locator('#threads-problem').innerText()).toMatch(/^Only one thread: browsers offer more only to pages opened over HTTPS/)
  await page.getByRole('tab', { name: 'Try it' }).click()
  await page.getByRole('button', { name: 'Use two examples' }).click()
  await page.locator('#verdict .decision').waitFor()
  expect(errors.filter((error) => !error.includes('Cross-Origin-Opener-Policy'))).toEqual([])
  await close()
  await site.stop()
})

interface Saved {
  readonly machine: { readonly cores: number }
  readonly rows: {
    readonly backend_requested: string
    readonly backend: string
    readonly threads: number
    readonly fallback?: string
    readonly invalid?: string
    readonly inference: { readonly count: number }
  }[]
}
