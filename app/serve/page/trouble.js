// Why there is no answer, in words for people, and what the page offers to do about it.

import { hasKey, useKey } from "./service.js";

/** Status -> what happened, what to do, and which of the page's offers helps. */
const MEANINGS = {
  0: ["The service does not answer", "It may have been stopped, or the network is down. Your picture is still here.", "again"],
  400: ["This picture cannot be read", "Choose a JPEG, PNG or WebP picture. If it is one, it may be damaged."],
  401: ["This service wants an API key", "Whoever runs the service has it. It is kept until you close this tab.", "key"],
  404: ["This model is not here any more", "The service may have got other models meanwhile.", "models"],
  408: ["The picture came too slowly", "The connection is slow or was interrupted.", "again"],
  413: ["This picture is too large for the service", "Your browser can make it smaller first. The network looks at a small copy anyway.", "smaller"],
  415: ["The service does not take files of this kind", "Choose a JPEG, PNG or WebP picture."],
  503: ["The service has no room now", "It has too much to do, is starting or stopping, or lacks this model for a while.", "again"],
  504: ["The answer took too long", "The service gave up on it; it may have much to do.", "again"],
};
const INSIDE = ["Something went wrong in the service", "This is not your picture's fault. Its log tells more.", "again"];
const REFUSED = ["The service refused this", "Another picture or another model may do.", "again"];
const WRONG_KEY = ["That key was not accepted", "Check it and enter it again.", "key"];
const STILL_TOO_LARGE = ["Even the smaller picture is too large", "Choose another one, or ask whoever runs the service to allow more."];
const OFFERS = { again: "Try again", smaller: "Send it smaller", models: "Look for models" };
const LONGEST_WAIT = 60; // seconds that a button is held back

const find = (selector) => document.querySelector(selector);

/** The part of the page that stands in for an answer. */
export class Trouble {
  #offers;
  #waiting;

  /** `offers` are what the page can do: {again, smaller, models}, functions without arguments. */
  constructor(offers) {
    this.#offers = offers;
    find("#key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      useKey(find("#key").value);
      find("#key").value = "";
      this.#offers.again();
    });
    find("#offer").addEventListener("click", () => this.#offers[find("#offer").dataset.offer]());
  }

  /** Shows a refusal of the service. `smaller` tells that the picture was made smaller already. */
  refuse(refusal, smaller = false) {
    const known = MEANINGS[refusal.status] ?? (refusal.status >= 500 ? INSIDE : REFUSED);
    const tooLarge = refusal.status === 413 && smaller ? STILL_TOO_LARGE : known;
    const [what, remedy, offer] = refusal.status === 401 && hasKey() ? WRONG_KEY : tooLarge;
    const number = refusal.status >= 500 && refusal.number ? ` (request ${refusal.number})` : "";
    this.say(what, remedy, { reason: refusal.message && `The service says: ${refusal.message}${number}`, offer, wait: refusal.wait });
  }

  /** Shows words, and one of the offers where one is named; it is held back for `wait` seconds. */
  say(what, remedy, { reason = "", offer, wait = 0 } = {}) {
    clearInterval(this.#waiting);
    find("#what").textContent = what;
    find("#remedy").textContent = remedy;
    find("#reason").textContent = reason;
    find("#key-form").hidden = offer !== "key";
    find("#offer").hidden = !(offer in OFFERS);
    find("#trouble").hidden = false;
    find("#answer").hidden = true;
    if (offer === "key") find("#key").focus();
    else if (offer) this.#hold(offer, Math.min(wait, LONGEST_WAIT));
  }

  /** Takes the words away again; the answer is back. */
  clear() {
    clearInterval(this.#waiting);
    if (find("#trouble").contains(document.activeElement)) find("#stage").focus(); // not lost with what had it
    find("#trouble").hidden = true;
    find("#answer").hidden = false;
  }

  #hold(offer, seconds) {
    const button = find("#offer");
    button.dataset.offer = offer;
    const end = performance.now() + seconds * 1000;
    const count = () => {
      const left = Math.ceil((end - performance.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `${OFFERS[offer]} in ${left} s` : OFFERS[offer];
      if (left <= 0) clearInterval(this.#waiting);
    };
    this.#waiting = setInterval(count, 250);
    count();
  }
}
