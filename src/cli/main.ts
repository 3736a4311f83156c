#!/usr/bin/env node
/** The command line: `tmemd serve` and `tmemd ctl`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config/config-error.js';
import { packageRoot } from '../native/load.js';
import { CommandFailure } from './command-failure.js';
import { ctlCommand } from './ctl.js';
import { serveCommand } from './serve.js';

/** Bad usage or configuration; 1 is a command that ran and failed. */
const EXIT_BAD_INPUT = 2;

const program = new Command('tmemd')
  .description('Transcendent memory for QEMU/KVM guests over virtio')
  .version(packageVersion())
  .addCommand(serveCommand())
  .addCommand(ctlCommand());

for (const command of allCommands(program)) {
  command.exitOverride().configureOutput({ outputError: () => {} });
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** One line on stderr and the exit status. What is neither input nor outcome is a bug and keeps its stack. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // Without a sub-command commander has printed the help.
    if (error.code !== 'commander.help') {
      complain(`${error.message.replace(/^error: /, '')}${nearestOption(error)}; see --help`);
    }
    return EXIT_BAD_INPUT;
  }
  if (error instanceof ConfigError) {
    complain(error.message);
    return EXIT_BAD_INPUT;
  }
  // The native part was not built or does not load here: its own line says what to do.
  if (error instanceof CommandFailure || (error as NodeJS.ErrnoException).code === 'TMEMD_ADDON') {
    complain((error as Error).message);
    return 1;
  }
  throw error;
}

/** Where commander has no suggestion: options of `serve` or `ctl` that contain the word, or are contained in it. */
function nearestOption({ code, message }: CommanderError): string {
  const word = /unknown option '--([^'=]{2,})/.exec(message)?.[1];
  if (code !== 'commander.unknownOption' || word === undefined || message.includes('Did you mean')) return '';
  const command = program.commands.find((each) => each.name() === process.argv[2]) ?? program;
  const names = allCommands(command).flatMap(({ options }) =>
    options.map(({ long }) => long?.slice(2) ?? ''),
  );
  const near = [...new Set(names)].filter((name) => name && (name.includes(word) || word.includes(name)));
  return near.length > 0 ? ` (Did you mean ${near.map((name) => `--${name}`).join(' or ')}?)` : '';
}

function complain(message: string): void {
  process.stderr.write(`tmemd: ${message.replace(/\s*\n\s*/g, ' ')}\n`);
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}
