// The models of the service: which one answers, and the sheet to choose another. The address of the page keeps the choice.

const find = (selector) => document.querySelector(selector);

/** A choice in the address: `#name` is the newest version, `#name/2` that one. */
export function written({ name, version }) {
  return `#${encodeURIComponent(name)}${version === undefined ? "" : `/${version}`}`;
}

/** What can be chosen: every model at its newest version, which is left out, and the older ones. */
export function choicesOf(models) {
  return models.flatMap((model) => [
    { name: model.name, model },
    ...model.versions.filter((version) => String(version) !== String(model.version)).map((version) => ({ name: model.name, version, model })),
  ]);
}

/** The button with the model's name, and the sheet behind it. */
export class ModelSheet {
  #dialog = find("#sheet");
  #list = find("#models");
  #choose = find("#choose");
  #choices = [];

  constructor() {
    this.#choose.addEventListener("click", () => this.#dialog.showModal());
    find("#close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#list.addEventListener("change", (event) => { location.hash = event.target.value; });
  }

  /** Lists models. */
  fill(models) {
    this.#choices = choicesOf(models);
    this.#list.replaceChildren(this.#list.querySelector("legend"), ...this.#choices.map(row));
  }

  get empty() {
    return this.#choices.length === 0;
  }

  /** What the address names: {name, version, model}. Undefined where no model has that name; the first one where it names none. */
  chosen() {
    const hash = location.hash;
    return hash.length < 2 ? this.#choices[0] : this.#choices.find((choice) => written(choice) === hash);
  }

  /** Shows which one answers; `version` is the one that did, which may be newer than the list. */
  mark(choice, version = choice.version ?? choice.model.version) {
    for (const input of this.#list.querySelectorAll("input")) input.checked = input.value === written(choice);
    find("#model").textContent = choice.name;
    find("#details").textContent = `version ${version} · ${choice.model.objective}`;
    document.title = `${choice.name} · Convoy`;
    this.#choose.disabled = this.#choices.length < 2;
  }

  /** Shows that none does. */
  miss() {
    find("#model").textContent = "No model";
    find("#details").textContent = "";
    this.#choose.disabled = this.empty;
  }
}

function row(choice) {
  const { name, model, version = model.version } = choice;
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "model", value: written(choice) });
  const { height, width } = model.input;
  const details = [`version ${version}`, model.objective, `${width} × ${height}`];
  const notes = [choice.version === undefined && model.versions.length > 1 ? "newest" : "", model.ready ? "" : "not ready"];
  const cells = [name, details.join(" · "), notes.filter(Boolean).join(", ")].map((text) => {
    const cell = document.createElement("span");
    cell.textContent = text;
    return cell;
  });
  label.append(input, ...cells);
  return label;
}
