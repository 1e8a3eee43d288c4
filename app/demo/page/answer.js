// Outputs -> what a person reads and sees: the verdict, a list, and boxes or a mask over the picture.

import { BACKGROUND, Overlay } from "./drawn.js";
import { boxesOf, sharesOf } from "./outputs.js";
import { counted, element, fill, percent, placed, widen } from "./rows.js";

const TOP = 5;
const MOST = 12; // boxes in the list: live video must not push the controls away
const WIDEST = 11; // characters of a name beside its bar
const SPOKEN_EVERY = 2000; // milliseconds: live video must not talk without end

/** The likeliest classes, the first one first: [{label, probability}]. Equal ones stay in the release's order. */
export function likeliest(probabilities, classes, count = TOP) {
  return Array.from(probabilities, (probability, index) => ({ label: classes[index], probability }))
    .sort((one, other) => other.probability - one.probability)
    .slice(0, count);
}

/** The part of the page that shows an answer. */
class AnswerView {
  section = document.querySelector("#answer");
  says = document.querySelector("#says");
  share = document.querySelector("#share");
  bars = document.querySelector("#bars");
  #spoken = document.querySelector("#spoken");
  #last = { label: "", time: -SPOKEN_EVERY };

  /** `threshold` is the probability below which the release does not believe an answer. */
  constructor({ classes, threshold }) {
    this.classes = classes;
    this.threshold = threshold;
    widen(this.bars, classes, WIDEST);
    this.bars.style.setProperty("--threshold", threshold);
    fill(this.bars, Array.from({ length: Math.min(TOP, classes.length) }, () => ({ label: "", share: 0 }))); // keeps their room
  }

  /** Shows no answer, and a few words instead. */
  clear(words) {
    this.section.dataset.state = "empty";
    this.says.textContent = words;
    this.share.textContent = "";
    this.#spoken.textContent = "";
    this.#last = { label: "", time: -SPOKEN_EVERY };
  }

  /** Takes away what lies over a picture that goes. */
  forget() {}

  speak(label, text) {
    const now = performance.now();
    if (label === this.#last.label || now - this.#last.time < SPOKEN_EVERY) return;
    this.#last = { label, time: now };
    this.#spoken.textContent = text;
  }
}

/** Of one picture, one class. */
export class LabelsView extends AnswerView {
  /** Shows probabilities; `truth` is the right class where it is known. */
  show({ probabilities }, truth) {
    const best = likeliest(probabilities, this.classes);
    const [{ label, probability }] = best;
    const sure = probability >= this.threshold;
    const words = sure ? label : `Not sure: looks most like ${label}`;
    this.section.dataset.state = sure ? "sure" : "unsure";
    const parts = sure ? [element("strong", label)] : [element("span", "Not sure: looks most like "), element("strong", label)];
    if (truth !== undefined) parts.push(element("em", truth === label ? " right" : ` it is ${truth}`));
    this.says.replaceChildren(...parts);
    this.share.textContent = percent(probability);
    fill(this.bars, best.map((one) => ({ label: one.label, share: one.probability })));
    this.speak(words, sure ? `${words}, ${percent(probability)}` : words);
  }
}

/** What has an overlay: where the network finds something in the picture. */
class DrawnView extends AnswerView {
  /** `shown` gives the size of the picture that is looked at, {width, height}. */
  constructor(site, shown) {
    super(site);
    this.overlay = new Overlay(document.querySelector("#drawn"), shown);
  }

  clear(words) {
    super.clear(words);
    this.overlay.clear();
  }

  forget() {
    this.overlay.clear();
  }

  tell(words, more, truth, rows) {
    this.section.dataset.state = "found";
    const known = truth === undefined ? "" : `it has ${counted(truth.filter((label) => label !== BACKGROUND)) || "nothing"}`;
    this.says.replaceChildren(element("strong", words), element("em", [more, known].filter(Boolean).join("; ")));
    fill(this.bars, rows);
    this.speak(`${words} ${more}`, [words, more].filter(Boolean).join(": "));
  }
}

/** Of one picture, boxes; the list has the surest of them. */
export class BoxesView extends DrawnView {
  show(outputs, truth) {
    const boxes = boxesOf(outputs, this.classes, this.threshold);
    const rows = boxes.slice(0, MOST).map(({ label, score, number, box }) => ({ label, share: score, number, place: placed(box) }));
    this.tell(boxes.length ? `${boxes.length} found` : "Nothing found", counted(boxes.map(({ label }) => label)), truth, rows);
    this.overlay.boxes(boxes);
  }
}

/** Of one picture, a class for every pixel. */
export class MaskView extends DrawnView {
  show({ mask }, truth) {
    const shares = sharesOf(mask, this.classes);
    const names = shares.filter(({ number }) => number !== undefined).map(({ label }) => label);
    this.tell(names.length ? `${names.length} found` : "Nothing found", names.slice(0, TOP).join(", "), truth, shares);
    this.overlay.mask(mask, this.classes);
  }
}

/** By the release's objective. */
export const VIEWS = { classification: LabelsView, detection: BoxesView, segmentation: MaskView };
