// The files of the built page that are no modules: LiteRT, models, agreement tests, examples, licences,
// and the service worker, which needs the names of all others.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

const ROOT = resolve(import.meta.dirname, '../..')
const DEMO = join(ROOT, 'web_demo')
const MODELS = join(ROOT, 'models')
const AGREEMENT = join(ROOT, 'android_demo/app/src/main/assets/agreement')
const LITERT = join(DEMO, 'node_modules/@litertjs/core/wasm')
const CARD = 'model_card.json'

/** Only this precision: a page with the float32 file would take as long again to load. */
const PRECISION = 'float16'

/** Files that only some browsers or backends need; the service worker keeps them after their first use. */
const ON_DEMAND = /^litert\/litert_wasm_(?!internal)|\.map$/

interface CardFiles { files: Record<string, { precision: string; sha256: string; bytes: number }> }

/** Adds the files to the bundle. */
export function siteFiles(): Plugin {
  return {
    name: 'iris-tf-site-files',
    apply: 'build',
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        const emit = (fileName: string, source: string | Uint8Array) => this.emitFile({ type: 'asset', fileName, source })
        for (const [name, source] of [...liteRtFiles(), ...modelFiles()]) emit(name, source)
        for (const number of [1, 2]) emit(`examples/example-${number}.png`, readFileSync(join(DEMO, `examples/example-${number}.png`)))
        emit('licences.txt', licences())
        const kept = [...Object.keys(bundle), ...readdirSync(join(DEMO, 'public'))].filter((name) => !ON_DEMAND.test(name))
        emit('sw.js', serviceWorker(kept, bundle))
      },
    },
  }
}

/** Compress a file here, because not all servers do; see `src/runtime/fetch_file.ts`. */
const compressed = (content: Uint8Array) => gzipSync(content, { level: 9 })

/** LiteRT's WebAssembly and the code that loads it. */
function liteRtFiles(): [string, Uint8Array][] {
  return readdirSync(LITERT).map((name) => {
    const content = readFileSync(join(LITERT, name))
    return name.endsWith('.wasm') ? [`litert/${name}.gz`, compressed(content)] : [`litert/${name}`, content]
  })
}

/** The released models of one precision, with their cards and agreement tests. */
function modelFiles(): [string, string | Uint8Array][] {
  const found: [string, string | Uint8Array][] = []
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

const agreementTest = (name: string): [string, Uint8Array] =>
  [`agreement/${name}.gz`, compressed(readFileSync(join(AGREEMENT, name)))]

function licences() {
  const apache = readFileSync(join(ROOT, 'LICENSE'), 'utf8')
  const noble = readFileSync(join(DEMO, 'node_modules/@noble/hashes/LICENSE'), 'utf8')
  return `This page contains iris_tf, LiteRT.js (Google LLC) and Kotlin's standard library (JetBrains s.r.o. and contributors)
under the Apache License 2.0, and noble-hashes under the MIT License.

${noble}\n${apache}`
}

function serviceWorker(names: string[], bundle: Record<string, { type: string; code?: string; source?: string | Uint8Array }>) {
  const content = createHash('sha256')
  for (const name of names) content.update(name).update(bundle[name]?.code ?? bundle[name]?.source ?? readFileSync(join(DEMO, 'public', basename(name))))
  const files = JSON.stringify(['./', ...names.filter((name) => name !== 'sw.js')])
  const template = readFileSync(join(DEMO, 'scripts/service_worker.js'), 'utf8')
  return template.replace('__VERSION__', content.digest('hex').slice(0, 16)).replace('__FILES__', () => files)
}
