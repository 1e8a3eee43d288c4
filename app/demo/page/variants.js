// The sheet that tells of the release's files, lets one be chosen and tests it.

const REMEMBERED = `convoy variant ${new URL(".", import.meta.url).pathname}`;

/** What becomes of an answer below the release's threshold, by its objective. */
const DOUBTS = {
  classification: (least) => `Below ${least}, the mark on the first bar, it is not sure. `,
  detection: (least) => `Boxes with a score below ${least} are not shown. `,
};

/** The variant to start with: the one in the address, the last one chosen here, or the release's first. */
export function firstVariant(variants) {
  const wanted = new URLSearchParams(location.search).get("variant") ?? stored();
  return variants.find(({ name }) => name === wanted) ?? variants[0];
}

/** `ONNX fp32`: a variant in two words. */
export function title({ format, precision }) {
  return `${format === "onnx" ? "ONNX" : "TFLite"} ${precision}`;
}

/** Size and metric of a variant. */
export function figures({ bytes, metric }, name) {
  return `${size(bytes)} · ${share(metric, 1)} ${name}`;
}

/** The sheet. `choose` is called with a variant. */
export class VariantSheet {
  #dialog = document.querySelector("#sheet");
  #list = document.querySelector("#variants");

  constructor(site, choose) {
    document.querySelector("#sheet-title").textContent = `${site.name}, version ${site.version}`;
    const unsure = site.threshold ? DOUBTS[site.objective]?.(share(site.threshold)) ?? "" : "";
    document.querySelector("#about").textContent =
      `The shares are ${site.metric} on ${site.heldout.toLocaleString("en")} pictures that it was not trained on. ` +
      `${unsure}Run by ${site.licences.join(" and ")}.`;
    document.querySelector("#absent").textContent = site.absent;
    document.querySelector("#absent").hidden = site.absent === "";
    for (const variant of site.variants) this.#list.append(row(variant, site.metric, () => choose(variant)));
    document.querySelector("#choose").addEventListener("click", () => this.#dialog.showModal());
    document.querySelector("#close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  /** Marks the variant in use, and keeps it for the next visit. */
  mark({ name }) {
    for (const input of this.#list.querySelectorAll("input")) input.checked = input.value === name;
    try {
      localStorage.setItem(REMEMBERED, name);
    } catch {
      // private windows keep nothing
    }
  }
}

function row(variant, metric, choose) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "variant", value: variant.name });
  input.addEventListener("change", choose);
  const words = [title(variant), variant.runtime, size(variant.bytes), share(variant.metric)];
  const cells = words.map((text) => {
    const cell = document.createElement("span");
    cell.textContent = text;
    return cell;
  });
  cells[3].setAttribute("aria-label", `${metric} ${words[3]}`);
  label.append(input, ...cells);
  return label;
}

function share(value, decimals = 2) {
  return `${(value * 100).toFixed(decimals)}%`;
}

function size(bytes) {
  const kibibytes = bytes / 1024;
  return kibibytes < 10_000 ? `${Math.round(kibibytes).toLocaleString("en")} KiB` : `${(kibibytes / 1024).toFixed(1)} MiB`;
}

function stored() {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}
