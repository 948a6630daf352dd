import { element } from '../page/element'
import type { ColourImage, Processed } from '../runtime/protocol'
import { toBytes } from './colours'

/** One of the two eyes: buttons for its image, outlines, crop, quality and durations. */
export class EyePanel {
  readonly view: HTMLElement
  private readonly overlay = element('canvas', { hidden: true, role: 'img' })
  private readonly crop = element('canvas', { hidden: true, role: 'img', class: 'crop' })
  private readonly lines = element('div', { 'aria-live': 'polite' })
  private readonly inputs: HTMLInputElement[]

  /**
   * @param chosen called with each chosen or taken image
   * @param cancelled called when no image came of it
   */
  constructor(name: 'First' | 'Second', chosen: (file: File) => void, cancelled: () => void) {
    const id = name.toLowerCase()
    this.overlay.setAttribute('aria-label', `${name} eye with the outlines of pupil and iris, and the visible iris in green`)
    this.crop.setAttribute('aria-label', `Crop of the ${id} eye that the model sees`)
    const inputs = [
      { id: `${id}-file`, label: 'Choose image …', options: {} },
      // Phones open the camera for this attribute; no permission is needed that could be refused.
      { id: `${id}-camera`, label: 'Take photo …', options: { capture: 'environment' } },
    ]
    const buttons = inputs.map(({ id, label, options }) => {
      const input = element('input', { type: 'file', id, accept: 'image/*', class: 'hidden-input', 'aria-label': `${name} eye: ${label}`, ...options })
      input.addEventListener('change', () => {
        const file = input.files?.[0]
        input.value = ''
        if (file) chosen(file)
      })
      input.addEventListener('cancel', cancelled)
      return { input, label: element('label', { class: 'button', for: id }, label) }
    })
    this.inputs = buttons.map(({ input }) => input)
    this.view = element(
      'article', { class: 'eye', id: `${id}-eye` }, element('h3', {}, `${name} eye`),
      element('p', {}, ...buttons.flatMap(({ input, label }) => [label, input])), this.overlay, this.crop, this.lines,
    )
  }

  busy(busy: boolean): void {
    for (const input of this.inputs) input.disabled = busy
  }

  show({ overlay, crop, confidence, visibleShare, freedom, times }: Processed): void {
    draw(this.overlay, overlay)
    draw(this.crop, crop)
    const quality = [`confidence ${confidence.toFixed(2)}`, `${Math.round(100 * visibleShare)} % of the iris visible`]
    if (freedom !== null) quality.push(`${Math.floor(freedom)} degrees of freedom`)
    const total = times.segmentation + times.crop + (times.embedding ?? 0)
    const stages = { segmentation: times.segmentation, crop: times.crop, embedding: times.embedding, total }
    const durations = Object.entries(stages).flatMap(([name, time]) => (time === null ? [] : `${name} ${time.toFixed(1)} ms`))
    this.write(element('p', {}, `Quality: ${quality.join(', ')}`), element('p', {}, durations.join(', ')))
  }

  /** Show why there is no result, below the image where it could be read. */
  refuse(image: ColourImage | null, reason: string): void {
    if (image) draw(this.overlay, image)
    else this.overlay.hidden = true
    this.crop.hidden = true
    this.write(element('p', { class: 'problem' }, reason))
  }

  private write(...lines: Node[]) {
    this.lines.replaceChildren(...lines)
  }
}

function draw(canvas: HTMLCanvasElement, { height, width, colours }: ColourImage) {
  canvas.height = height
  canvas.width = width
  canvas.getContext('2d')?.putImageData(new ImageData(toBytes(colours), width, height), 0, 0)
  canvas.hidden = false
}
