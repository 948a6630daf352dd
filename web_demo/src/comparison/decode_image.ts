import { sampleSize } from 'core'
import { Problem, userMessage } from '../runtime/problem'
import type { ColourImage } from '../runtime/protocol'
import { toColours } from './colours'

/** Images of more pixels would take more memory than browsers on phones have. */
const MOST_PIXELS = 200e6

/**
 * Decode an image, upright; one of more than 4 megapixels is reduced, as in the app.
 *
 * Colours are neither converted nor multiplied by transparency, so that a PNG has the grey levels that
 * Python reads.
 */
export async function decodeImage(file: Blob, name: string): Promise<ColourImage> {
  const { height, width } = await sizeOf(file, name)
  if (height * width > MOST_PIXELS) {
    throw new Problem(`${name} has ${Math.round((height * width) / 1e6)} megapixels, more than a browser can hold; reduce it first.`)
  }
  const factor = sampleSize(height, width)
  const reduced: ImageBitmapOptions = factor === 1 ? {} : {
    resizeHeight: Math.floor(height / factor), resizeWidth: Math.floor(width / factor), resizeQuality: 'high',
  }
  let bitmap: ImageBitmap
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none', premultiplyAlpha: 'none', ...reduced })
  } catch (error) {
    throw new Problem(`${name} cannot be decoded (${userMessage(error).replace(/\.$/, '')}); use a smaller image.`)
  }
  const image = coloursOf(bitmap)
  bitmap.close()
  return image
}

/** Height and width after the rotation that a photo's EXIF data ask for. */
async function sizeOf(file: Blob, name: string): Promise<{ height: number; width: number }> {
  const url = URL.createObjectURL(file)
  const image = new Image()
  image.src = url
  try {
    await image.decode()
    return { height: image.naturalHeight, width: image.naturalWidth }
  } catch {
    const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer())
    throw new Problem(isHeic(head)
      ? `${name} is a HEIC photo, which this browser cannot read; save it as JPEG or PNG (on an iPhone: Settings, Camera, Formats, Most Compatible).`
      : `${name} is not an image that this browser can read, or it is damaged; use a JPEG or PNG.`)
  } finally {
    URL.revokeObjectURL(url)
  }
}

const HEAD = 12 // bytes that name the format of a HEIC photo

/** Whether a file's first bytes are those of a HEIC or HEIF image: a box `ftyp` with one of their brands. */
export function isHeic(head: Uint8Array): boolean {
  const text = String.fromCharCode(...head.slice(4, HEAD))
  return /^ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)/.test(text)
}

function coloursOf(bitmap: ImageBitmap): ColourImage {
  const { height, width } = bitmap
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
  if (!context) throw new Problem('The browser does not have enough memory for this image; close other tabs, or reduce the image.')
  context.drawImage(bitmap, 0, 0)
  const { data } = context.getImageData(0, 0, width, height)
  return { height, width, colours: toColours(data) }
}
