// The list beside a picture: a row with a name, a bar and a share for each class, box or area; read aloud it says the same.

import { css } from "./drawn.js";

const CHARACTER = 0.64; // of the height of type
const THIRDS = [["upper left", "top", "upper right"], ["left", "middle", "right"], ["lower left", "bottom", "lower right"]];

/** A share as people read it. Never 100 % for what is not certain, nor 0 % for what is possible. */
export function percent(share) {
  const value = share * 100;
  if (value > 99.9 && value < 100) return "99.9%";
  if (value > 0 && value < 0.1) return "<0.1%";
  return `${value.toFixed(value < 10 || value > 99 ? 1 : 0)}%`;
}

/** Lets a list's names have the room of the longest, up to so many characters. */
export function widen(list, names, most) {
  const longest = Math.max(1, ...names.map((name) => name.length));
  list.style.setProperty("--widest", `${Math.min(longest, most) * CHARACTER}em`);
}

/** Shows rows: [{label, share, number, place}]; those with a class's number have its colour, those with a place say it. */
export function fill(list, rows) {
  while (list.children.length > rows.length) list.lastChild.remove();
  while (list.children.length < rows.length) list.append(empty());
  rows.forEach((row, index) => write(list.children[index], row)); // kept where they are, so that bars move
}

/** Where in the picture a box's middle lies, in words. */
export function placed([ymin, xmin, ymax, xmax]) {
  const third = (middle) => Math.min(2, Math.max(0, Math.floor(middle * 3)));
  return THIRDS[third((ymin + ymax) / 2)][third((xmin + xmax) / 2)];
}

/** `2 × 7, 3`: how many there are of each label, in the order in which they come first. */
export function counted(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, count]) => (count > 1 ? `${count} × ${label}` : label)).join(", ");
}

/** An element with text in it. */
export function element(kind, text = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function empty() {
  const row = element("li");
  const track = element("span");
  const place = element("span");
  track.className = "track";
  place.className = "unseen";
  track.append(element("i"));
  row.append(element("b"), track, element("data"), place);
  return row;
}

function write(row, { label, share, number, place = "" }) {
  const [name, track, value, where] = row.children;
  name.textContent = name.title = label;
  track.style.setProperty("--share", share);
  if (number === undefined) row.style.removeProperty("--colour");
  else row.style.setProperty("--colour", css(number));
  value.textContent = percent(share);
  value.value = share;
  where.textContent = place && `, ${place}`;
}
