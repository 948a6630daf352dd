/** Bytes red, green, blue and alpha, as canvases have them, to numbers 0xAARRGGBB. */
export function toColours(bytes: Uint8ClampedArray): Int32Array<ArrayBuffer> {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const colours = new Int32Array(bytes.length / BYTES)
  for (let i = 0; i < colours.length; i++) {
    const pixel = data.getUint32(BYTES * i) // 0xRRGGBBAA
    colours[i] = (pixel >>> 8) | (pixel << 24)
  }
  return colours
}

/** The opposite of `toColours`. */
export function toBytes(colours: Int32Array): Uint8ClampedArray<ArrayBuffer> {
  const bytes = new Uint8ClampedArray(BYTES * colours.length)
  const data = new DataView(bytes.buffer)
  for (const [i, colour] of colours.entries()) data.setInt32(BYTES * i, (colour << 8) | (colour >>> 24))
  return bytes
}

const BYTES = 4 // of a pixel
