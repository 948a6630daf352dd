import { element } from './element'

/** Offer a text as a file to save. */
export function save(name: string, type: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }))
  element('a', { href: url, download: name }).click()
  setTimeout(() => { URL.revokeObjectURL(url) }, KEPT_MS)
}

const KEPT_MS = 60_000 // phones ask first where to save it
