// OpenAI's JavaScript client against the server: every method and class of error. The address is the first argument.
import assert from "node:assert/strict";
import fs from "node:fs";
import OpenAI, { toFile } from "openai";

const [, , address, image, mask] = process.argv;
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
const fast = { seed: 7, preset: "fast" };
const file = async (path) => toFile(fs.readFileSync(path), "a.png", { type: "image/png" });
const isPng = (datum) => assert.equal(Buffer.from(datum.b64_json, "base64").subarray(1, 4).toString(), "PNG");

for (const n of [1, 4, 10]) {
  const images = await client.images.generate({ prompt: "a house", n, size: "256x256", ...fast });
  assert.equal(images.data.length, n);
  images.data.forEach(isPng);
}
const url = (await client.images.generate({ prompt: "a house", response_format: "url", ...fast })).data[0].url;
assert.equal((await fetch(url)).headers.get("content-type"), "image/png");
(await client.images.createVariation({ image: await file(image), n: 2, ...fast })).data.forEach(isPng);
(await client.images.edit({ image: await file(image), mask: await file(mask), prompt: "a tree", ...fast })).data.forEach(isPng);
(await client.images.edit({ image: [await file(image)], mask: await file(mask), prompt: "a tree", ...fast })).data.forEach(isPng);

const kinds = [];
for await (const event of await client.images.generate({ prompt: "a house", stream: true, partial_images: 2, ...fast })) {
  kinds.push(event.type);
  isPng(event);
}
assert.equal(kinds.at(-1), "image_generation.completed");
assert(kinds.slice(0, -1).every((kind) => kind === "image_generation.partial_image"), kinds.join());

assert.equal((await client.embeddings.create({ model: "tiny", input: ["a house", "a tree"] })).data.length, 2);
assert.equal((await client.models.list()).data[0].id, "tiny");

const refused = async (kind, call, wanted) => {
  const error = await call().then(() => assert.fail("it was not refused"), (error) => error);
  assert.equal(error.constructor, kind, `${error}`);
  for (const [name, value] of Object.entries(wanted)) assert.equal(error[name], value, name);
};
const generate = (more) => () => client.images.generate({ prompt: "a house", ...more });
await refused(OpenAI.BadRequestError, generate({ n: 11 }), { status: 400, param: "n" });
await refused(OpenAI.BadRequestError, generate({ size: "9x9x9" }), { param: "size" });
await refused(OpenAI.NotFoundError, generate({ model: "nothing" }), { status: 404, code: "model_not_found" });
const noImage = async () => client.images.createVariation({ image: await toFile(Buffer.from("no picture"), "a.png") });
await refused(OpenAI.BadRequestError, noImage, { param: "image" });
console.log("OpenAI's JavaScript client: all well");
