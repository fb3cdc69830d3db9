// Writes the shapes of the v1 API as TypeScript: `node types.mjs openapi.json api.d.ts`. `npm pack` runs it.
//
// Owns the translation of a JSON schema into a type. Every schema that a path below /api/v1 uses becomes an exported
// type of the same name. A schema in a form that is not known here is `unknown`.

import { readFileSync, writeFileSync } from "node:fs";

const [from, to] = process.argv.slice(2);
const description = JSON.parse(readFileSync(from, "utf8"));
const schemas = description.components.schemas;
const nameOf = (reference) => reference.split("/").at(-1);

/** The names of the schemas that `part` uses, and those that these use. */
function collect(part, found) {
  if (part === null || typeof part !== "object") return found;
  const reference = part.$ref;
  if (typeof reference === "string") {
    const kind = reference.split("/").at(-2);
    const name = nameOf(reference);
    if (kind === "schemas" && found.has(name)) return found;
    if (kind === "schemas") found.add(name);
    collect(description.components[kind][name], found);
  }
  for (const value of Object.values(part)) collect(value, found);
  return found;
}

function comment(text, indent) {
  if (!text) return "";
  return `${indent}/** ${text.replaceAll("*/", "*\\/").replaceAll("\n", `\n${indent} * `)} */\n`;
}

function typeOf(schema, indent) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.allOf) return schema.allOf.map((part) => typeOf(part, indent)).join(" & ");
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map((choice) => typeOf(choice, indent)).join(" | ");
  const types = [schema.type].flat();
  return types.map((type) => simple(type, schema, indent)).join(" | ");
}

function simple(type, schema, indent) {
  if (type === "string" || type === "boolean" || type === "null") return type;
  if (type === "integer" || type === "number") return "number";
  if (type === "array") return `Array<${typeOf(schema.items, indent)}>`;
  if (type === "object" && schema.properties) return fields(schema, indent);
  if (type === "object" && schema.additionalProperties) {
    return `Record<string, ${typeOf(schema.additionalProperties, indent)}>`;
  }
  return "unknown";
}

function fields(schema, indent) {
  const inner = `${indent}  `;
  const lines = Object.entries(schema.properties).map(([name, field]) => {
    const optional = schema.required?.includes(name) ? "" : "?";
    return `${comment(field.description, inner)}${inner}${JSON.stringify(name)}${optional}: ${typeOf(field, inner)};\n`;
  });
  return `{\n${lines.join("")}${indent}}`;
}

const used = new Set();
for (const [path, operations] of Object.entries(description.paths)) {
  if (path.startsWith("/api/v1/")) collect(operations, used);
}
const types = [...used].sort().map((name) => {
  const schema = schemas[name];
  return `${comment(schema.description, "")}export type ${name} = ${typeOf(schema, "")};\n`;
});
writeFileSync(to, `// Made from openapi.json by types.mjs.\n\n${types.join("\n")}`);
