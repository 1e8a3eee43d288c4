// An answer of the service -> what a person reads: the verdict, and a bar for each of the likeliest classes.

const WIDEST = 13; // characters of a name beside its bar
const CHARACTER = 0.64; // of the height of type
const LONG = 9; // characters of a name from which the verdict is set smaller

/** What an answer holds -> the function that shows it. A further kind of answer is a further row. */
const DRAWINGS = { labels: drawLabels };

const find = (selector) => document.querySelector(selector);

/** Shows an answer, and says it aloud. */
export function draw(answer) {
  for (const [part, drawing] of Object.entries(DRAWINGS)) if (part in answer) drawing(answer);
}

/** Shows no answer, and a few words instead. */
export function clear(words) {
  find("#answer").dataset.state = "empty";
  find("#says").textContent = words;
  find("#share").textContent = "";
  find("#spoken").textContent = "";
  find("#bars").replaceChildren();
}

/** A share as people read it. Never 100 % for what is not certain, nor 0 % for what is possible. */
export function percent(share) {
  const value = share * 100;
  if (value > 99.9 && value < 100) return "99.9%";
  if (value > 0 && value < 0.1) return "<0.1%";
  return `${value.toFixed(value < 10 || value > 99 ? 1 : 0)}%`;
}

function drawLabels({ labels, none_of_these: none }) {
  const [{ label, probability }] = labels;
  const closest = none ? element("em", `looks most like ${label}`) : "";
  const verdict = element("strong", none ? "None of these" : label);
  verdict.classList.toggle("long", verdict.textContent.length > LONG);
  find("#answer").dataset.state = none ? "none" : "sure";
  find("#says").replaceChildren(verdict, closest);
  find("#share").textContent = none ? "" : percent(probability);
  const longest = Math.max(...labels.map((one) => one.label.length));
  find("#bars").style.setProperty("--widest", `${Math.min(longest, WIDEST) * CHARACTER}em`);
  find("#bars").replaceChildren(...labels.map(bar));
  find("#spoken").textContent = none
    ? `None of these. It looks most like ${label}, ${percent(probability)}`
    : `${label}, ${percent(probability)}`;
}

function bar({ label, probability }) {
  const row = element("li", "");
  const name = element("b", label);
  name.title = label;
  const track = element("span", "");
  track.className = "track";
  track.append(element("i", ""));
  track.style.setProperty("--share", probability);
  const value = element("data", percent(probability));
  value.value = probability;
  row.append(name, track, value);
  return row;
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}
