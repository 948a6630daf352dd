// Keeps the page's files, so that it works offline, and adds the headers that WebAssembly threads need
// to what it serves, because many file hosts cannot send them. The build fills in the two constants.
const CACHE = 'iris-tf-__VERSION__'
const FILES = __FILES__

const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }

addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => skipWaiting()))
})

addEventListener('activate', (event) => {
  event.waitUntil(removeOthers().then(() => clients.claim()))
})

addEventListener('fetch', (event) => {
  const { request } = event
  if (request.method === 'GET' && new URL(request.url).origin === location.origin) event.respondWith(serve(request))
})

async function removeOthers() {
  const names = await caches.keys()
  await Promise.all(names.filter((name) => name.startsWith('iris-tf-') && name !== CACHE).map((name) => caches.delete(name)))
}

async function serve(request) {
  const cache = await caches.open(CACHE)
  const kept = await cache.match(request, { ignoreSearch: true })
  if (kept) return isolated(kept)
  const response = await fetch(request)
  if (response.status === 200) await cache.put(request, response.clone())
  return isolated(response)
}

function isolated(response) {
  if (response.type === 'opaque' || response.redirected) return response
  const headers = new Headers(response.headers)
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value)
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
}
