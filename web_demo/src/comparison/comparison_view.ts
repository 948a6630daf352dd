import { readCard } from 'core'
import { byId, element } from '../page/element'
import type { Model } from '../page/models'
import { fetchFile } from '../runtime/fetch_file'
import { Problem, userMessage } from '../runtime/problem'
import type { ColourImage, Compared } from '../runtime/protocol'
import { Runtime } from '../runtime/runtime'
import { decodeImage } from './decode_image'
import { EyePanel } from './eye_panel'

type Index = 0 | 1

/** The section that compares two eye images. */
export class ComparisonView {
  private readonly panels: [EyePanel, EyePanel]
  private readonly select = byId('recognition-model', HTMLSelectElement)
  private readonly images: [ColourImage | null, ColourImage | null] = [null, null]
  private models: readonly Model[] = []
  private runtime: Promise<Runtime> | null = null
  private busyWith: Promise<void> = Promise.resolve()

  constructor(private readonly base: URL) {
    const panel = (name: 'First' | 'Second', index: Index) => new EyePanel(
      name, (file) => { this.inTurn(() => this.read(index, file, file.name)) },
      () => { byId('comparison-status').textContent = NO_IMAGE },
    )
    this.panels = [panel('First', 0), panel('Second', 1)]
    byId('eyes').append(...this.panels.map(({ view }) => view))
    byId('examples').addEventListener('click', () => { this.inTurn(() => this.readExamples()) })
    this.select.addEventListener('change', () => { this.inTurn(() => this.reopen()) })
  }

  /** Offer the recognition models that have a card. */
  offer(models: readonly Model[]): void {
    this.models = [...models]
    const chosen = this.select.value
    const recognition = models.filter(({ card, isSegmenter }) => card !== null && !isSegmenter)
    this.select.replaceChildren(...recognition.map(({ file }) => element('option', { value: file, selected: file === chosen }, file)))
  }

  /** Actions run one after the other. */
  private inTurn(action: () => Promise<void>) {
    const status = byId('comparison-status')
    this.busyWith = this.busyWith.then(async () => {
      for (const panel of this.panels) panel.busy(true)
      status.textContent = 'Working …'
      let message = ''
      try {
        await action()
      } catch (error) {
        message = userMessage(error)
      }
      status.textContent = message
      for (const panel of this.panels) panel.busy(false)
    })
  }

  private async readExamples() {
    for (const index of [0, 1] as const) {
      const name = `example-${index + 1}.png`
      await this.read(index, new Blob([await fetchFile(new URL(`examples/${name}`, this.base))]), name)
    }
  }

  private async read(index: Index, file: Blob, name: string) {
    byId('verdict').replaceChildren()
    this.images[index] = null
    try {
      this.images[index] = await decodeImage(file, name)
    } catch (error) {
      await this.forget(index)
      this.panels[index].refuse(null, userMessage(error))
      return
    }
    await this.enrol(index)
  }

  /** Make the worker forget an eye whose new image cannot be read. */
  private async forget(index: Index) {
    await (await this.opened()).run('forget', [index])
  }

  private async enrol(index: Index) {
    const image = this.images[index]
    if (!image) return
    const runtime = await this.opened()
    try {
      this.panels[index].show(await runtime.run('enrol', [index, image]))
    } catch (error) {
      this.panels[index].refuse(image, userMessage(error))
    }
    const compared = await runtime.run('compare', [])
    byId('verdict').replaceChildren(...(compared ? describe(compared) : []))
  }

  private opened(): Promise<Runtime> {
    return (this.runtime ??= this.open().catch((error: unknown) => {
      this.runtime = null
      throw error
    }))
  }

  private async open(): Promise<Runtime> {
    const segmenter = this.models.find(({ isSegmenter }) => isSegmenter)
    const recognition = this.models.find(({ file }) => file === this.select.value)
    if (!segmenter?.card) throw new Problem('The page contains no segmenter; build it again with models/iris-segmenter in the repository.')
    if (!recognition?.card) throw new Problem('There is no recognition model with a card; add one in the section Benchmark.')
    readCard(recognition.card, recognition.file)
    const runtime = await Runtime.start('single')
    const note = await runtime.run('openComparer', [{
      segmenter: await segmenter.read(), segmenterCard: segmenter.card,
      recognition: await recognition.read(), recognitionCard: recognition.card,
    }])
    byId('comparison-note').textContent = note
    return runtime
  }

  /** Process both images with another model. */
  private async reopen() {
    const runtime = this.runtime
    this.runtime = null
    byId('verdict').replaceChildren()
    ;(await runtime)?.stop()
    await this.enrol(0)
    await this.enrol(1)
  }
}

function describe({ similarity, score, freedom, inconclusive, decisions }: Compared): Node[] {
  const figures = [`similarity ${similarity.toFixed(4)}`]
  if (score !== null) figures.unshift(`score ${score.toFixed(2)}`)
  if (freedom !== null) figures.push(`${Math.floor(freedom)} degrees of freedom in common`)
  const line = element('p', {}, figures.join(', '))
  const [decisive] = decisions
  if (!decisive) {
    return [element('p', { class: 'decision' }, 'Inconclusive'), element('p', {}, inconclusive ?? ''), line]
  }
  const table = element(
    'table', {}, element('caption', {}, 'Decisions by operating point'),
    element('thead', {}, element('tr', {}, ...['operating point', 'threshold', 'decision'].map((name) => element('th', { scope: 'col' }, name)))),
    element('tbody', {}, ...fromLenient(decisions).map(({ operatingPoint, threshold, sameEye }) => element(
      'tr', { class: operatingPoint === decisive.operatingPoint && 'decisive' }, element('th', { scope: 'row' }, operatingPoint), element('td', {}, threshold.toFixed(4)),
      element('td', {}, sameEye ? 'same eye' : 'different eyes'),
    ))),
  )
  const verdict = element('p', { class: 'decision' }, decisive.sameEye ? 'The same eye' : 'Different eyes')
  return [verdict, line, ...(score === null ? [] : [element('p', { class: 'hint' }, MEANING)]), table]
}

const fromLenient = (decisions: Compared['decisions']) => [...decisions].sort((one, other) => one.threshold - other.threshold)

const NO_IMAGE = 'No image came; if the camera was refused, allow it in the settings of the browser, or choose an image.'
const MEANING = 'The score is the natural logarithm of the likelihood ratio same eye : different eyes; 0 favours neither.'
