import { byId, element } from '../page/element'
import type { Model } from '../page/models'
import type { Backend } from '../runtime/engine'
import { fetchCompressed } from '../runtime/fetch_file'
import { buildFor } from '../runtime/litert'
import type { Agreed, AgreedOnEyes } from '../runtime/protocol'
import { userMessage } from '../runtime/problem'
import { Runtime } from '../runtime/runtime'

const EYES = 'eyes.json'

/** The section that compares this browser's outputs with the desktop's. */
export class AgreementView {
  private readonly button = byId('start-agreement', HTMLButtonElement)
  private readonly rows = byId('agreement-rows')
  private readonly models: readonly Model[]

  /** @param models those that come with the page, which alone have agreement tests */
  constructor(private readonly base: URL, models: readonly Model[]) {
    this.models = [...models]
    this.button.addEventListener('click', () => void this.start())
  }

  private async start() {
    const status = byId('agreement-status')
    this.button.disabled = true
    this.rows.replaceChildren()
    status.textContent = 'Running …'
    try {
      const backends: Backend[] = 'gpu' in navigator ? ['wasm-xnnpack', 'webgpu'] : ['wasm-xnnpack']
      for (const backend of backends) {
        const runtime = await Runtime.start(buildFor({ backend, threads: 1 }))
        for (const model of this.models) await this.check(runtime, model, backend)
        runtime.stop()
      }
      const failed = this.rows.querySelectorAll('.disagrees').length
      status.textContent = failed === 0 ? 'Everything agrees with the desktop.' : `${failed} of ${this.rows.childElementCount} rows do not agree.`
    } catch (error) {
      status.textContent = userMessage(error)
    } finally {
      this.button.disabled = false
    }
  }

  private async check(runtime: Runtime, model: Model, backend: Backend) {
    try {
      const content = await model.read()
      const where = `${model.file}.json`
      const test = await this.text(where)
      const agreed = await runtime.run('agree', [{ model: content, place: { backend, threads: 1 }, test, where }])
      // The segmentation awaits nothing, so it runs on the CPU only.
      const eyes = model.isSegmenter && model.card !== null && backend === 'wasm-xnnpack'
        ? await runtime.run('agreeOnEyes', [{ model: content, card: model.card, test: await this.text(EYES), where: EYES }])
        : null
      this.rows.append(rowView(`${model.file} · ${backend}`, agreed, eyes))
    } catch (error) {
      const problem = element('p', { class: 'problem' }, userMessage(error))
      this.rows.append(element('article', { class: 'row disagrees' }, element('h3', {}, `${model.file} · ${backend}`), problem))
    }
  }

  private async text(name: string) {
    return new TextDecoder().decode(await fetchCompressed(new URL(`agreement/${name}.gz`, this.base)))
  }
}

function rowView(title: string, agreed: Agreed, eyes: AgreedOnEyes | null) {
  const agrees = agreed.agrees && eyes?.agrees !== false
  const lines = [
    `minimum cosine ${agreed.minCosine.toFixed(7)} over ${agreed.cases} inputs on ${agreed.backend}; outputs differ by at most ` +
      agreed.maxDifference.toExponential(1),
  ]
  if (!agreed.agrees) lines.push('This browser does not compute what the desktop computes.')
  if (agreed.fallback !== null) lines.push(agreed.fallback)
  if (eyes) {
    lines.push(
      `${eyes.crops} of ${eyes.eyes} images cropped: visible iris IoU at least ${eyes.minOverlap.toFixed(4)}, outlines differ by at ` +
        `most ${eyes.maxShift.toFixed(4)} iris radii, strips by at most ${eyes.maxStripDifference.toFixed(2)} grey levels`,
    )
    if (!eyes.agrees) lines.push("This browser's crops differ from the desktop's.")
  }
  return element(
    'article', { class: agrees ? 'row agrees' : 'row disagrees' }, element('h3', {}, `${agrees ? '✓' : '✗'} ${title}`),
    ...lines.map((line) => element('p', {}, line)),
  )
}
