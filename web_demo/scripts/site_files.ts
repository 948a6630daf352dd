// The files of the built page that are no modules: LiteRT, models, agreement tests, examples, licences,
// and the service worker, which needs the names of all others.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

const ROOT = resolve(import.meta.dirname, '../..')
const DEMO = join(ROOT, 'web_demo')
const MODELS = join(ROOT, 'models')
const AGREEMENT = join(ROOT, 'android_demo/app/src/main/assets/agreement')
const PUBLIC = join(DEMO, 'public')
const LITERT = join(DEMO, 'node_modules/@litertjs/core/wasm')
const CARD = 'model_card.json'

/**
 * Only this precision: a page with the float32 file would take as long again to load, and 8-bit integers are no faster
 * in WebAssembly and computed wrongly by WebGPU (LiteRT.js 2.5.3).
 */
const PRECISION = 'float16'

/** Files that only some browsers or backends need; the service worker keeps them after their first use. */
const ON_DEMAND = /^litert\/litert_wasm_(?!internal)|\.map$/

/** Name and content of a file of the page. */
type SiteFile = [name: string, content: string | Uint8Array]

interface CardFiles { files: Record<string, { precision: string; sha256: string; bytes: number }> }

/** Adds the files to the bundle. */
export function siteFiles(): Plugin {
  return {
    name: 'iris-tf-site-files',
    apply: 'build',
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        const files = [...liteRtFiles(), ...modelFiles(), ...examples(), licences()]
        const built = Object.values(bundle).map((file): SiteFile => [file.fileName, file.type === 'chunk' ? file.code : file.source])
        const copied = readdirSync(PUBLIC).map((name): SiteFile => [name, readFileSync(join(PUBLIC, name))])
        const worker = serviceWorker([...files, ...built, ...copied].filter(([name]) => !ON_DEMAND.test(name)))
        for (const [fileName, source] of [...files, worker]) this.emitFile({ type: 'asset', fileName, source })
      },
    },
  }
}

/** Compress a file here, because not all servers do; see `src/runtime/fetch_file.ts`. */
const compressed = (content: Uint8Array) => gzipSync(content, { level: 9 })

/** LiteRT's WebAssembly and the code that loads it. */
function liteRtFiles(): SiteFile[] {
  return readdirSync(LITERT).map((name) => {
    const content = readFileSync(join(LITERT, name))
    return name.endsWith('.wasm') ? [`litert/${name}.gz`, compressed(content)] : [`litert/${name}`, content]
  })
}

/** The released models of one precision, with their cards and agreement tests. */
function modelFiles(): SiteFile[] {
  const found: SiteFile[] = []
  const catalogue: object[] = []
  for (const folder of readdirSync(MODELS).sort()) {
    const card = join(MODELS, folder, CARD)
    if (!existsSync(card)) continue
    const text = readFileSync(card, 'utf8')
    found.push([`models/${folder}/${CARD}`, text])
    for (const [file, { precision, sha256, bytes }] of Object.entries((JSON.parse(text) as CardFiles).files)) {
      if (precision !== PRECISION) continue
      const content = readFileSync(join(MODELS, folder, file))
      if (createHash('sha256').update(content).digest('hex') !== sha256) {
        throw new Error(`models/${folder}/${file}: its SHA-256 differs from the one in its card.`)
      }
      found.push([`models/${folder}/${file}`, content])
      found.push(agreementTest(`${file}.json`))
      catalogue.push({ folder, file, sha256, bytes })
    }
  }
  found.push(agreementTest('eyes.json'))
  found.push(['models/models.json', JSON.stringify(catalogue)])
  return found
}

const agreementTest = (name: string): SiteFile =>
  [`agreement/${name}.gz`, compressed(readFileSync(join(AGREEMENT, name)))]

const examples = () => [1, 2].map((number): SiteFile => {
  const name = `examples/example-${number}.png`
  return [name, readFileSync(join(DEMO, name))]
})

function licences(): SiteFile {
  const apache = readFileSync(join(ROOT, 'LICENSE'), 'utf8')
  const noble = readFileSync(join(DEMO, 'node_modules/@noble/hashes/LICENSE'), 'utf8')
  const text = `This page contains iris_tf, LiteRT.js (Google LLC) and Kotlin's standard library (JetBrains s.r.o. and contributors)
under the Apache License 2.0, and noble-hashes under the MIT License.

${noble}\n${apache}`
  return ['licences.txt', text]
}

/** The service worker that keeps these files; a change of one of them makes it a new version. */
function serviceWorker(kept: SiteFile[]): SiteFile {
  const content = createHash('sha256')
  for (const [name, source] of kept) content.update(name).update(source)
  const names = JSON.stringify(['./', ...kept.map(([name]) => name)])
  const template = readFileSync(join(DEMO, 'scripts/service_worker.js'), 'utf8')
  return ['sw.js', template.replace('__VERSION__', content.digest('hex').slice(0, 16)).replace('__FILES__', () => names)]
}
