// Builds the one foreign file that the page loads, service/dras_service/gateway/web/vendor/niivue.js, and its
// licences beside it. `--check` builds in memory and fails where the committed files are others.
// The page's own modules are served as they are written.
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const vendor = join(here, "../../service/dras_service/gateway/web/vendor");

// Zarr is not shown, and its codecs are 1.4 MB of WebAssembly, which the page's policy forbids.
const withoutZarr = {
  name: "without-zarr",
  setup(bundler) {
    bundler.onResolve({ filter: /^(zarrita|numcodecs)(\/|$)/ }, (found) => ({ path: found.path, namespace: "left-out" }));
    bundler.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "module.exports = {};", loader: "js" }));
  },
};

// NiiVue computes the gradient of every scan, for surfaces drawn with light, which the page never shows: where a
// processor draws, that is most of the time from a result to its first slice (docs/decisions/0083).
const withoutGradients = {
  name: "without-gradients",
  setup(bundler) {
    bundler.onLoad({ filter: /@niivue\/niivue\/build\/niivue\/index\.js$/ }, async ({ path }) => {
      const [before, after, ...more] = (await readFile(path, "utf8")).split("function gradientGL(params) {");
      if (after === undefined || more.length) throw new Error("NiiVue's gradientGL is not where it was");
      return { contents: `${before}function gradientGL(params) {\n  return params.gradientTexture;${after}`, loader: "js" };
    });
  },
};

const made = await build({
  absWorkingDir: here,
  entryPoints: ["viewer.mjs"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: { js: "/* NiiVue and what it is made of; see licences.txt. Built by deploy/page/build.mjs. */" },
  plugins: [withoutZarr, withoutGradients],
  metafile: true,
  write: false,
});
const files = new Map([
  ["niivue.js", made.outputFiles[0].text],
  ["licences.txt", await licences(Object.keys(made.metafile.inputs))],
]);

if (process.argv.includes("--check")) {
  const other = [];
  for (const [name, text] of files) if ((await readFile(join(vendor, name), "utf8")) !== text) other.push(name);
  if (other.length) {
    console.error(`Not what the sources build: ${other.join(", ")}; run \`make page\`.`);
    process.exit(1);
  }
} else {
  for (const [name, text] of files) await writeFile(join(vendor, name), text);
}

/** The licence of every package that went in, by name. */
async function licences(inputs) {
  const names = new Set(inputs.flatMap((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1] ?? []));
  const parts = [];
  for (const name of [...names].sort()) {
    const folder = join(here, "node_modules", name);
    const told = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? await readFile(join(folder, file), "utf8") : await readFile(join(here, "licences", `${name.replace("/", "__")}.txt`), "utf8");
    parts.push(`${told.name} ${told.version} (${told.license})\n\n${text.trim()}\n`);
  }
  return parts.join(`\n${"-".repeat(80)}\n\n`);
}
