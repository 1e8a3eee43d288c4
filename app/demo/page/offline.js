// Keeps the page on the device, and tells when that is done or a newer one is there.

/** Registers the service worker; `kept` is called once everything is on the device, `newer` when a newer page is. */
export async function keepOffline(kept, newer) {
  if (!("serviceWorker" in navigator)) return;
  let registration;
  try {
    registration = await navigator.serviceWorker.register("./sw.js");
  } catch {
    return; // a certificate that the device does not trust: the page works, but is not kept
  }
  const waiting = () => {
    if (registration.waiting && registration.active) newer(() => takeOver(registration.waiting));
  };
  registration.addEventListener("updatefound", () => registration.installing.addEventListener("statechange", waiting));
  waiting();
  await navigator.serviceWorker.ready;
  kept();
}

function takeOver(worker) {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
  worker.postMessage("take over");
}
