/** Checks input against a schema; what does not fit becomes one ConfigError that names it. */
import { z } from 'zod';
import { ConfigError } from './config-error.js';
import { nearestName } from './nearest-name.js';

/**
 * What `schema` makes of `raw`. The first issue is thrown as a ConfigError; its
 * key is `prefix` (a file, a flag) followed by the path inside `raw`. Messages
 * of the schema say what is allowed.
 */
export function check<T extends z.ZodType>(schema: T, raw: unknown, prefix: string): z.output<T> {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  // A key misspelt is missing too: the unknown one says more.
  const { issues } = result.error;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  throw issue ? explain(issue, schema, raw, prefix) : new ConfigError(`${prefix}not allowed`);
}

function explain(issue: z.core.$ZodIssue, schema: z.ZodType, raw: unknown, prefix: string): ConfigError {
  const key = prefix + issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const [unknown = ''] = issue.keys;
    const known = knownKeys(schema, issue.path);
    const nearest = nearestName(unknown, known);
    const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
    const at = issue.path.length > 0 ? `${key}.${unknown}` : `${prefix}${unknown}`;
    return new ConfigError(`${at}: unknown key${hint}; allowed: ${known.join(', ')}`);
  }
  if (issue.code === 'invalid_key') {
    return ConfigError.notAllowed(key, issue.path.at(-1), issue.issues[0]?.message ?? 'another name');
  }
  const value = issue.path.reduce<unknown>((at, part) => (at as Record<PropertyKey, unknown>)?.[part], raw);
  if (value === undefined) return new ConfigError(`${key}: missing; allowed: ${issue.message}`);
  return ConfigError.notAllowed(key, value, issue.message);
}

/** The keys of the object that `schema` expects at `path`. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at = unwrap(schema);
  for (const part of path) {
    if (at instanceof z.ZodRecord) at = unwrap(at.valueType as z.ZodType);
    else if (at instanceof z.ZodObject) at = unwrap(at.shape[String(part)] as z.ZodType);
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function unwrap(schema: z.ZodType): z.ZodType {
  const wrapped = schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
  return wrapped ? unwrap(schema.unwrap() as z.ZodType) : schema;
}
