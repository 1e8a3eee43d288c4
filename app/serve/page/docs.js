// The page about the API: every route of openapi.json, and a line for the terminal with this service's own names.

import { curl } from "./curl.js";
import { isJson, operations } from "./openapi.js";
import { ask, listModels } from "./service.js";

const COPIED_MILLISECONDS = 1500; // that a button says so
const WIDEST = 92; // characters of an example's line

const find = (selector) => document.querySelector(selector);

async function show() {
  const description = await ask("openapi.json");
  const filled = await names();
  const base = new URL(".", location.href).href;
  const line = (operation, body) => curl(operation, body, base, filled);
  find("#about").replaceChildren(...marked(description.info.description ?? ""));
  const groups = Map.groupBy(operations(description), ({ group }) => group);
  for (const [group, members] of groups) {
    const section = element("section", { id: slug(group) }, element("h2", {}, group));
    section.append(...members.map((operation) => route(operation, line)));
    find("#routes").append(section);
  }
  openNamed();
  addEventListener("hashchange", openNamed);
}

/** Values for the parameters in paths: those of the first model. None where there is no model, or no key was given. */
async function names() {
  try {
    const [first] = await listModels();
    return first ? { model: first.name, version: first.version } : {};
  } catch {
    return {};
  }
}

function route(operation, line) {
  const { method, path, summary, description, parameters, bodies, answers } = operation;
  const details = element("details", { id: `${method}-${slug(path)}`, className: "route" });
  const title = element("summary", {}, element("b", { className: method }, method.toUpperCase()), element("code", {}, ...breakable(path)));
  title.append(element("span", {}, ...marked(summary)));
  details.append(title);
  if (description) details.append(element("p", {}, ...marked(description)));
  if (parameters.length) details.append(element("h3", {}, "Parameters"), table(parameters));
  if (bodies.length) details.append(element("h3", {}, "Request body"));
  for (const body of bodies.length ? bodies : [undefined]) {
    if (body) details.append(element("p", { className: "type" }, body.type), ...example(body));
    details.append(terminal(line(operation, body)));
  }
  details.append(element("h3", {}, "Answers"), ...answers.map((one, place) => answer(one, answers[place - 1])));
  details.addEventListener("toggle", () => details.open && history.replaceState(null, "", `#${details.id}`));
  return details;
}

function table(parameters) {
  const rows = parameters.map(({ name, place, required, kind, usual, description }) => {
    const notes = [place, kind, required ? "required" : "", usual === undefined ? "" : `${usual} if left out`];
    return [
      element("dt", {}, element("code", {}, name), element("span", {}, notes.filter(Boolean).join(" · "))),
      element("dd", {}, ...marked(description)),
    ];
  });
  return element("dl", {}, ...rows.flat());
}

/** One of the answers; bodies like those of the one before, as errors have them, are not shown again. */
function answer({ status, description, headers, bodies }, before) {
  const made = element("div", { className: "status" }, element("b", {}, status), element("p", {}, ...marked(description)));
  for (const header of headers) made.append(element("p", { className: "type" }, "with ", element("code", {}, header)));
  if (JSON.stringify(bodies) === JSON.stringify(before?.bodies)) return made;
  for (const body of bodies) {
    made.append(element("p", { className: "type" }, [body.type, body.name].filter(Boolean).join(" · ")), ...example(body));
  }
  return made;
}

function example({ type, example: value }) {
  if (value === undefined || value === null) return [];
  return [element("pre", { tabIndex: 0 }, element("code", {}, isJson(type) ? pretty(value) : String(value)))];
}

/** A line for the terminal, broken between its parts, and the button that copies it. */
function terminal(parts) {
  const code = element("code", {}, ...parts.flatMap((part) => [element("span", {}, part), " "]).slice(0, -1));
  const button = element("button", { type: "button", className: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    await copy(code);
    button.textContent = "Copied";
    find("#copied").textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; find("#copied").textContent = ""; }, COPIED_MILLISECONDS);
  });
  return element("div", { className: "terminal" }, element("pre", { tabIndex: 0 }, code), button);
}

async function copy(shown) {
  if (navigator.clipboard) return navigator.clipboard.writeText(shown.textContent);
  getSelection().selectAllChildren(shown); // by plain http on another machine browsers give no clipboard
  return document.execCommand("copy");
}

function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named) return;
  if (named.matches("details")) named.open = true;
  named.scrollIntoView();
}

/** JSON as people write it: what fits on a line stays on it. */
function pretty(value, indent = "") {
  const list = Array.isArray(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const deeper = `${indent}  `;
  const parts = Object.entries(value).map(([name, part]) => (list ? "" : `${JSON.stringify(name)}: `) + pretty(part, deeper));
  const [left, right] = list ? "[]" : "{}";
  const line = left + parts.join(", ") + right;
  if (indent.length + line.length <= WIDEST && !line.includes("\n")) return line;
  return `${left}\n${parts.map((part) => deeper + part).join(",\n")}\n${indent}${right}`;
}

/** Text whose parts between backticks are code. */
function marked(text) {
  return text.split("`").map((part, place) => (place % 2 ? element("code", {}, part) : part));
}

/** A path that may be broken before its slashes. */
function breakable(path) {
  return path.split(/(?=\/)/).flatMap((part) => [element("wbr", {}), part]);
}

function slug(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
}

function element(kind, properties, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

show().catch((error) => {
  find("#trouble").textContent = error.message
    ? `The list of routes cannot be shown: ${error.message}`
    : "The service does not answer. It may have been stopped; reload this page when it is back.";
  find("#trouble").hidden = false;
});
