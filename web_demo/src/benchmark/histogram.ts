import type { Durations } from 'core'
import { svgElement } from '../page/element'

const BINS = 30
const HEIGHT = 48

/** Histogram of durations, from the shortest to the longest. */
export function histogram(durations: Durations): SVGElement {
  const counts = [...durations.histogram(BINS)]
  const most = Math.max(...counts)
  const bars = counts.map((count, i) => {
    const height = (count / most) * HEIGHT
    return svgElement('rect', { x: i + 0.05, y: HEIGHT - height, width: 0.9, height })
  })
  const label = `Histogram of ${durations.count} inferences from ${durations.min.toFixed(2)} to ${durations.max.toFixed(2)} ms`
  return svgElement(
    'svg', { viewBox: `0 0 ${BINS} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'histogram', role: 'img', 'aria-label': label }, ...bars,
  )
}
