// Build the page into api/built_page/, where the server finds it: scripts and styles with a hash in their names,
// fonts, and the index.html that names them.
//
//   node build.mjs            once, minified
//   node build.mjs --watch    again whenever a file changes, with source maps
import { build, context } from "esbuild";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "api", "built_page");
const watch = process.argv.includes("--watch");

const options = {
  absWorkingDir: here,
  // a worker is a file of its own, since the page loads no script from a blob or a data URL
  entryPoints: ["src/main.tsx", "src/style.css", "src/workers/layout.ts", "src/workers/lasso.ts"],
  outdir: out,
  entryNames: watch ? "[name]" : "[name]-[hash]",
  chunkNames: watch ? "[name]" : "[name]-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  format: "esm",
  splitting: true,
  target: "es2022",
  minify: !watch,
  sourcemap: watch ? "linked" : false,
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".woff2": "file" },
  metafile: true,
  logLevel: "warning",
  plugins: [{ name: "index", setup: (made) => made.onEnd((result) => index(result)) }],
};

async function index(result) {
  if (result.errors.length > 0) return;
  const names = {};
  for (const [file, made] of Object.entries(result.metafile.outputs)) {
    if (made.entryPoint) names[made.entryPoint] = relative(out, join(here, file));
  }
  const page = await readFile(join(here, "src", "index.html"), "utf8");
  const filled = page.replaceAll(/\{\{([^}]+)\}\}/g, (_, source) => `/page/${names[source]}`);
  await writeFile(join(out, "index.html"), filled);
  await cp(join(here, "src", "icon.svg"), join(out, "icon.svg"));
  if (!watch) await compress(Object.keys(result.metafile.outputs).filter((file) => /\.(js|css)$/.test(file)));
  console.log(`built ${Object.keys(result.metafile.outputs).length} files into api/built_page`);
}

/** Put a compressed copy beside each of these, which the server sends to who takes one. */
async function compress(files) {
  for (const file of files.map((file) => join(here, file))) {
    await writeFile(`${file}.gz`, gzipSync(await readFile(file), { level: 9 }));
  }
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
if (watch) {
  await (await context(options)).watch();
} else {
  await build(options);
}
