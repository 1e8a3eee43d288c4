// The page: wires the ways to a picture, the service and the answer together.

import { clear, draw } from "./answer.js";
import { ModelSheet } from "./models.js";
import { Stage, Unreadable, bytesOf, shrink } from "./picture.js";
import { Refusal, alive, listModels, predict } from "./service.js";
import { Trouble } from "./trouble.js";

const NAMED = 12; // classes, in the list of what a model knows
const SUSPECT = 2 ** 20; // bytes from which a cut connection may mean that they were too many

const find = (selector) => document.querySelector(selector);

class Page {
  #sheet = new ModelSheet();
  #stage = new Stage(() => find("#pick").click());
  #trouble = new Trouble({ again: () => this.#again(), smaller: () => this.#shrink(), models: () => this.#meet() });
  #again = () => {};
  #choice = null;
  #picture = null; // what is sent
  #smaller = false; // whether it was made smaller here
  #question = new AbortController();

  start() {
    for (const input of [find("#shoot"), find("#pick")]) {
      input.addEventListener("change", () => { this.#look([...input.files]); input.value = ""; });
    }
    document.addEventListener("paste", (event) => this.#paste(event));
    document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
    document.addEventListener("drop", (event) => this.#drop(event));
    addEventListener("hashchange", () => this.#choose());
    this.#meet();
  }

  /** Asks the service for its models, and goes on with the one that the address names. */
  async #meet() {
    await this.#attempt(() => this.#meet(), async () => {
      this.#sheet.fill(await listModels());
      this.#choose();
    });
  }

  #choose() {
    const choice = this.#sheet.chosen();
    if (!choice) {
      this.#sheet.miss();
      if (this.#sheet.empty) this.#trouble.say("This service has no model", "Whoever runs it can load one.", { offer: "models" });
      else this.#trouble.say(`There is no model “${location.hash.slice(1)}” here`, "Choose another one by the button below.");
      return;
    }
    this.#choice = choice;
    this.#sheet.mark(choice);
    if (this.#picture) this.#ask();
    else {
      this.#trouble.clear();
      clear(knows(choice.model));
    }
  }

  #paste(event) {
    if (event.target === find("#key")) return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) this.#look(files);
    else this.#trouble.say("There is no picture in what you pasted", "Copy a picture or its file, and paste again.");
  }

  #drop(event) {
    event.preventDefault();
    document.body.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) this.#look(files);
    else this.#trouble.say("There is no file in what you dropped", "From another page, copy the picture and paste it here.");
  }

  /** Shows the first of some files, and asks about it. */
  async #look([file, ...others]) {
    if (!file) return; // the chooser was closed without one
    try {
      this.#picture = await bytesOf(file);
    } catch (error) {
      return void this.#trouble.say("This file cannot be read", error.message);
    }
    this.#smaller = false;
    const first = others.length ? `, the first of ${others.length + 1}` : "";
    this.#stage.show(this.#picture, `${file.name}, ${size(file.size)}${first}`);
    await (this.#choice ? this.#ask() : this.#meet());
  }

  async #shrink() {
    try {
      const smaller = await shrink(this.#picture);
      this.#picture = smaller;
      this.#smaller = true;
      this.#stage.show(smaller, `made smaller: ${size(smaller.size)}`);
      await this.#ask();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      this.#trouble.say("This picture cannot be made smaller here", error.message);
    }
  }

  /** Sends the picture to the chosen model and shows the answer, unless another question was asked meanwhile. */
  async #ask() {
    this.#question.abort();
    this.#question = new AbortController();
    const { signal } = this.#question;
    const choice = this.#choice;
    find("#time").hidden = true;
    find("#answer").setAttribute("aria-busy", "true");
    this.#trouble.clear();
    if (find("#answer").dataset.state === "empty") clear("Looking…");
    await this.#attempt(() => this.#ask(), async () => {
      const { answer, milliseconds } = await predict(choice, this.#picture, signal);
      if (signal.aborted) return;
      this.#sheet.mark(choice, answer.version);
      draw(answer, choice.model);
      find("#time b").textContent = `${milliseconds.toFixed(0)} ms`;
      find("#time").hidden = false;
    }, signal);
    if (!signal.aborted) find("#answer").removeAttribute("aria-busy");
  }

  /** Does something with the service; what it refuses is told, and `again` is what trying again means. */
  async #attempt(again, action, signal) {
    try {
      await action();
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      this.#again = again;
      clear("");
      if (!this.#choice) this.#sheet.miss();
      this.#trouble.refuse(await this.#understood(error), this.#smaller);
    }
  }

  /** A server that hangs up on a body it does not want looks, to a browser, as if it were gone. */
  async #understood(refusal) {
    const suspect = refusal.status === 0 && this.#picture?.size > SUSPECT;
    return suspect && (await alive()) ? new Refusal(413, "the connection was closed while the picture was sent") : refusal;
  }
}

function knows({ classes }) {
  const more = classes.length > NAMED ? ` and ${classes.length - NAMED} more` : "";
  return `It knows ${classes.slice(0, NAMED).join(", ")}${more}.`;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const kibibytes = bytes / 1024;
  return kibibytes < 1000 ? `${Math.round(kibibytes)} KiB` : `${(kibibytes / 1024).toFixed(1)} MiB`;
}

new Page().start();
