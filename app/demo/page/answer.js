// Probabilities -> what a person reads: the verdict, and a bar for each of the likeliest classes.

const TOP = 5;
const WIDEST = 11; // characters of a name beside its bar
const CHARACTER = 0.64; // of the height of type
const SPOKEN_EVERY = 2000; // milliseconds: live video must not talk without end

/** The likeliest classes, the first one first: [{label, probability}]. Equal ones stay in the release's order. */
export function likeliest(probabilities, classes, count = TOP) {
  return Array.from(probabilities, (probability, index) => ({ label: classes[index], probability }))
    .sort((one, other) => other.probability - one.probability)
    .slice(0, count);
}

/** A share as people read it. Never 100 % for what is not certain. */
export function percent(share) {
  const value = share * 100;
  if (value > 99.9 && value < 100) return "99.9%";
  return `${value.toFixed(value < 10 || value > 99 ? 1 : 0)}%`;
}

/** The part of the page that shows an answer. */
export class AnswerView {
  #section = document.querySelector("#answer");
  #says = document.querySelector("#says");
  #share = document.querySelector("#share");
  #bars = document.querySelector("#bars");
  #spoken = document.querySelector("#spoken");
  #classes;
  #threshold;
  #last = { label: "", time: -SPOKEN_EVERY };

  /** `threshold` is the probability below which the release says that a picture may be none of its classes. */
  constructor(classes, threshold) {
    this.#classes = classes;
    this.#threshold = threshold;
    const longest = Math.max(...classes.map((name) => name.length));
    this.#bars.style.setProperty("--widest", `${Math.min(longest, WIDEST) * CHARACTER}em`);
    this.#bars.style.setProperty("--threshold", threshold);
    this.#bars.replaceChildren(...Array.from({ length: Math.min(TOP, classes.length) }, bar));
  }

  /** Shows no answer, and a few words instead. */
  clear(words) {
    this.#section.dataset.state = "empty";
    this.#says.textContent = words;
    this.#share.textContent = "";
    this.#spoken.textContent = "";
    this.#last = { label: "", time: -SPOKEN_EVERY };
  }

  /** Shows probabilities; `truth` is the right class where it is known. */
  show(probabilities, truth) {
    const best = likeliest(probabilities, this.#classes);
    const [{ label, probability }] = best;
    const sure = probability >= this.#threshold;
    const words = sure ? label : `Not sure: looks most like ${label}`;
    this.#section.dataset.state = sure ? "sure" : "unsure";
    const parts = sure ? [element("strong", label)] : [element("span", "Not sure: looks most like "), element("strong", label)];
    if (truth !== undefined) parts.push(element("em", truth === label ? " right" : ` it is ${truth}`));
    this.#says.replaceChildren(...parts);
    this.#share.textContent = percent(probability);
    best.forEach((one, place) => fill(this.#bars.children[place], one.label, one.probability));
    this.#speak(words, sure ? `${words}, ${percent(probability)}` : words);
  }

  #speak(label, text) {
    const now = performance.now();
    if (label === this.#last.label || now - this.#last.time < SPOKEN_EVERY) return;
    this.#last = { label, time: now };
    this.#spoken.textContent = text;
  }
}

function bar() {
  const row = document.createElement("li");
  const track = element("span", "");
  track.className = "track";
  track.append(element("i", ""));
  row.append(element("b", ""), track, element("data", ""));
  return row;
}

function fill(row, label, probability) {
  const [name, track, value] = row.children;
  name.textContent = label;
  track.style.setProperty("--share", probability);
  value.textContent = percent(probability);
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}
