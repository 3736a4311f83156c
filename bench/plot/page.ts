/** `bench plot`: one HTML page that needs nothing else, with the charts and the tables they are of. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Document, latestDocuments } from '../document.js';
import { formatDocument } from '../table.js';
import { charts } from './charts.js';
import { type Chart, renderSvg } from './render.js';

export interface PlotSettings {
  /** Where runs left their documents. */
  results: string;
  /** The page. */
  out: string;
  /** Also each chart as a file of its own. */
  svg?: string;
}

/** The files written. @throws Error when there is nothing to plot */
export function plot({ results, out, svg }: PlotSettings): string[] {
  const documents = latestDocuments(results);
  if (documents.length === 0) {
    throw new Error(
      `${results} holds no documents: run \`npm run bench -- peers\` or another subcommand first`,
    );
  }
  const drawn = charts(documents).map((chart) => ({ chart, picture: renderSvg(chart) }));
  const files = [write(out, page(drawn, documents))];
  if (svg !== undefined) {
    for (const { chart, picture } of drawn) files.push(write(join(svg, `${fileName(chart)}.svg`), picture));
  }
  return files;
}

function write(file: string, text: string): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

function fileName({ id, document }: Chart): string {
  return `${id}-${document.corpus.name.replace(/[^\w.-]+/g, '-')}`;
}

function page(drawn: { picture: string }[], documents: readonly Document[]): string {
  const figures = drawn.map(({ picture }) => `<figure>${picture}</figure>`).join('\n');
  const tables = documents
    .map((document) => {
      const name = `${document.bench}, corpus ${document.corpus.name}`;
      return `<details><summary>${escaped(name)}</summary><pre>${escaped(formatDocument(document))}</pre></details>`;
    })
    .join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>tmemd: measured</title>
<style>
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
figure { margin: 0 0 2rem; }
figure svg { max-width: 100%; height: auto; }
pre { overflow-x: auto; font-size: 0.8rem; line-height: 1.2; }
</style>
</head>
<body>
<h1>tmemd: measured</h1>
<p>Medians; whiskers from the 10th to the 90th percentile of neighbouring chunks. The arithmetic floor of a put is a copy,
XXH3-64 and LZ4 of the same pages, of a get LZ4’s decoder in the same random order, measured in turn with the subject.</p>
${figures}
<h2>The same as tables</h2>
${tables}
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
