// The service as its pages speak to it. Every path is relative, so that a proxy may put the service under any prefix.

import { readMask } from "./png.js";

const KEY = "convoy-api-key";
const LEAST_SCORE = 0.05; // of boxes that are asked for: the page chooses among them

/** A question that got no answer: `status` as HTTP has it, 0 where nobody answered; `message` is the service's own sentence. */
export class Refusal extends Error {
  constructor(status, message = "", { wait = 0, number = "" } = {}) {
    super(message);
    this.status = status;
    this.wait = wait; // seconds after which the service wants to be asked again
    this.number = number; // of the request, in the service's log
  }
}

let key = stored();

/** Sends this key with every question from now on, until the tab is closed. */
export function useKey(text) {
  key = text;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    // where nothing may be kept, the page remembers it
  }
}

/** Whether a key goes with the questions. */
export function hasKey() {
  return key !== "";
}

/** [{name, version, versions, objective, classes, threshold, input, ready}] */
export async function listModels() {
  return (await ask("v1/models")).models;
}

/**
 * What a model says of a picture, and the milliseconds from sending it until the answer was there.
 * `version` is left out for the newest; `body` is an encoded picture as a Blob. A mask comes with its `numbers`.
 */
export async function predict({ name, version, model: { objective } }, body, signal) {
  const path = encodeURIComponent(name) + (version === undefined ? "" : `/versions/${version}`);
  const headers = { "Content-Type": body.type };
  const start = performance.now();
  const query = objective === "detection" ? `?threshold=${LEAST_SCORE}` : "";
  const answer = await ask(`v1/models/${path}:predict${query}`, { method: "POST", body, headers, signal });
  const milliseconds = performance.now() - start;
  if (answer.mask) Object.assign(answer.mask, await readMask(answer.mask.png));
  return { answer, milliseconds };
}

/** Whether the service lives, though it gave no answer to something else. */
export async function alive() {
  try {
    return (await fetch("v2/health/live", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

/** The JSON of an address of the service. Fails with a Refusal. */
export async function ask(path, { headers = {}, ...request } = {}) {
  const authorization = key === "" ? {} : { Authorization: `Bearer ${key}` };
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...request, headers: { ...headers, ...authorization } });
    if (response.ok) return await response.json();
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Refusal(0);
  }
  throw new Refusal(response.status, await sentence(response), {
    wait: Number(response.headers.get("Retry-After")) || 0,
    number: response.headers.get("X-Request-Id") ?? "",
  });
}

async function sentence(response) {
  try {
    return String((await response.json()).error ?? "");
  } catch {
    return ""; // a proxy's page, not the service's
  }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
