// The page: wires the ways to a picture, the network and the answer together.

import { VIEWS } from "./answer.js";
import { Camera, withoutCamera } from "./camera.js";
import { Paper } from "./drawing.js";
import { Examples } from "./examples.js";
import { Network } from "./network.js";
import { keepOffline } from "./offline.js";
import { display, middle, openPicture, pixelsOf, show } from "./pixels.js";
import { check, pictureAt, pixelsAt, readSamples } from "./selftest.js";
import { VariantSheet, figures, firstVariant, title } from "./variants.js";

const find = (selector) => document.querySelector(selector);
const PRIVACY = "Your pictures stay on this device.";
const NAMED = 12; // classes, in the list of what the network knows

/** What is on the page in each mode; the rest is hidden. */
const PARTS = {
  draw: ["#paper", "#clear"],
  camera: ["#start"],
  filming: ["#view", "#freeze"],
  photo: ["#shoot-button", "#pick-button"],
  examples: ["#samples", "#next"],
};
const SEEN = ["#picture", "#next"]; // of the examples, where one of them has to be seen as large as it goes

class Page {
  #site;
  #samples;
  #network = new Network();
  #opened;
  #variant;
  #view;
  #sheet;
  #paper;
  #examples;
  #camera = new Camera(find("#view"));
  #mode;
  #shownPath = ""; // of the example that was asked for last
  #last = null; // pixels, and the right class where it is known
  #turn = 0; // of the question that is asked: older answers are not shown

