// A route -> the line that asks it from a terminal, as its parts: [program, option with its value, ...].

import { isJson } from "./openapi.js";

const PLAIN = /^[\w./:@%+=-]+$/; // what a shell takes as it is
const KEY = `-H "Authorization: Bearer $CONVOY_API_KEY"`;
const PICTURES = { "image/png": "picture.png", "image/webp": "picture.webp" };

/**
 * The parts of the line for one kind of body of an operation, or for none.
 * `base` is the service's address with a slash at its end; `filled` has values of parameters: {name: value}.
 */
export function curl(operation, body, base, filled) {
  const value = ({ name, example }) => filled[name] ?? example;
  const of = (place) => operation.parameters.filter((parameter) => parameter.place === place && value(parameter) !== undefined);
  const path = of("path").reduce(
    (text, parameter) => text.replace(`{${parameter.name}}`, encodeURIComponent(value(parameter))),
    operation.path,
  );
  const query = of("query").map((parameter) => `${parameter.name}=${encodeURIComponent(value(parameter))}`).join("&");
  const silent = operation.answers.every(({ status, bodies }) => !status.startsWith("2") || bodies.length === 0);
  return [
    "curl",
    silent ? "-i" : "", // the status is the answer
    operation.method === (body ? "post" : "get") ? "" : `-X ${operation.method.toUpperCase()}`,
    quoted(`${base}${path.slice(1)}${query && `?${query}`}`),
    operation.secured ? KEY : "",
    ...of("header").filter(({ required }) => required).map((parameter) => `-H ${quoted(`${parameter.name}: ${value(parameter)}`)}`),
    ...(body ? sent(body, operation) : []),
  ].filter(Boolean);
}

function sent({ type, example, fields }, { bodies }) {
  if (type === "multipart/form-data") {
    const [name, field] = fields[0] ?? ["file", {}];
    const files = field.type === "array" ? ["one.jpg", "two.jpg"] : ["picture.jpg"];
    return files.map((file) => `-F ${quoted(`${name}=@${file}`)}`);
  }
  if (isJson(type)) return [`-H 'Content-Type: ${type}'`, `-d ${quoted(JSON.stringify(example))}`];
  const picture = bodies.some((other) => other.type.startsWith("image/"));
  const file = PICTURES[type] ?? (picture ? "picture.jpg" : "body.bin");
  return [`-H 'Content-Type: ${type.replace("*", "jpeg")}'`, `--data-binary @${file}`];
}

function quoted(text) {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
