import { Problem } from './problem'

/** Fetch a file that is stored compressed; some servers say so, and browsers then decompress it themselves. */
export async function fetchCompressed(url: URL): Promise<ArrayBuffer> {
  const found = await fetchFile(url)
  const [first, second] = new Uint8Array(found)
  if (first !== 0x1f || second !== 0x8b) return found // no longer gzip
  const plain = new Response(found).body?.pipeThrough(new DecompressionStream('gzip'))
  return new Response(plain).arrayBuffer()
}

/** Fetch one of the page's files. */
export async function fetchFile(url: URL): Promise<ArrayBuffer> {
  let response: Response
  try {
    response = await fetch(url)
  } catch {
    throw new Problem(`${nameOf(url)} cannot be loaded; connect to the network, and reload the page.`)
  }
  if (!response.ok) throw new Problem(`${nameOf(url)} is missing on the server (status ${response.status}); build the page again.`)
  return response.arrayBuffer()
}

function nameOf(url: URL) {
  return url.pathname.split('/').pop() ?? url.pathname
}
