// The page in Chromium on the built-in models: draw, vary, interpolate, paint, cancel, recall, an error, the phone's width, the
// keyboard alone, and axe-core. Arguments: the address, a scene, and a folder for screenshots.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";

const [, , address, scene, shots] = process.argv;
fs.mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });

/** A page at a width in a theme, whose errors and requests to others are collected. */
async function open(width = 1440, colorScheme = "light") {
  const context = await browser.newContext({ viewport: { width, height: width < 500 ? 800 : 1000 }, colorScheme, acceptDownloads: true });
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.stack));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("Failed to load resource")) page.problems.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !/^(blob|data):/.test(request.url())) page.problems.push(`asked ${request.url()}`);
  });
  page.setDefaultTimeout(120_000);
  await page.goto(address);
  await page.waitForSelector("#server-state[data-state=ready]");
  return page;
}

const idle = (page) => page.waitForSelector("#go[aria-disabled=false]");
const tab = (page, name) => page.click(`#tab-${name}`);
const fast = (page) => page.click("label[for=preset-fast]");
const shot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
async function go(page) {
  await page.click("#go");
  await idle(page);
  const alerts = await page.locator("#alerts [data-testid=error]").allInnerTexts();
  assert.deepEqual(alerts, []);
}
async function close(page) {
  assert.deepEqual(page.problems, []);
  await page.context().close();
}
async function test(name, body) {
  const start = Date.now();
  await body();
  console.error(`  ${name}: ${((Date.now() - start) / 1000).toFixed(1)} s`);
}

/** Nothing runs out of the window, and axe finds nothing serious. */
async function check(page, what) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overflow <= 0, `${what}: ${overflow} pixels run out of the window`);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes[0].html]), [], what);
}

await test("draw by the keyboard alone, with a preview, and recall by dropping the file", async () => {
  const page = await open();
  await page.focus("#caption");
  await page.keyboard.type("a red boat on the sea");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(".place .preview");
  await idle(page);
  assert.equal(await page.locator("#images .image img").count(), 1);
  assert.equal(await page.locator("#images .image img").getAttribute("alt"), "a red boat on the sea");
  const size = await page.locator("#images .image img").evaluate((image) => image.decode().then(() => image.naturalWidth));
  assert.equal(size, 256);
  const seed = await page.inputValue("#seed");
  await shot(page, "draw");
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#images [data-action=download]").click()]);
  const file = path.join(shots, "..", "drawn.png");
  await download.saveAs(file);
  // The picture's own record brings everything back, in a new window.
  const other = await open();
  await other.setInputFiles("#recall-file", file);
  await other.waitForSelector("#notices [data-testid=notice]");
  assert.equal(await other.inputValue("#caption"), "a red boat on the sea");
  assert.equal(await other.inputValue("#seed"), seed);
  await go(other);
  const pixels = (page) => page.locator("#images .image img").evaluate(async (image) => {
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
  });
  assert.deepEqual(await pixels(other), await pixels(page), "the same picture again");
  await shot(other, "recall");
  await close(other);
  await close(page);
});

await test("cancel by Esc", async () => {
  const page = await open();
  await page.fill("#caption", "a tree");
  await page.fill("#count", "10");
  await page.click("#go");
  await page.waitForSelector("[data-stage=decoder]");
  await shot(page, "progress");
  await page.keyboard.press("Escape");
  await idle(page);
  assert.ok(!(await page.isVisible("#progress")));
  const metrics = await (await fetch(`${address}/metrics`)).text();
  assert.match(metrics, /unclip_queue_length 0\n/);
  await close(page);
});

await test("an error in the server's words", async () => {
  const page = await open();
  await page.fill("#caption", "a tree");
  await page.click("#advanced summary");
  await page.fill("#decoder-steps", "999999");
  await page.click("#go");
  await page.waitForSelector("#alerts [data-testid=error]");
  assert.match(await page.innerText("#alerts"), /decoder_num_inference_steps is 999999/);
  await check(page, "an error");
  await shot(page, "error");
  await close(page);
});