  async start() {
    this.#site = await (await fetch("./site.json")).json();
    this.#samples = await readSamples();
    const { name, objective, shape, drawing, variants } = this.#site;
    document.title = name;
    find("#name").textContent = name;
    document.documentElement.style.setProperty("--shape", `${shape.width} / ${shape.height}`);
    this.#view = new VIEWS[objective](this.#site, () => this.#shown);
    this.#sheet = new VariantSheet(this.#site, (variant) => this.use(variant));
    find("#drawn").hidden = !this.#places;
    this.#examples = new Examples(find("#samples"), this.#samples.pictures, ({ path, label, labels }) => {
      if (this.#places) find("#hint").textContent = "";
      this.#answer(this.#places ? this.#display(path) : pixelsAt(path, shape), labels ?? label);
    });
    if (drawing) this.#paper = new Paper(find("#paper"), drawing, () => this.#drawn());
    else find("#modes [value=draw]").parentElement.remove();
    this.#listen();
    this.#opened = this.use(firstVariant(variants));
    const usual = withoutCamera() ? "photo" : "camera";
    this.#enter(drawing ? "draw" : usual);
    await this.#opened;
    await keepOffline(() => { find("#offline").hidden = false; }, offerUpdate);
  }

  /** Runs another file of the release, and asks it again what was asked last. */
  use(variant) {
    this.#variant = variant;
    this.#sheet.mark(variant);
    find("#variant").textContent = `Loading ${title(variant)}…`;
    for (const part of ["#figures", "#time", "#checked"]) find(part).textContent = "";
    this.#opened = this.#open(variant);
    return this.#opened;
  }

  async #open(variant) {
    try {
      await this.#network.open(variant, this.#site.shape);
      if (variant !== this.#variant) return;
      find("#variant").textContent = title(variant);
      find("#figures").textContent = figures(variant, this.#site.metric);
      this.#complain("");
      if (this.#last) this.#answer(this.#last.pixels, this.#last.truth);
    } catch (error) {
      if (variant !== this.#variant) return;
      find("#variant").textContent = `No ${title(variant)} here`;
      this.#complain(`${variant.runtime} does not open this file in your browser. Choose another one below. (${error.message})`);
    }
  }

  /** Asks the network about pixels, now or when they are there. `truth` is the right class where it is known. */
  async #answer(coming, truth) {
    const turn = ++this.#turn;
    try {
      const pixels = await coming;
      if (turn !== this.#turn) return;
      this.#last = { pixels, truth };
      show(pixels, this.#site.shape, find("#input"));
      await this.#opened;
      const { outputs, milliseconds } = await this.#network.run(pixels);
      if (turn !== this.#turn) return;
      this.#complain("");
      this.#view.show(outputs, truth);
      find("#time").textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
    } catch (error) {
      if (turn === this.#turn) this.#complain(`No answer: ${error.message}`);
    }
  }

  #enter(mode) {
    this.#camera.stop();
    this.#turn++;
    this.#last = null;
    this.#mode = mode;
    this.#arrange(mode);
    this.#complain("");
    this.#view.clear(PRIVACY);
    find(`#modes [value=${mode}]`).checked = true;
    find("#picture").hidden = true;
    find("#input").width = 1; // empties it
    find("#time").textContent = "";
    find("#start").disabled = withoutCamera() !== "";
    if (mode === "draw") this.#drawn();
    if (mode === "examples") this.#examples.show();
  }

  /** Shows the parts of a mode, and a hint while there is no picture. */
  #arrange(mode) {
    const parts = this.#places && mode === "examples" ? SEEN : PARTS[mode];
    for (const part of Object.values(PARTS).flat()) find(part).hidden = !parts.includes(part);
    const hints = { draw: this.#digits ? "Draw a digit" : `Draw. ${this.#knows}`, photo: this.#knows };
    find("#hint").textContent = mode === "camera" ? withoutCamera() || this.#knows : hints[mode] ?? "";
  }

  /** Whether an answer lies over the picture, so that the picture has to be seen. */
  get #places() {
    return this.#site.objective !== "classification";
  }

  /** The size of the picture that is looked at: live video fills the stage. */
  get #shown() {
    const { videoWidth, clientWidth, clientHeight, hidden } = find("#view");
    if (!hidden) return videoWidth ? { width: clientWidth, height: clientHeight } : null;
    const picture = find("#picture");
    return picture.hidden ? null : picture;
  }

  /** The pixels of a picture of the site, which is shown as well. */
  async #display(path) {
    this.#shownPath = path;
    const bitmap = await pictureAt(path);
    if (this.#mode === "examples" && this.#shownPath === path) {
      this.#view.forget();
      display(bitmap, find("#picture"));
    }
    const pixels = pixelsOf(bitmap, this.#site.shape);
    bitmap.close();
    return pixels;
  }

  get #digits() {
    return this.#site.classes.every((name) => /^\d$/.test(name));
  }

  get #knows() {
    const { classes } = this.#site;
    const more = classes.length > NAMED ? ` and ${classes.length - NAMED} more` : "";
    return `It knows ${classes.slice(0, NAMED).join(", ")}${more}.`;
  }

  #drawn() {
    if (this.#paper.empty) return;
    find("#hint").textContent = "";
    this.#answer(this.#paper.pixels(this.#site.shape));
  }

  async #film() {
    find("#start").disabled = true; // until the browser has asked
    try {
      await this.#camera.start().finally(() => { find("#start").disabled = withoutCamera() !== ""; });
      if (this.#mode !== "camera") return void this.#camera.stop(); // left while the browser asked
      this.#arrange("filming");
      find("#freeze").textContent = "Freeze";
      for await (const frame of this.#camera.frames()) {
        await this.#answer(pixelsOf(frame, this.#site.shape, middle(frame, this.#site.shape)));
      }
    } catch (error) {
      this.#complain(error.message);
    }
  }

  async #look(file) {
    if (!file) return;
    this.#enter("photo");
    try {
      const bitmap = await openPicture(file);
      display(bitmap, find("#picture"));
      find("#hint").textContent = "";
      await this.#answer(pixelsOf(bitmap, this.#site.shape));
      bitmap.close();
    } catch (error) {
      this.#complain(error.message);
    }
  }

  async #check() {
    const told = find("#checked");
    find("#check").disabled = true;
    told.textContent = "testing…";
    await this.#opened;
    const variant = this.#variant;
    try {
      const { right, total } = await check(this.#network, variant, this.#site.shape, this.#samples);
      if (variant !== this.#variant) return void this.#check(); // another file was chosen meanwhile
      told.textContent = `${right} of ${total} as recorded`;
      told.dataset.state = right === total ? "sure" : "unsure";
    } catch (error) {
      told.textContent = `no answer: ${error.message}`;
    }
    find("#check").disabled = false;
  }

  #listen() {
    const tapped = (part, action) => find(part).addEventListener("click", action);
    tapped("#clear", () => { this.#paper.clear(); this.#enter("draw"); });
    tapped("#start", () => this.#film());
    tapped("#freeze", () => { find("#freeze").textContent = this.#camera.toggle() ? "Go on" : "Freeze"; });
    tapped("#next", () => this.#examples.next());
    tapped("#check", () => this.#check());
    for (const input of document.querySelectorAll("#modes input")) input.addEventListener("change", () => this.#enter(input.value));
    for (const input of [find("#shoot"), find("#pick")]) {
      input.addEventListener("change", () => { this.#look(input.files[0]); input.value = ""; });
    }
    document.addEventListener("paste", (event) => this.#look(event.clipboardData?.files[0]));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => { event.preventDefault(); this.#look(event.dataTransfer?.files[0]); });
    document.addEventListener("visibilitychange", () => { if (document.hidden && this.#camera.running) this.#enter("camera"); });
  }

  /** Says what went wrong in place of the answer; with no words the answer is back. */
  #complain(words) {
    complain(words);
    find("#answer").hidden = words !== "";
  }

  /** For programs: the outputs, by their names, that the variant in use gives for a picture of this site. */
  async outputs(path) {
    await this.#opened;
    const { outputs } = await this.#network.run(await pixelsAt(path, this.#site.shape));
    return Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, plain(values)]));
  }

  /** The probabilities alone. */
  async classify(path) {
    return (await this.outputs(path)).probabilities;
  }
}

/** As JSON has it. */
function plain(values) {
  return ArrayBuffer.isView(values) ? Array.from(values) : { ...values, numbers: Array.from(values.numbers) };
}

function complain(words) {
  find("#trouble").textContent = words;
  find("#trouble").hidden = words === "";
}

function offerUpdate(use) {
  find("#update").hidden = false;
  find("#reload").addEventListener("click", use, { once: true });
}

if (typeof WebAssembly === "undefined" || typeof Worker === "undefined") {
  complain("This browser cannot run networks. Update it, or use Chrome, Safari or Firefox.");
} else {
  window.page = new Page();
  window.page.start().catch((error) => complain(`The page did not load whole. Reload it. (${error.message})`));
}
