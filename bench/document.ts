/**
 * The document a run leaves: printed with --json, kept as a file for `plot`.
 * README.md describes it; `schema` changes when a reader would have to.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/native/load.js';
import type { Figure } from './figure.js';
import type { Setting } from './setting.js';

export const SCHEMA = 1;

export interface Document extends Setting {
  schema: typeof SCHEMA;
  /** The subcommand. */
  bench: string;
  /** ISO 8601, when the run ended. */
  taken_at: string;
  corpus: { name: string; pages: number };
  settings: Record<string, number | string>;
  figures: Figure[];
  /** What was not measured, and why. */
  skipped: { name: string; reason: string }[];
}

export const defaultResults = (): string => join(packageRoot(), 'bench-results');

/** One file a run; earlier ones stay. */
export function saveDocument(document: Document, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const words = [document.bench, document.corpus.name, document.taken_at.replace(/\W/g, '')];
  const file = join(folder, `${words.map((word) => word.replace(/[^\w.-]+/g, '-')).join('_')}.json`);
  writeFileSync(file, `${JSON.stringify(document, null, 2)}\n`);
  return file;
}

/** Of each subcommand and corpus the latest. @throws Error on a file that is not such a document */
export function latestDocuments(folder: string): Document[] {
  const latest = new Map<string, Document>();
  for (const document of allDocuments(folder)) {
    const key = `${document.bench} ${document.corpus.name}`;
    const other = latest.get(key);
    if (!other || other.taken_at < document.taken_at) latest.set(key, document);
  }
  return [...latest.values()];
}

function allDocuments(folder: string): Document[] {
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    names = [];
  }
  return names.map((name) => {
    const file = join(folder, name);
    const document = parsed(readFileSync(file, 'utf8'));
    if (document?.schema !== SCHEMA || !Array.isArray(document.figures)) {
      throw new Error(`${file} is not a bench document of schema ${SCHEMA}`);
    }
    return document;
  });
}

function parsed(text: string): Document | undefined {
  try {
    return JSON.parse(text) as Document;
  } catch {
    return undefined;
  }
}
