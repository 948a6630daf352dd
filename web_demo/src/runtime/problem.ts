import { sentence } from 'core'

/** A problem that the user can understand; the message is one sentence. */
export class Problem extends Error {
  override readonly name = 'Problem'
}

/** One sentence for the user about any error. */
export function userMessage(error: unknown): string {
  if (error instanceof Problem) return error.message
  if (isOutOfMemory(error)) return NO_MEMORY
  if (!(error instanceof Error)) return `Something failed (${String(error)}).`
  return sentence(error) ?? `The runtime failed (${firstLine(error)}).`
}

/** First line of an error's message, without its full stop. */
export function firstLine(error: Error): string {
  return (error.message.split('\n')[0] ?? '').replace(/\.$/, '') || error.name
}

export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && /out of memory|OOM|allocation failed|enlarge memory/i.test(error.message)
}

export const NO_MEMORY = 'The browser does not have enough memory for this model; close other tabs, or choose a smaller one.'
