/** Finds and loads what CMake built. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The addon is not there to be loaded; the message is one line that says what to do. */
export class AddonMissingError extends Error {
  override readonly name = 'AddonMissingError';
  readonly code = 'TMEMD_ADDON';
}

/**
 * The package's folder: the nearest one upwards with a package.json, from the
 * sources and from what they are compiled to alike.
 */
export function packageRoot(from: string = path.dirname(fileURLToPath(import.meta.url))): string {
  let folder = from;
  while (!existsSync(path.join(folder, 'package.json'))) {
    const above = path.dirname(folder);
    if (above === folder) throw new AddonMissingError(`no package.json in or above ${from}`);
    folder = above;
  }
  return folder;
}

/** Loads `build/addon/NAME.node`. Throws AddonMissingError when it was not built or does not load here. */
export function loadAddon(name: string, root: string = packageRoot()): unknown {
  const file = path.join(root, 'build', 'addon', `${name}.node`);
  if (!existsSync(file)) throw new AddonMissingError(`${file} is missing: run \`npm run build\` first`);
  try {
    return createRequire(import.meta.url)(file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause);
    throw new AddonMissingError(`${file} does not load (${reason}): run \`npm run build\` again`, { cause });
  }
}