await test("vary", async () => {
  const page = await open();
  await tab(page, "vary");
  await page.setInputFiles("#vary-image", scene);
  await page.fill("#count", "2");
  await fast(page);
  await go(page);
  assert.equal(await page.locator("#images .image img").count(), 2);
  await shot(page, "vary");
  await check(page, "vary");
  await close(page);
});

await test("interpolate, with the slider over the frames", async () => {
  const page = await open(768, "dark");
  await tab(page, "interpolate");
  await page.setInputFiles("#image-a", scene);
  await page.fill("#prompt-b", "a green house in the snow");
  await page.fill("#frames", "3");
  await fast(page);
  await go(page);
  assert.equal(await page.locator("#film img").count(), 3);
  const shown = () => page.locator("#way-image img").first().getAttribute("src");
  await page.locator("#way-frame").fill("0");
  const first = await shown();
  await page.locator("#way-frame").fill("2");
  assert.notEqual(await shown(), first);
  await shot(page, "interpolate");
  await check(page, "interpolate");
  await close(page);
});

await test("paint a mask and edit, and only the mask changes", async () => {
  const page = await open();
  await tab(page, "edit");
  await page.setInputFiles("#edit-image", scene);
  await page.waitForSelector("#mask");
  const box = await page.locator("#mask").boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.5);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.6, { steps: 8 });
  await page.mouse.up();
  await page.fill("#edit-caption", "a green tree");
  await fast(page);
  await go(page);
  const changed = await page.locator("#images .image img").evaluate(async (image, original) => {
    const pixels = (bitmap) => {
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
      context.drawImage(bitmap, 0, 0);
      return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    };
    await image.decode();
    const width = image.naturalWidth;
    const edited = pixels(await createImageBitmap(image));
    const before = pixels(await createImageBitmap(new Blob([Uint8Array.from(original)])));
    const at = [];
    for (let n = 0; n < edited.length; n += 4)
      if ([0, 1, 2].some((channel) => edited[n + channel] !== before[n + channel])) at.push([(n / 4) % width, Math.floor(n / 4 / width)]);
    return { count: at.length, left: Math.min(...at.map(([x]) => x)), right: Math.max(...at.map(([x]) => x)), width };
  }, [...fs.readFileSync(scene)]);
  assert.ok(changed.count > 100, `${changed.count} pixels changed`);
  assert.ok(changed.left > changed.width * 0.2 && changed.right < changed.width * 0.8, JSON.stringify(changed));
  await shot(page, "edit");
  await check(page, "edit");
  await close(page);
});

await test("text diff, classify, search and the folder", async () => {
  const page = await open();
  await tab(page, "diff");
  await page.setInputFiles("#diff-image", scene);
  await page.fill("#diff-from", "a green cat");
  await page.fill("#diff-to", "a red cat");
  await page.fill("#diff-frames", "3");
  await go(page);
  await page.waitForSelector("#way-frame");
  await shot(page, "text-diff");
  await tab(page, "classify");
  await page.setInputFiles("#classify-image", scene);
  await page.fill("#labels", "house, boat, cat");
  await go(page);
  assert.equal(await page.locator("#label-list li").count(), 3);
  await shot(page, "classify");
  await tab(page, "search");
  await page.fill("#query", "a green cat");
  await go(page);
  assert.ok((await page.locator("#images .image img").count()) >= 1);
  await shot(page, "search");
  await page.click("#folder-refresh");
  await page.waitForSelector("#folder-cards .image img");
  await close(page);
});

await test("three widths in two themes", async () => {
  for (const width of [360, 768, 1440])
    for (const theme of ["light", "dark"]) {
      const page = await open(width, theme);
      for (const name of ["draw", "vary", "interpolate", "edit", "diff", "classify", "search"]) {
        await tab(page, name);
        await check(page, `${name} at ${width} in ${theme}`);
        if (name === "draw" || name === "edit") await shot(page, `${name}-${width}-${theme}`);
      }
      if (width === 360) {
        await tab(page, "draw");
        await page.fill("#caption", "a red boat");
        await fast(page);
        await go(page);
        await shot(page, `phone-${theme}`);
        await check(page, "the phone's result");
      }
      await close(page);
    }
});

await browser.close();
console.log("the page: all well");
