// Opens a browser and runs in it what the test sends: one JSON line each, of a body of
// an async function and its argument; the answer is one line, too.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { chromium } = createRequire(process.argv[2] + "/")("playwright-core");
const browser = await chromium.launch({ executablePath: process.argv[3], args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce" });
context.setDefaultTimeout(15000);
const page = await context.newPage();
const errors = []; // what the browser complains of on the page itself
page.on("pageerror", (e) => errors.push(String(e)));
page.on("console", (m) => m.type() === "error" && errors.push(m.text()));

const AsyncFunction = (async () => {}).constructor;
for await (const line of createInterface({ input: process.stdin })) {
  const { code, arg } = JSON.parse(line);
  let out;
  try {
    out = { value: (await new AsyncFunction("page", "browser", "errors", "arg", code)(page, browser, errors, arg)) ?? null };
  } catch (e) {
    out = { error: String(e) };
  }
  process.stdout.write(JSON.stringify(out) + "\n");
}
await browser.close();
