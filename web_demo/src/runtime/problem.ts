import { sentence } from 'core'

/** A problem that the user can understand; the message is one sentence. */
export class Problem extends Error {
  override readonly name = 'Problem'
}

/** One sentence for the user about any error. */
export function userMessage(error: unknown): string {
  if (error instanceof Problem) return error.message
  if (!(error instanceof Error)) return `Something failed (${String(error)}).`
  const known = sentence(error)
  if (known) return known
  const first = (error.message.split('\n')[0] ?? '').replace(/\.$/, '')
  if (/out of memory|OOM|allocation failed/i.test(first)) return NO_MEMORY
  return `The runtime failed (${first || error.name}).`
}

export const NO_MEMORY = 'The browser does not have enough memory for this model; close other tabs, or choose a smaller one.'
