import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { checkModelFile, readCard } from 'core'
import type { ModelContent } from '../runtime/engine'
import { fetchFile } from '../runtime/fetch_file'
import { Problem } from '../runtime/problem'

/** Name of the card beside model files. */
export const CARD = 'model_card.json'

/** Files that no phone's browser would hold in memory several times. */
const MOST_BYTES = 1 << 30

/** A model file of the page or of the user; `card` is the text of its card, null without one. */
export interface Model {
  readonly file: string
  readonly sha256: string
  readonly bytes: number
  readonly card: string | null
  readonly isSegmenter: boolean
  read(): Promise<ModelContent>
}

/** An entry of `models/models.json`, which the build writes. */
export interface BundledModel {
  readonly folder: string
  readonly file: string
  readonly sha256: string
  readonly bytes: number
}

/** The models that come with the page; their content is loaded when it is needed. */
export async function bundledModels(base: URL): Promise<Model[]> {
  const entries = JSON.parse(await text(new URL('models/models.json', base))) as BundledModel[]
  return Promise.all(entries.map(async ({ folder, file, sha256, bytes }) => {
    const card = await text(new URL(`models/${folder}/${CARD}`, base))
    let content: Promise<ModelContent> | null = null
    const load = async () => {
      const found = new Uint8Array(await fetchFile(new URL(`models/${folder}/${file}`, base)))
      readCard(card, folder).check(file, digest(found), found.length)
      return { file, content: found }
    }
    return { file, sha256, bytes, card, isSegmenter: readCard(card, folder).isSegmenter, read: () => (content ??= load()) }
  }))
}

/** Text of one of the page's files. */
async function text(url: URL): Promise<string> {
  return new TextDecoder().decode(await fetchFile(url))
}

/**
 * The models among files that the user chose.
 *
 * A card beside them has to list each of them with its SHA-256.
 */
export async function chosenModels(files: readonly File[]): Promise<Model[]> {
  const cards = files.filter((file) => file.name.endsWith('.json'))
  const models = files.filter((file) => !file.name.endsWith('.json'))
  if (models.length === 0) throw new Problem('No model file was chosen; choose a .tflite file, together with its model_card.json if it has one.')
  if (cards.length > 1) throw new Problem('More than one card was chosen; choose the model_card.json of the model files.')
  const card = cards[0] ? await cards[0].text() : null
  const parsed = card === null ? null : readCard(card, 'chosen files')
  return Promise.all(models.map(async (chosen) => {
    if (chosen.size > MOST_BYTES) throw new Problem(`${chosen.name} has more than 1 GiB, which is too large for a browser; choose a smaller model.`)
    const file = chosen.name
    const content = new Uint8Array(await chosen.arrayBuffer())
    checkModelFile(file, new Int8Array(content.buffer))
    const hash = digest(content)
    parsed?.check(file, hash, content.length)
    return {
      file, sha256: hash, bytes: content.length, card, isSegmenter: parsed?.isSegmenter ?? false,
      read: () => Promise.resolve({ file, content }),
    }
  }))
}

// Not WebCrypto, which pages without HTTPS lack.
const digest = (content: Uint8Array) => bytesToHex(sha256(content))
