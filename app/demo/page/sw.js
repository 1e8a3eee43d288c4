// Keeps the whole page on the device: after the first visit it needs no network. A new build has other bytes here, is fetched
// whole beside the old one, and takes its place when the page asks for it or was closed.

const BUILT = /* what was built */ {};
const PREFIX = `convoy ${self.registration.scope} `; // of the cache: pages under other paths of this host have their own
const CACHE = PREFIX + BUILT.version;

// A module that is valid where relaxed SIMD is known: i8x16.relaxed_swizzle of two vectors.
const RELAXED_SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
  128, 2, 11);

/** The files to keep at once. LiteRT has one build of two for this browser; large files are kept when they are first asked for. */
function needed() {
  const other = WebAssembly.validate(RELAXED_SIMD) ? "litert_wasm_compat_internal" : "litert_wasm_internal";
  return ["./", ...BUILT.files.filter((path) => !path.includes(`/${other}.`) && !BUILT.later.includes(path))];
}

self.addEventListener("install", (event) => {
  const requests = needed().map((path) => new Request(path, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
    await self.clients.claim();
  })());
});

self.addEventListener("message", ({ data }) => {
  if (data === "take over") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope)) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    const response = await fetch(request);
    const path = request.url.slice(self.registration.scope.length);
    if (response.ok && BUILT.later.includes(path)) event.waitUntil(cache.put(request, response.clone()));
    return response;
  })());
});
