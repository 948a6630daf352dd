// What concerns the page as a whole: offline, installation, widths, accessibility, the size of the first load.
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { AxeResults } from 'axe-core'
import { expect, test } from 'vitest'
import { SCREENSHOTS, Site, open } from './site'

const MOST_BYTES = 12e6 // of the first load, with the models
const SECTIONS = ['benchmark', 'agreement', 'comparison'] as const
const WIDTHS = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 900 } }

test('the page works offline after the first load, which is small enough', async () => {
  const site = await Site.start(false)
  const { page, context, close } = await open(site.url)
  await page.evaluate(async () => { await navigator.serviceWorker.ready })
  const total = await page.evaluate(async () => {
    let bytes = 0
    for (const name of await caches.keys()) {
      const cache = await caches.open(name)
      for (const request of await cache.keys()) bytes += (await (await cache.match(request))?.arrayBuffer())?.byteLength ?? 0
    }
    return bytes
  })
  console.log(`The first load has ${(total / 1e6).toFixed(2)} MB.`)
  expect(total).toBeGreaterThan(8e6)
  expect(total).toBeLessThan(MOST_BYTES)
  await site.stop()
  await context.setOffline(true)
  await page.reload()
  // The service worker also adds the headers that the server did not send.
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
  await page.getByRole('tab', { name: 'Try it' }).click()
  await page.getByRole('button', { name: 'Use two examples' }).click()
  await page.locator('#verdict .decision').waitFor()
  expect(await page.locator('#verdict').innerText()).toMatch(/^The same eye/)
  await close()
})

test('no section is wider than a phone, and none has a problem of accessibility', async () => {
  mkdirSync(SCREENSHOTS, { recursive: true })
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const site = await Site.start(true)
  const { page, close } = await open(`${site.url}#comparison`)
  await page.getByRole('button', { name: 'Use two examples' }).click()
  await page.locator('#verdict .decision').waitFor()
  await page.evaluate(axe)
  for (const [device, size] of Object.entries(WIDTHS)) {
    await page.setViewportSize(size)
    for (const section of SECTIONS) {
      await page.locator(`#tab-${section}`).click()
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(size.width)
      const found = await page.evaluate(() => (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run())
      expect(found.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([])
      await page.screenshot({ path: join(SCREENSHOTS, `${section}-${device}.png`), fullPage: true })
    }
  }
  await close()
  await site.stop()
})

test('the sections and buttons can be reached with the keyboard alone', async () => {
  const site = await Site.start(true)
  const { page, close } = await open(site.url)
  await page.getByLabel('WebAssembly, 1 thread').waitFor()
  await page.keyboard.press('Tab')
  await page.keyboard.press('ArrowRight')
  expect(await page.locator(':focus').innerText()).toBe('Agreement')
  expect(await page.locator('#agreement').isVisible()).toBe(true)
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('ArrowRight')
  expect(await page.locator(':focus').innerText()).toBe('Benchmark')
  await page.locator('#tab-comparison').click()
  const names: (string | null)[] = []
  for (let i = 0; i < 8; i++) {
    await page.keyboard.press('Tab')
    names.push(await page.locator(':focus').evaluate((focused) => focused.getAttribute('aria-label') ?? focused.textContent))
  }
  expect(names).toContain('Use two examples')
  expect(names).toContain('First eye: Choose image …')
  expect(names).toContain('Second eye: Take photo …')
  await close()
  await site.stop()
})

test('the page can be installed', async () => {
  const site = await Site.start(true)
  const { page, context, close } = await open(site.url)
  await page.evaluate(async () => { await navigator.serviceWorker.ready })
  const session = await context.newCDPSession(page)
  const { errors } = await session.send('Page.getAppManifest')
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors')
  expect(errors).toEqual([])
  expect(installabilityErrors).toEqual([])
  await close()
  await site.stop()
})
