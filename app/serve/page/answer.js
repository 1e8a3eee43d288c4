// An answer of the service -> what a person reads and sees: the verdict, a list, and boxes or a mask over the picture.

import { BACKGROUND, Overlay } from "./drawn.js";
import { counted, element, fill, percent, placed, widen } from "./rows.js";

const WIDEST = 13; // characters of a name beside its bar
const LONG = 9; // characters of a name from which the verdict is set smaller

/** What an answer holds -> the function that shows it. A further kind of answer is a further row. */
const DRAWINGS = { labels: drawLabels, boxes: drawBoxes, mask: drawMask };

const find = (selector) => document.querySelector(selector);
const image = find("#picture");
const overlay = new Overlay(find("#drawn"), () => (image.hidden ? null : { width: image.naturalWidth, height: image.naturalHeight }));
const least = find("#least");
let shown = null; // boxes, to be chosen from by their scores, and the classes
let chosenFor = ""; // the model whose least score stands there

image.addEventListener("load", () => overlay.redraw());
least.addEventListener("input", () => shown && drawChosen());

/** Shows an answer of a model, and says it aloud. */
export function draw(answer, model) {
  empty();
  for (const [part, drawing] of Object.entries(DRAWINGS)) if (part in answer) drawing(answer, model);
}

/** Shows no answer, and a few words instead. */
export function clear(words) {
  empty();
  find("#answer").dataset.state = "empty";
  find("#says").textContent = words;
  find("#share").textContent = "";
  find("#spoken").textContent = "";
  find("#bars").replaceChildren();
}

function empty() {
  shown = null;
  overlay.clear();
  find("#least-row").hidden = true;
}

function drawLabels({ labels, none_of_these: none }) {
  const [{ label, probability }] = labels;
  find("#answer").dataset.state = none ? "none" : "sure";
  say(none ? "None of these" : label, none ? `looks most like ${label}` : "", none ? "" : percent(probability));
  widen(find("#bars"), labels.map((one) => one.label), WIDEST);
  fill(find("#bars"), labels.map((one) => ({ label: one.label, share: one.probability })));
  find("#spoken").textContent = none
    ? `None of these. It looks most like ${label}, ${percent(probability)}`
    : `${label}, ${percent(probability)}`;
}

/** All boxes are there; those are drawn whose score is at least what the slider says, the release's own at first. */
function drawBoxes({ boxes }, { name, classes, threshold }) {
  shown = boxes.map((one) => ({ ...one, number: classes.indexOf(one.label) }));
  if (chosenFor !== name) least.value = threshold;
  chosenFor = name;
  find("#least-row").hidden = false;
  drawChosen();
}

function drawChosen() {
  const boxes = shown.filter(({ score }) => score >= Number(least.value));
  const names = boxes.map(({ label }) => label);
  const words = boxes.length ? `${boxes.length} found` : "Nothing found";
  find("#least-says").textContent = percent(Number(least.value));
  find("#answer").dataset.state = "found";
  say(words, boxes.length ? counted(names) : `with a score of ${percent(Number(least.value))} or more`);
  widen(find("#bars"), names, WIDEST);
  fill(find("#bars"), boxes.map(({ label, score, number, box }) => ({ label, share: score, number, place: placed(box) })));
  find("#spoken").textContent = boxes.length ? `${words}: ${counted(names)}` : words;
  overlay.boxes(boxes);
}

function drawMask({ mask }, { classes }) {
  const number = (label) => (label === BACKGROUND ? undefined : classes.indexOf(label));
  const rows = mask.classes.map(({ label, share }) => ({ label, share, number: number(label) }));
  const areas = rows.filter((row) => row.number !== undefined);
  const words = areas.length ? `${areas.length} found` : "Nothing found";
  find("#answer").dataset.state = "found";
  say(words, areas.length ? "by their share of the picture" : "");
  widen(find("#bars"), rows.map(({ label }) => label), WIDEST);
  fill(find("#bars"), rows);
  find("#spoken").textContent = `${words}: ${rows.map(({ label, share }) => `${label} ${percent(share)}`).join(", ")}`;
  overlay.mask(mask, classes);
}

function say(words, more = "", share = "") {
  const verdict = element("strong", words);
  verdict.classList.toggle("long", words.length > LONG);
  find("#says").replaceChildren(verdict, more && element("em", more));
  find("#share").textContent = share;
}
