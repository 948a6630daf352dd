import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { chromium, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'

const DEMO = join(import.meta.dirname, '../..')
const DIST = join(DEMO, 'dist')
export const MODELS = join(DEMO, '../models')
export const REFERENCE = join(DEMO, 'build/reference')
export const SCREENSHOTS = join(DEMO, 'build/screenshots')

const TYPES: Record<string, string> = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json',
  '.webmanifest': 'application/manifest+json', '.png': 'image/png',
}

/** Serves the built page on loopback, with or without the headers of cross-origin isolation. */
export class Site {
  readonly requests: string[] = []
  private constructor(private readonly server: Server) {}

  static async start(isolated: boolean): Promise<Site> {
    const server = createServer((request, response) => {
      const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname))
      site.requests.push(path)
      const file = join(DIST, path.endsWith('/') ? `${path}index.html` : path)
      if (!existsSync(file) || !statSync(file).isFile()) {
        response.writeHead(404).end()
        return
      }
      response.writeHead(200, {
        'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
        ...(isolated && { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }),
      })
      createReadStream(file).pipe(response)
    })
    const site = new Site(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return site
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`
  }

  /** From now on, the server cannot be reached. */
  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

/** A page in a fresh browser; what its console reports as errors is collected. */
export interface Opened {
  readonly page: Page
  readonly context: BrowserContext
  readonly errors: string[]
  readonly close: () => Promise<void>
}

const FLAGS = [
  '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
]

const WITHOUT_GPU = ['--disable-gpu']

/** WebGPU, computed on the CPU by SwiftShader, which comes with Chromium: slow, but the same calls. */
export const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']

/** Open the page in Debian's Chromium, or the one that CHROMIUM names. */
export async function open(url: string, options: BrowserContextOptions = {}, graphics: string[] = WITHOUT_GPU): Promise<Opened> {
  const profile = mkdtempSync(join(tmpdir(), 'iris-tf-browser-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', headless: true, chromiumSandbox: process.getuid?.() !== 0,
    args: [...FLAGS, ...graphics], ...options,
  })
  const page = context.pages()[0] ?? (await context.newPage())
  page.setDefaultTimeout(60_000)
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text())
  })
  await page.goto(url)
  return {
    page, context, errors,
    close: async () => {
      await context.close()
      rmSync(profile, { recursive: true, force: true })
    },
  }
}
