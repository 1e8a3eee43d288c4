// An OpenAPI document -> what its page shows of every route: parameters, bodies, answers, each with an example. Needs no browser.

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];
const DEEPEST = 8; // levels of an example, because schemas may hold themselves
const JSON_TYPE = /^application\/(.+\+)?json\b/;

/** Whether bodies of this type are JSON. */
export function isJson(type) {
  return JSON_TYPE.test(type);
}

/** [{method, path, group, summary, description, parameters, bodies, answers, secured}] in the document's order. */
export function operations(document) {
  const follow = (value) => (value && "$ref" in value ? follow(at(document, value.$ref)) : value ?? {});
  return Object.entries(document.paths).flatMap(([path, item]) => METHODS.filter((method) => method in item).map((method) => {
    const operation = item[method];
    return {
      method,
      path,
      group: operation.tags?.[0] ?? "Routes",
      summary: operation.summary ?? "",
      description: operation.description ?? "",
      parameters: parameters([...(item.parameters ?? []), ...(operation.parameters ?? [])].map(follow), follow),
      bodies: contents(follow(operation.requestBody), follow),
      answers: Object.entries(operation.responses ?? {}).map(([status, answer]) => {
        const { description = "", headers = {}, ...rest } = follow(answer);
        return { status, description, headers: Object.keys(headers), bodies: contents(rest, follow) };
      }),
      secured: (operation.security ?? document.security ?? []).some((scheme) => Object.keys(scheme).length > 0),
    };
  }));
}

/** Parameters; one of the operation's own replaces that of its path. */
function parameters(all, follow) {
  const found = new Map(all.map((parameter) => [`${parameter.in} ${parameter.name}`, parameter]));
  return [...found.values()].map(({ name, in: place, required = false, description = "", schema, example }) => {
    const { type = "", format = "", default: usual, enum: allowed, minimum, maximum, example: typical } = follow(schema);
    const bounds = [minimum === undefined ? "" : `at least ${minimum}`, maximum === undefined ? "" : `at most ${maximum}`];
    return {
      name,
      place,
      required,
      description,
      kind: [[type].flat().join(" or "), format, allowed ? allowed.join(", ") : "", ...bounds].filter(Boolean).join(", "),
      usual,
      example: example ?? typical ?? usual,
    };
  });
}

function contents({ content = {} }, follow) {
  return Object.entries(content).flatMap(([type, media]) => {
    const schema = follow(media.schema);
    const fields = Object.entries(schema.properties ?? {}).map(([name, field]) => [name, follow(field)]);
    const given = Object.entries(media.examples ?? {}).map(([name, one]) => ({ type, name, fields, example: follow(one).value }));
    return given.length ? given : [{ type, name: "", fields, example: media.example ?? exampleOf(schema, follow, type) }];
  });
}

/** A value that fits a schema; undefined where only bytes would. */
function exampleOf(schema, follow, type, depth = 0) {
  const { example, examples, const: only, default: usual, enum: allowed, oneOf, anyOf, allOf, ...rest } = follow(schema);
  const given = [example, examples?.[0], only, usual, allowed?.[0]].find((value) => value !== undefined);
  if (given !== undefined || depth > DEEPEST || (depth === 0 && !isJson(type))) return given;
  const deeper = (part) => exampleOf(part, follow, type, depth + 1);
  if (oneOf ?? anyOf) return deeper((oneOf ?? anyOf)[0]);
  if (allOf) return Object.assign({}, ...allOf.map(deeper));
  const kind = [rest.type].flat()[0] ?? (rest.properties ? "object" : "");
  const made = {
    object: () => Object.fromEntries(Object.entries(rest.properties ?? {}).map(([name, part]) => [name, deeper(part)])),
    array: () => [deeper(rest.items ?? {})],
    string: () => "…",
    integer: () => 0,
    number: () => 0,
    boolean: () => false,
  };
  return made[kind]?.() ?? null;
}

function at(document, reference) {
  const steps = reference.replace(/^#\//, "").split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  return steps.reduce((value, step) => value[decodeURIComponent(step)], document);
}
